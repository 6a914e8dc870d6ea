//! Single cars, batches and the vocabulary.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::fixture::{get, post, send, service};

const RIO: &str = r#"{"brand": "KIA", "model": "Rio", "year": 2018, "mileage": 50000}"#;

/// The median predicted by the hand-made model.
fn median(year: f64, mileage: f64, brand: f64) -> f64 {
    (14.0 + 0.1 * (year - 2018.0) - mileage / 500_000.0 + 0.1 * brand).exp()
}

fn assert_near(actual: &serde_json::Value, expected: f64) {
    let actual = actual.as_f64().unwrap_or_else(|| panic!("{actual} is not a number"));
    assert!((actual / expected - 1.0).abs() < 1e-4, "{actual} instead of {expected}");
}

#[tokio::test]
async fn a_car_is_valued_with_an_interval() {
    let response = post(&service(), "/v1/valuations", RIO).await;
    assert_eq!(response.status, 200);
    let body = response.json();
    let keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "price",
        "currency",
        "task",
        "unit",
        "low",
        "high",
        "level",
        "quantiles",
        "as_of",
        "market_as_of",
        "model",
        "warnings",
        "confidence",
    ];
    assert_eq!(keys, expected);
    let price = median(2018.0, 50_000.0, 1.0);
    assert_near(&body["price"], price);
    assert_near(&body["low"], price * (-0.2_f64).exp());
    assert_near(&body["high"], price * 0.2_f64.exp());
    assert_eq!((&body["currency"], &body["level"]), (&json!("RUB"), &json!(0.8)));
    assert_eq!(body["quantiles"].as_array().unwrap().len(), 7);
    assert_eq!(body["quantiles"][3], json!({ "level": 0.5, "price": body["price"] }));
    assert_eq!(body["as_of"], "2026-11-22");
    assert_eq!(body["model"], json!({ "version": 3, "trained_at": "2026-11-20T08:15:42Z" }));
    assert_eq!(body["warnings"], json!([]));
    let expected = json!({
        "code": "medium", "similar_listings": null, "market_as_of": null, "typical_error": null, "spread": 0.1002,
        "message": "medium confidence"
    });
    assert_eq!(body["confidence"], expected);
}

#[tokio::test]
async fn levels_select_the_interval_and_unknown_ones_are_rejected() {
    let service = service();
    let body = post(&service, "/v1/valuations?level=0.9", RIO).await.json();
    assert_near(&body["low"], median(2018.0, 50_000.0, 1.0) * (-0.3_f64).exp());
    let response = post(&service, "/v1/valuations?level=0.7", RIO).await;
    assert_eq!(response.problem(), (422, "invalid-fields".to_owned()));
    let expected = json!([{
        "loc": ["query", "level"], "msg": "level must be one of 0.5, 0.8, 0.9 (got 0.7)", "type": "unknown_level"
    }]);
    assert_eq!(response.json()["errors"], expected);
}

#[tokio::test]
async fn factors_lead_from_the_usual_car_to_this_one() {
    let body = post(&service(), "/v1/valuations?explain=true", RIO).await.json();
    let factors = body["factors"].as_array().unwrap();
    let groups: Vec<_> = factors.iter().map(|factor| factor["group"].as_str().unwrap()).collect();
    assert_eq!(groups, ["mileage", "generation", "engine", "gearbox", "body", "condition", "owners", "region"]);
    // Without a database, the usual car has 15,000 km per year, and nothing else is known of it.
    let usual = json!({
        "brand": "KIA", "model": "Rio", "year": 2018, "mileage": 126_000, "listing_date": "2026-11-22"
    });
    assert_eq!(body["baseline"]["listing"], usual);
    assert_eq!((&body["baseline"]["source"], &body["baseline"]["listings"]), (&json!("assumed"), &json!(0)));
    assert_near(&body["baseline"]["price"], median(2018.0, 126_000.0, 1.0));
    let mileage = &factors[0];
    assert_eq!(
        (&mileage["field"], &mileage["value"], &mileage["reference"]),
        (&json!("mileage"), &json!(50_000), &json!(126_000))
    );
    assert_eq!(mileage["effect"], 0.1642);
    assert_eq!(mileage["message"], "mileage 50000 instead of 126000 raises the price by 16.4 %");
    assert_eq!(mileage["code"], "raises");
    let difference = body["price"].as_f64().unwrap() - body["baseline"]["price"].as_f64().unwrap();
    assert!((mileage["amount"].as_f64().unwrap() - difference).abs() < 0.001);
    for factor in &factors[1..] {
        assert_eq!(
            (&factor["amount"], &factor["effect"], &factor["code"]),
            (&json!(0.0), &json!(0.0), &json!("not_stated"))
        );
    }
}

