//! The predecessor's endpoint for one car.

use super::fixture::{post, service};

const PATH: &str = "/get_sale_prediction_for_one_car";

/// The example from the predecessor's documentation.
const LADA: &str = r#"{"brand": "LADA (ВАЗ)", "year": 1995, "mileage": 96000, "body_type": "седан",
    "fuel_type": "Бензин", "engine_volume": 1.5, "engine_power": 71, "transmission": "механическая",
    "drive": "передний", "wheel": "Левый", "state": "Не требует ремонта", "owners_count": 3, "pts": "Оригинал",
    "customs": "Растаможен"}"#;

#[tokio::test]
async fn the_response_is_a_number_with_one_decimal() {
    let response = post(&service(), PATH, LADA).await;
    assert_eq!(response.status, 200);
    let text = String::from_utf8(response.body).unwrap();
    let price: f64 = text.parse().unwrap();
    let expected = (14.0 - 2.3 - 0.192 + 0.2_f64).exp();
    assert!((price / expected - 1.0).abs() < 1e-4, "{price} is not {expected}");
    assert!(text.split('.').nth(1).is_none_or(|decimals| decimals.len() == 1), "{text}");
}

#[tokio::test]
async fn text_numbers_and_extra_fields_are_accepted() {
    let service = service();
    let plain = post(&service, PATH, r#"{"brand": "Kia", "year": 1995, "mileage": 96000}"#).await;
    let body = r#"{"brand": "Kia", "year": "1995.0", "mileage": "96 000 км", "color": "белый", "id": 7, "price": "?"}"#;
    let lenient = post(&service, PATH, body).await;
    assert_eq!(plain.body, lenient.body);
}

#[tokio::test]
async fn errors_are_problems() {
    let response = post(&service(), PATH, r#"{"brand": "Kia", "mileage": "far"}"#).await;
    assert_eq!(response.problem(), (422, "invalid-fields".to_owned()));
    let pointers: Vec<_> = response.json()["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(pointers, ["/mileage", "/year"]);
}

#[tokio::test]
async fn unknown_makes_are_refused_unless_allowed() {
    let service = service();
    let car = r#"{"brand": "Kiaa", "year": 1995, "mileage": 96000}"#;
    let response = post(&service, PATH, car).await;
    assert_eq!(response.problem(), (422, "invalid-fields".to_owned()));
    let error = &response.json()["errors"][0];
    assert_eq!((error["pointer"].as_str(), error["type"].as_str()), (Some("/brand"), Some("unknown_brand")));
    let response = post(&service, &format!("{PATH}?allow_unknown=true&verbose=1"), car).await;
    assert_eq!(response.status, 200);
    let response = post(&service, &format!("{PATH}?allow_unknown=1"), r#"{"brand": "Kia", "mileage": 1}"#).await;
    let codes: Vec<_> = response.json()["errors"].as_array().unwrap().iter().map(|e| e["type"].clone()).collect();
    assert_eq!(codes, ["not_a_boolean", "missing"]);
}
