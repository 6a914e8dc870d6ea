//! Import, training and serving in one command.

use std::fmt::Write;
use std::process::Stdio;

use crate::market::{Home, Server, block_on, rio};

#[test]
fn up_imports_trains_and_serves() {
    let home = Home::new();
    let mut cars = String::from("brand,model,year,mileage,listing_date,price\n");
    for number in 0..600 {
        let (year, mileage) = (2008 + number % 16, 5_000 + 311 * number);
        let price = 300_000 + 60_000 * (year - 2008) - mileage / 2;
        writeln!(cars, "Kia,Rio,{year},{mileage},2026-03-17,{price}").unwrap();
    }
    let file = home.write("cars.csv", cars);
    let mut command = home.command(&["up", "--data", &file, "--bind", "127.0.0.1:0"]);
    let server = Server::from_process(command.stdout(Stdio::piped()).spawn().unwrap());
    server.wait_until_ready();
    let response: serde_json::Value = block_on(async {
        reqwest::Client::new().post(server.url("/v1/valuations")).json(&rio()).send().await?.json().await
    })
    .unwrap();
    let price = response["price"].as_f64().unwrap();
    assert!((300_000.0..1_500_000.0).contains(&price), "{response}");
}