#[tokio::test]
async fn values_that_the_model_does_not_know_are_no_factors() {
    let car =
        r#"{"brand": "Kia", "model": "Rio", "year": 2018, "mileage": 126000, "drive": "боковой", "color": "белый"}"#;
    let body = post(&service(), "/v1/valuations?explain=true", car).await.json();
    let factors = body["factors"].as_array().unwrap();
    assert!(factors.iter().all(|factor| factor["amount"] == 0.0), "{body}");
    let gearbox = factors.iter().find(|factor| factor["group"] == "gearbox").unwrap();
    assert_eq!(gearbox["message"], "transmission, drive not stated");
    assert_eq!(body["baseline"]["price"], body["price"]);
}

#[tokio::test]
async fn curves_have_the_price_of_the_car_among_them() {
    let body = post(&service(), "/v1/valuations?curves=true&level=0.9", RIO).await.json();
    let curves = &body["curves"];
    let mileage = curves["mileage"].as_array().unwrap();
    assert_eq!(mileage.len(), 9);
    for point in mileage {
        assert_near(&point["price"], median(2018.0, point["mileage"].as_f64().unwrap(), 1.0));
        assert_near(&point["low"], point["price"].as_f64().unwrap() * (-0.3_f64).exp());
    }
    let own = mileage.iter().find(|point| point["mileage"] == 50_000).unwrap();
    assert_eq!((&own["price"], &own["low"], &own["high"]), (&body["price"], &body["low"], &body["high"]));
    let ahead = curves["years_ahead"].as_array().unwrap();
    let years: Vec<_> = ahead.iter().map(|point| (point["years"].clone(), point["date"].clone())).collect();
    assert_eq!(years[0], (json!(0), json!("2026-11-22")));
    assert_eq!(years[4], (json!(5), json!("2031-11-22")));
    assert_eq!(ahead[1]["mileage"], 50_000 + curves["yearly_mileage"].as_u64().unwrap());
    assert_eq!(curves["history"], json!([]), "the model learned from listings without dates");
}

#[tokio::test]
async fn an_asking_price_is_rated() {
    let service = service();
    let price = median(2018.0, 50_000.0, 1.0);
    let rate = async |factor: f64, car: &str| {
        let path = format!("/v1/valuations?allow_unknown=true&asking_price={}", price * factor);
        post(&service, &path, car).await.json()["asking_price"].clone()
    };
    let fair = rate(1.0, RIO).await;
    assert_eq!((&fair["rating"], &fair["code"]), (&json!("fair"), &json!("rated")));
    assert_near(&fair["share_below"], 0.5);
    assert_eq!(rate(0.5, RIO).await["rating"], "far_below");
    assert_eq!(rate(1.15, RIO).await["rating"], "above");
    let unknown = rate(1.0, KIAA).await;
    assert_eq!((&unknown["rating"], &unknown["code"]), (&json!(null), &json!("unknown_car")));
    let invalid = post(&service, "/v1/valuations?asking_price=0", RIO).await;
    assert_eq!(invalid.json()["errors"][0]["type"], "out_of_range");
}

#[tokio::test]
async fn without_a_database_the_rest_of_the_answer_is_complete() {
    let path = "/v1/valuations?explain=true&comparables=10&narrow=true&curves=true&asking_price=1000000";
    let body = post(&service(), path, RIO).await.json();
    assert_eq!(body["warnings"][0]["code"], "comparables_unavailable");
    assert!(body["comparables"].is_null());
    assert_eq!(body["narrow"], json!([]), "in this model, no field narrows the range");
    assert_eq!(body["factors"].as_array().unwrap().len(), 8);
    assert_eq!(body["confidence"]["similar_listings"], json!(null));
    assert_eq!(body["asking_price"]["price"], 1_000_000.0);
}

