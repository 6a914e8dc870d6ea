//! The linear model: on its own, and as the floor of a network.

use serde_json::Value;

use crate::market::{Home, SMALL, Server, block_on, rio};

#[test]
fn a_linear_model_is_served_and_is_the_floor_of_a_network() {
    let home = Home::new();
    home.ok(&["synth", "--rows", "3000"]);
    home.ok(&["train", "--promote", "--set=family=\"linear\""]);
    let card = |version: &str| -> Value {
        serde_json::from_str(&home.ok(&["evaluate", "--model", version, "--json"])).unwrap()
    };
    let linear = card("champion");
    assert!(linear["mape"].as_f64().unwrap() < 0.25 && linear["floor"].is_null(), "{linear}");
    assert!((0.7..0.9).contains(&linear["coverage_80"].as_f64().unwrap()), "{linear}");
    assert!(linear["surface"]["dearer_with_mileage"].as_f64().unwrap() < 1e-9, "{linear}");

    let server = Server::start(&home);
    let valued: Value = block_on(async {
        reqwest::Client::new().post(server.url("/v1/valuations")).json(&rio()).send().await?.json().await
    })
    .unwrap();
    assert!(valued["low"].as_f64() < valued["price"].as_f64() && valued["price"].as_f64() < valued["high"].as_f64());
    drop(server);

    home.ok(&[&["train", "--set=backtest=false", "--set=refit=false"], SMALL.as_slice()].concat());
    let floor = card("latest")["floor"]["mape"].as_f64().unwrap();
    assert!((floor - linear["mape"].as_f64().unwrap()).abs() < 0.02, "{floor} and {linear}");
    assert!(home.ok(&["models", "show", "latest"]).contains("linear"));
}
