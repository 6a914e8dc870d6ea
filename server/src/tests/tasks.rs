//! Several tasks in one server.

use domain::{Column, Market, Task};
use serde_json::{Value, json};

use super::fixture::{get, post, serve, state, upload};
use crate::config::Config;

/// A service with the tasks `price` and `gb-price`.
fn service() -> axum::Router {
    let state = state(Config::default());
    let market = Market::built_in().iter().find(|market| market.name() == "gb").unwrap();
    serve(&state, &Task::of_market(market, Column::Price));
    crate::build(&state)
}

async fn value(service: &axum::Router, query: &str, car: &Value) -> Value {
    let response = post(service, &format!("/v1/valuations{query}"), car.to_string()).await;
    assert_eq!(response.status, 200, "{}", response.json());
    response.json()
}

#[tokio::test]
async fn each_task_has_its_own_prices_money_and_units() {
    let service = service();
    let car = json!({ "brand": "Kia", "year": 2018, "mileage": 62_000 });
    let default = value(&service, "", &car).await;
    assert_eq!(
        (&default["task"], &default["unit"], &default["currency"]),
        (&"price".into(), &"RUB".into(), &"RUB".into())
    );
    assert_eq!(value(&service, "?task=price", &car).await["price"], default["price"]);
    let british = value(&service, "?task=gb-price", &car).await;
    assert_eq!(
        (&british["task"], &british["unit"], &british["currency"]),
        (&"gb-price".into(), &"GBP".into(), &"GBP".into())
    );
    // 62,000 miles are 99,779 km.
    let expected = (9.0_f64 + 0.1 - 99_779.0 / 500_000.0).exp();
    assert!((british["price"].as_f64().unwrap() / expected - 1.0).abs() < 1e-5, "{british}");
    let one = post(&service, "/get_sale_prediction_for_one_car?task=gb-price", car.to_string()).await.json();
    assert!((one.as_f64().unwrap() - expected).abs() < 0.1, "{one}");
    let batch = post(&service, "/v1/valuations/batch?task=gb-price", json!([car]).to_string()).await.json();
    assert_eq!(batch[0]["price"], british["price"]);
}

#[tokio::test]
async fn an_unknown_task_is_told_which_there_are() {
    let service = service();
    let car = json!({ "brand": "Kia", "year": 2018, "mileage": 62_000 }).to_string();
    for path in ["/v1/valuations", "/v1/valuations/batch", "/get_sale_prediction_for_one_car"] {
        let response = post(&service, &format!("{path}?task=fr-price"), car.clone()).await;
        assert_eq!(response.status, 422);
        let error = &response.json()["errors"][0];
        assert_eq!(error["msg"], "there is no task \"fr-price\"; there are gb-price, price", "{path}");
        assert_eq!((&error["type"], &error["loc"]), (&"unknown_task".into(), &json!(["query", "task"])));
    }
    for path in ["/v1/vocabulary", "/v1/valuations/template.xlsx", "/v1/models", "/v1/models/champion"] {
        assert_eq!(get(&service, &format!("{path}?task=fr-price")).await.status, 422, "{path}");
    }
    let response = upload(&service, "/v1/valuations/xlsx?task=fr-price", "file", "cars.xlsx", b"").await;
    assert_eq!(response.status, 422);
}

#[tokio::test]
async fn bounds_are_in_the_units_of_the_task() {
    let service = service();
    let car = json!({ "brand": "Kia", "year": 2018, "mileage": 1_300_000 }).to_string();
    assert_eq!(post(&service, "/v1/valuations", car.clone()).await.status, 200);
    let response = post(&service, "/v1/valuations?task=gb-price", car).await;
    let message = response.json()["errors"][0]["msg"].clone();
    assert_eq!(message, "mileage must be between 0 and 1242742 (got 1300000)");
}

#[tokio::test]
async fn the_tasks_are_listed_with_their_units() {
    let list = get(&service(), "/v1/tasks").await.json();
    assert_eq!(list["default"], "price");
    let summary = |index: usize| {
        let task = &list["tasks"][index];
        let mileage = task["columns"].as_array().unwrap().iter().find(|column| column["name"] == "mileage").unwrap();
        json!([
            task["name"],
            task["market"],
            task["unit"],
            task["symbol"],
            mileage["unit"],
            task["champion"]["version"]
        ])
    };
    assert_eq!(summary(0), json!(["gb-price", "gb", "GBP", "£", "miles", 3]));
    assert_eq!(summary(1), json!(["price", "ru", "RUB", "₽", "km", 3]));
}

#[tokio::test]
async fn metrics_have_the_task() {
    let service = service();
    value(&service, "?task=gb-price", &json!({ "brand": "Kia", "year": 2018, "mileage": 62_000 })).await;
    let metrics = String::from_utf8(get(&service, "/metrics").await.body).unwrap();
    for line in [
        "probeg_valuations_total{task=\"gb-price\",model_version=\"3\"} 1",
        "probeg_model_version{task=\"price\"} 3",
        "probeg_model_version{task=\"gb-price\"} 3",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}