/// The names of all fields of a value, in depth; those of lists are those of their first items.
fn names(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| {
                let inner = if name == "listing" { Vec::new() } else { names(value) };
                std::iter::once(name.clone()).chain(inner.into_iter().map(move |inner| format!("{name}.{inner}")))
            })
            .collect(),
        serde_json::Value::Array(items) => items.first().map(names).unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn the_examples_in_the_document_have_the_fields_of_answers() {
    let document = serde_json::to_value(crate::document(2026)).unwrap();
    let content = &document["paths"]["/v1/valuations"]["post"]["responses"]["200"]["content"]["application/json"];
    let mut example = content["examples"]["everything"]["value"].clone();
    let path = "/v1/valuations?explain=true&curves=true&asking_price=1000000&comparables=1&narrow=true";
    let mut body = post(&service(), path, RIO).await.json();
    // These take a database, a model that knows more, or listings with dates.
    for value in [&mut example, &mut body] {
        for name in ["comparables", "narrow", "warnings"] {
            value.as_object_mut().unwrap().shift_remove(name);
        }
        value["curves"].as_object_mut().unwrap().shift_remove("history");
    }
    let (mut example, mut body) = (names(&example), names(&body));
    example.sort_unstable();
    body.sort_unstable();
    assert_eq!(example, body);
}

#[tokio::test]
async fn unknown_values_cause_a_warning() {
    let car = r#"{"brand": "Kia", "model": "Rioo", "year": 2018, "mileage": 1}"#;
    let body = post(&service(), "/v1/valuations", car).await.json();
    let expected = json!([{
        "code": "unknown_value", "field": "model",
        "message": "model \"rioo\" is not known (did you mean \"rio\"?); the car was valued without it", "nearest": "rio"
    }]);
    assert_eq!(body["warnings"], expected);
}

/// A car of a make that the model does not know.
const KIAA: &str = r#"{"brand": "Kiaa", "model": "Rio", "year": 2018, "mileage": 50000}"#;

