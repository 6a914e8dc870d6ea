//! Cars with values as people write them.

use serde_json::json;

use super::fixture::{post, service};

const PATH: &str = "/v1/valuations/lenient";

#[tokio::test]
async fn values_are_read_as_people_write_them() {
    let service = service();
    for (year, mileage, volume, power, date) in [
        (json!("2018 г."), json!("83 тыс"), json!("1600 см³"), json!("123 л.с."), json!("17.05.2018")),
        (json!("17.05.2018"), json!("83 000 км"), json!("1.6 (106 л.с.)"), json!("123"), json!("2018-05-17")),
        (json!(2018), json!(83_000), json!(1.6), json!(123), json!("17.05.2018")),
    ] {
        let car = json!({
            "brand": "KIA", "model": "Rio", "year": year, "mileage": mileage, "engine_volume": volume, "engine_power": power,
            "transmission": "АКПП", "listing_date": date, "color": "н/д",
        });
        let response = post(&service, PATH, car.to_string()).await;
        assert_eq!(response.status, 200, "{car}: {:?}", response.json());
        let understood = json!({
            "brand": "kia", "model": "rio", "year": 2018, "mileage": 83_000, "engine_volume": 1.6, "engine_power": 123,
            "transmission": "автоматическая", "listing_date": "2018-05-17",
        });
        assert_eq!(response.json()["listing"], understood);
        // The same as the strict path says.
        let strict = post(&service, "/v1/valuations", understood.to_string()).await.json();
        assert_eq!(response.json()["price"], strict["price"]);
        assert!(strict.get("listing").is_none());
    }
}

#[tokio::test]
async fn a_number_with_two_meanings_is_asked_about() {
    let car = r#"{"brand": "Kia", "year": "18", "mileage": "150.000", "milage": 1}"#;
    let response = post(&service(), &format!("{PATH}?asking_price=1.350"), car).await;
    assert_eq!(response.problem(), (422, "invalid-fields".to_owned()));
    let errors = response.json()["errors"].as_array().unwrap().clone();
    let codes: Vec<_> = errors.iter().map(|error| error["type"].as_str().unwrap()).collect();
    assert_eq!(codes, ["unknown_field", "out_of_range", "ambiguous_number", "ambiguous_number"], "names are strict");
    let car = r#"{"brand": "Kia", "year": "18", "mileage": "150.000"}"#;
    let errors = post(&service(), &format!("{PATH}?asking_price=1.350"), car).await.json()["errors"].clone();
    let expected = json!([
        {
            "pointer": "/year", "loc": ["body", "year"], "type": "out_of_range", "min": 1900.0, "max": 2027.0,
            "msg": "year must be between 1900 and 2027 (got \"18\")"
        },
        {
            "pointer": "/mileage", "loc": ["body", "mileage"], "type": "ambiguous_number", "choices": [150.0, 150_000.0],
            "msg": "mileage is ambiguous: write it without separators, as 150 or 150000 (got \"150.000\")"
        },
        {
            "loc": ["query", "asking_price"], "type": "ambiguous_number", "choices": [1.35, 1350.0],
            "msg": "asking_price is ambiguous: write it without separators, as 1.35 or 1350 (got \"1.350\")"
        },
    ]);
    assert_eq!(errors, expected);
}

#[tokio::test]
async fn an_asking_price_is_read_as_people_write_it() {
    let car = r#"{"brand": "Kia", "model": "Rio", "year": "2018 г.", "mileage": "83 тыс"}"#;
    for (price, read) in [("1,35%20%D0%BC%D0%BB%D0%BD", json!(1_350_000.0)), ("1%20350%20000", json!(1_350_000.0))] {
        let body = post(&service(), &format!("{PATH}?asking_price={price}"), car).await.json();
        assert_eq!(body["asking_price"]["price"], read, "{body}");
    }
    let body = post(&service(), &(PATH.to_owned() + "?asking_price="), car).await.json();
    assert!(body.get("asking_price").is_none() && body["price"].is_number());
    let response = post(&service(), "/v1/valuations?asking_price=1,35", car).await;
    assert_eq!(response.status, 422, "strict JSON stays strict");
}
