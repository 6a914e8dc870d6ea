//! Messages in the language that a client prefers.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::fixture::{TestResponse, get, send, service};
use crate::config::Config;
use crate::tests::fixture;

async fn post_in(language: &str, path: &str, body: &str) -> TestResponse {
    let request = Request::post(path).header("content-type", "application/json").header("accept-language", language);
    send(&service(), request.body(Body::from(body.to_owned())).unwrap()).await
}

/// The messages of the errors.
fn messages(response: &TestResponse) -> Vec<String> {
    let errors = response.json()["errors"].as_array().unwrap().clone();
    errors.iter().map(|error| error["msg"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn problems_are_in_the_language_that_the_client_prefers() {
    let car = r#"{"brand": "Kiaa", "year": 1500, "mileage": "x", "milage": 1, "engine_volume": 99}"#;
    let russian = post_in("ru-RU,ru;q=0.9,en;q=0.8", "/v1/valuations?level=x", car).await;
    assert_eq!(russian.problem(), (422, "invalid-fields".to_owned()));
    assert_eq!(russian.header("content-language"), "ru");
    let expected = [
        "level: нужно число",
        "год выпуска: нужно число от 1900 до 2027",
        "пробег: нужно число",
        "milage: такого поля здесь нет",
        "объём двигателя: нужно число от 0 до 20",
    ];
    assert_eq!(messages(&russian), expected);
    let problem = russian.json();
    assert_eq!(
        (&problem["code"], &problem["title"]),
        (&json!("invalid-fields"), &json!("Некоторые поля заполнены неверно"))
    );
    assert_eq!(problem["detail"], expected.join("; "));

    let english = post_in("en, ru;q=0.5", "/v1/valuations?level=x", car).await;
    assert_eq!(english.header("content-language"), "");
    assert_eq!(messages(&english)[1], "year must be between 1900 and 2027 (got 1500)");
    let codes = |response: &TestResponse| {
        let errors = response.json()["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| error["type"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(codes(&russian), codes(&english), "codes do not depend on the language");

    let unknown = post_in("ru", "/v1/valuations", r#"{"brand": "Kiaa", "year": 2018, "mileage": 1}"#).await;
    assert!(
        messages(&unknown)[0].starts_with("марка: нет среди известных (может быть, «kia»?)"),
        "{:?}",
        messages(&unknown)
    );
    let ambiguous =
        post_in("ru", "/v1/valuations/lenient", r#"{"brand": "Kia", "year": 2018, "mileage": "150.000"}"#).await;
    assert_eq!(messages(&ambiguous), ["пробег: можно понять двояко: напишите без разделителей, 150 или 150000"]);
}

#[tokio::test]
async fn warnings_and_items_of_batches_too() {
    let car = r#"{"brand": "Kia", "model": "Rioo", "year": 2018, "mileage": 1}"#;
    let warning = "модель: «rioo» нет среди известных значений (может быть, «rio»?); машина оценена без него";
    let body = post_in("ru", "/v1/valuations", car).await.json();
    assert_eq!(
        body["warnings"],
        json!([{ "code": "unknown_value", "field": "model", "message": warning, "nearest": "rio" }])
    );
    let items = post_in("ru", "/v1/valuations/batch", &format!("[{car}, {{}}]")).await.json();
    assert_eq!(items[0]["warnings"][0]["message"], warning);
    assert_eq!(items[1]["error"]["errors"][0]["msg"], "марка: это поле обязательно");
}

#[tokio::test]
async fn every_kind_of_refusal_has_a_text_in_both_languages() {
    let missing = get(&service(), "/v1/nothing").await.json();
    assert_eq!((&missing["code"], &missing["title"]), (&json!("not-found"), &json!("Not found")));
    let service = crate::build(&fixture::state_without_model(Config::default()));
    let request = Request::get("/v1/vocabulary").header("accept-language", "ru").body(Body::empty()).unwrap();
    let no_model = send(&service, request).await;
    assert_eq!(no_model.json()["title"], "Модели ещё нет");
    assert!(no_model.json()["detail"].as_str().unwrap().contains("probeg train --promote"));
    assert_eq!(no_model.header("retry-after"), "5");
}

#[tokio::test]
async fn every_documented_problem_is_in_the_catalogue() {
    let document = serde_json::to_value(crate::document(2026)).unwrap();
    let mut problems = Vec::new();
    collect_problems(&document, &mut problems);
    assert!(problems.len() > 50, "{}", problems.len());
    for problem in problems {
        let texts = [&problem["title"], &problem["detail"], &problem["code"]];
        assert!(texts.iter().all(|text| text.as_str().is_some_and(|text| !text.is_empty())), "{problem}");
        for error in problem["errors"].as_array().into_iter().flatten() {
            let code = error["type"].as_str().unwrap();
            let known = domain::message::template(domain::message::Topic::Field, code, domain::Language::Russian);
            let other = domain::message::template(domain::message::Topic::Field, "other", domain::Language::Russian);
            assert!(known != other, "{code} is not in the catalogue");
        }
    }
}

/// The examples of problems, wherever they are in the document.
fn collect_problems(value: &Value, problems: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
            if kind.starts_with("urn:probeg:problem:") {
                problems.push(value.clone());
            }
            fields.values().for_each(|value| collect_problems(value, problems));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_problems(item, problems)),
        _ => {}
    }
}