#[tokio::test]
async fn unknown_makes_are_refused_with_the_nearest_known_one() {
    let service = service();
    let response = post(&service, "/v1/valuations?explain=true", KIAA).await;
    assert_eq!(response.problem(), (422, "invalid-fields".to_owned()));
    let expected = json!([{
        "pointer": "/brand", "loc": ["body", "brand"], "type": "unknown_brand", "nearest": "kia",
        "msg": "brand \"Kiaa\" is not known (did you mean \"kia\"?); correct it, or add allow_unknown=true to value the car \
                without it"
    }]);
    assert_eq!(response.json()["errors"], expected);
    let strange = post(&service, "/v1/valuations", r#"{"brand": "Zündapp", "year": 2018, "mileage": 1}"#).await;
    assert_eq!(
        strange.json()["errors"][0]["msg"],
        "brand \"Zündapp\" is not known; correct it, or add allow_unknown=true to value the car without it"
    );
    let both = post(&service, "/v1/valuations?level=0.7", KIAA).await.json();
    let codes: Vec<_> = both["errors"].as_array().unwrap().iter().map(|error| &error["type"]).collect();
    assert_eq!(codes, ["unknown_level", "unknown_brand"]);
    for spelling in ["kia", " KIA ", "Лада", "lada (ваз)"] {
        let car = json!({ "brand": spelling, "year": 2018, "mileage": 1 });
        assert_eq!(post(&service, "/v1/valuations", car.to_string()).await.status, 200, "{spelling}");
    }
}

#[tokio::test]
async fn unknown_makes_are_valued_on_request() {
    let service = service();
    let body = post(&service, "/v1/valuations?allow_unknown=true", KIAA).await.json();
    assert_near(&body["price"], median(2018.0, 50_000.0, 0.0));
    let expected = json!([{
        "code": "unknown_value", "field": "brand",
        "message": "brand \"kiaa\" is not known (did you mean \"kia\"?); the car was valued without it", "nearest": "kia"
    }]);
    assert_eq!(body["warnings"], expected);
    for value in ["false", "yes"] {
        let response = post(&service, &format!("/v1/valuations?allow_unknown={value}"), KIAA).await;
        let code = if value == "false" { "unknown_brand" } else { "not_a_boolean" };
        assert_eq!((response.status.as_u16(), &response.json()["errors"][0]["type"]), (422, &json!(code)));
    }
}

#[tokio::test]
async fn a_batch_refuses_only_its_cars_of_unknown_makes() {
    let service = service();
    let body = format!("[{RIO}, {KIAA}, {RIO}]");
    let items = post(&service, "/v1/valuations/batch", body.clone()).await.json();
    assert_near(&items[0]["price"], median(2018.0, 50_000.0, 1.0));
    assert_eq!(items[0], items[2]);
    let error = &items[1]["error"]["errors"][0];
    assert_eq!((&error["pointer"], &error["type"]), (&json!("/1/brand"), &json!("unknown_brand")));
    assert_eq!(error["loc"], json!(["body", 1, "brand"]));
    let items = post(&service, "/v1/valuations/batch?allow_unknown=true", body).await.json();
    assert_near(&items[1]["price"], median(2018.0, 50_000.0, 0.0));
    assert_eq!(items[1]["warnings"][0]["field"], "brand");
}

#[tokio::test]
async fn body_and_query_errors_are_reported_together() {
    let car = r#"{"brand": "Kia", "year": 2018, "mileage": "5"}"#;
    let response = post(&service(), "/v1/valuations?levle=0.9", car).await;
    assert_eq!(response.problem(), (422, "invalid-fields".to_owned()));
    let expected = json!([
        { "loc": ["query", "levle"], "msg": "levle is not a parameter of this endpoint",
          "type": "unknown_parameter" },
        { "pointer": "/mileage", "loc": ["body", "mileage"], "msg": "mileage must be a number (got \"5\")",
          "type": "not_a_number" },
    ]);
    assert_eq!(response.json()["errors"], expected);
}

#[tokio::test]
async fn malformed_and_oversized_bodies_are_rejected() {
    let service = service();
    let response = post(&service, "/v1/valuations", "{\"brand\":\n oops}").await;
    assert_eq!(response.problem(), (400, "malformed-json".to_owned()));
    assert_eq!(response.json()["detail"], "expected value at line 2 column 2");
    let text = Request::post("/v1/valuations").header("content-type", "text/plain").body(Body::from(RIO)).unwrap();
    assert_eq!(send(&service, text).await.problem(), (415, "unsupported-media-type".to_owned()));
    let large = format!("{{\"brand\": \"{}\"}}", "я".repeat(1 << 20));
    assert_eq!(post(&service, "/v1/valuations", large).await.problem(), (413, "too-large".to_owned()));
}

#[tokio::test]
async fn batch_results_are_in_order() {
    let body = format!("[{RIO}, {{\"brand\": \"x\", \"year\": 1800, \"mileage\": 1}}, 7, {RIO}]");
    let response = post(&service(), "/v1/valuations/batch?level=0.5", body).await;
    assert_eq!((response.status.as_u16(), response.header("content-type")), (200, "application/json"));
    let items = response.json();
    assert_eq!(items.as_array().unwrap().len(), 4);
    assert_near(&items[0]["price"], median(2018.0, 50_000.0, 1.0));
    assert_eq!(items[0], items[3]);
    assert_eq!(items[1]["error"]["errors"][0]["pointer"], "/1/year");
    assert_eq!(items[1]["error"]["errors"][0]["loc"], json!(["body", 1, "year"]));
    assert_eq!(items[2]["error"]["errors"][0]["type"], "not_an_object");
}

/// The number of reported errors and of omitted ones.
fn count_errors(problem: &serde_json::Value) -> (usize, u64) {
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem} has errors"));
    (errors.len(), problem["errors_omitted"].as_u64().unwrap_or(0))
}

#[tokio::test]
async fn at_most_fifty_errors_are_reported() {
    let unknown = r#""a":1,"#.repeat(150_000);
    let response = post(&service(), "/v1/valuations", format!("{{{unknown}{}", &RIO[1..])).await;
    assert_eq!(response.problem(), (422, "invalid-fields".to_owned()));
    assert_eq!(count_errors(&response.json()), (50, 149_950));
    assert!(
        response.json()["detail"].as_str().unwrap().ends_with("; and 149995 more"),
        "{}",
        response.json()["detail"]
    );
    assert!(response.body.len() < 16 << 10, "{}", response.body.len());
}

