//! The model file, used by a client in another language.

use std::process::Command;

use crate::market::{block_on, fixture, python, rio, server, trained};

#[test]
fn a_python_client_reproduces_the_servers_prices() {
    let python = python();
    let home = trained();
    let file = home.path("exported.onnx");
    home.ok(&["models", "export", "champion", "-o", file.to_str().unwrap()]);
    let mut unknown = rio();
    unknown["model"] = "Spaceship".into();
    unknown["engine_power"] = serde_json::Value::Null;
    let listings = [
        rio(),
        unknown,
        serde_json::json!({"brand": "Лада", "year": 1995, "mileage": 96000, "listing_date": "2026-03-17"}),
    ];
    let server = server();
    for listing in listings {
        let response: serde_json::Value = block_on(async {
            reqwest::Client::new().post(server.url("/v1/valuations")).json(&listing).send().await?.json().await
        })
        .unwrap();
        let output =
            Command::new(&python).arg(fixture("client.py")).arg(&file).arg(listing.to_string()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let price: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let from_api = response["price"].as_f64().unwrap();
        assert!((from_api - price).abs() <= 1e-4 * price, "{from_api} and {price} for {listing}");
    }
}