#[tokio::test]
async fn long_names_and_values_are_truncated_in_errors() {
    let long = "я".repeat(100_000);
    let bodies = [
        format!(r#"{{"{long}": 1}}"#),
        format!(r#"{{"brand": "{long}", "year": "{long}", "mileage": ["{long}"], "listing_date": "{long}"}}"#),
        format!(r#"{{"brand": "{}", "year": 1e300, "mileage": {}}}"#, "\\u0001".repeat(100_000), "9".repeat(300)),
    ];
    for body in bodies {
        let responses = [
            post(&service(), "/v1/valuations", body.clone()).await,
            post(&service(), "/get_sale_prediction_for_one_car", body.clone()).await,
            post(&service(), "/v1/valuations/batch", format!("[{body}]")).await,
        ];
        for response in responses {
            assert!(response.body.len() < 5000, "{}", String::from_utf8_lossy(&response.body));
        }
    }
    let query = format!("/v1/valuations?{}={}&level={}", "a".repeat(20_000), "b".repeat(20_000), "c".repeat(20_000));
    assert!(post(&service(), &query, RIO).await.body.len() < 5000);
}

#[tokio::test]
async fn a_batch_reports_at_least_one_error_per_car_and_limits_the_rest() {
    let unknown = r#""a":1,"#.repeat(59);
    let body = format!("[{}]", vec![format!("{{{unknown}\"b\":[{{}}]}}"); 5000].join(","));
    let response = post(&service(), "/v1/valuations/batch", body.clone()).await;
    let items = response.json();
    let counts: Vec<(usize, u64)> = items.as_array().unwrap().iter().map(|item| count_errors(&item["error"])).collect();
    assert_eq!(counts.len(), 5000);
    assert_eq!((counts[0], counts[4999]), ((50, 13), (1, 62)));
    assert!(counts.iter().map(|(reported, _)| reported).sum::<usize>() < 6001);
    assert!(response.body.len() < 2 * body.len(), "{} of {}", response.body.len(), body.len());
    let scalars = post(&service(), "/v1/valuations/batch", format!("[{}1]", "1,".repeat(9999))).await;
    assert_eq!(scalars.json()[9999]["error"]["errors"][0]["type"], "not_an_object");
    assert!(scalars.body.len() < 6 << 20, "{}", scalars.body.len());
}

#[tokio::test]
async fn long_unknown_texts_are_truncated() {
    let long = "q".repeat(200);
    let car = json!({ "brand": long, "year": 2018, "mileage": 1, "color": long }).to_string();
    let error = &post(&service(), "/v1/valuations", car.clone()).await.json()["errors"][0];
    let truncated = format!("brand \"{}…\" is not known; correct it", "q".repeat(60));
    assert!(error["msg"].as_str().unwrap().starts_with(&truncated), "{error}");
    let warnings = &post(&service(), "/v1/valuations?allow_unknown=true", car).await.json()["warnings"];
    let truncated = format!("color \"{}…\" is not known; the car was valued without it", "q".repeat(60));
    assert_eq!(warnings[1]["message"], truncated);
}

#[tokio::test]
async fn batch_size_is_limited() {
    let service = service();
    for (body, code) in [("[]".to_owned(), "too_short"), (RIO.to_owned(), "not_a_list")] {
        let response = post(&service, "/v1/valuations/batch", body).await;
        assert_eq!(response.json()["errors"][0]["type"], code);
        assert_eq!(response.status, 422);
    }
    let many = |count: usize| format!("[{}]", vec![RIO; count].join(","));
    let response = post(&service, "/v1/valuations/batch", many(10_001)).await;
    assert_eq!(response.json()["errors"][0]["msg"], "the list has 10001 listings; at most 10000 are accepted");
    let response = post(&service, "/v1/valuations/batch", many(10_000)).await;
    assert_eq!(response.json().as_array().unwrap().len(), 10_000);
}

#[tokio::test]
async fn the_vocabulary_is_narrowed_by_brand() {
    let service = service();
    let body = get(&service, "/v1/vocabulary").await.json();
    assert_eq!(body["model_version"], 3);
    assert_eq!(body["values"]["brand"], json!(["kia", "lada (ваз)"]));
    assert_eq!(body["values"]["model"], json!(["2114", "ceed", "rio"]));
    let body = get(&service, "/v1/vocabulary?brand=%D0%9B%D0%B0%D0%B4%D0%B0").await.json();
    assert_eq!(body["values"]["model"], json!(["2114"]), "synonyms of the brand work too");
    assert_eq!(body["values"]["drive"], json!(["передний"]));
    let response = get(&service, "/v1/vocabulary?brand=kiaa").await;
    assert_eq!(response.problem(), (404, "not-found".to_owned()));
    assert_eq!(response.json()["detail"], "brand \"kiaa\" is not known; did you mean \"kia\"?");
    let body = get(&service, "/v1/vocabulary?model=rio").await.json();
    assert_eq!(body["values"]["brand"], json!(["kia", "lada (ваз)"]), "a model only narrows its dependent values");
    assert_eq!(get(&service, "/v1/vocabulary?model=riio").await.problem().0, 404);
    assert_eq!(get(&service, "/v1/vocabulary?make=kia").await.problem().0, 422);
}
