//! Suggestions and versions, without a database.

use serde_json::json;

use super::fixture::{get, post, service};

#[tokio::test]
async fn makes_and_models_are_suggested_as_people_write_them() {
    let service = service();
    for (query, expected) in [
        ("field=brand&text=KIA", json!({ "brand": "kia", "likeness": "same" })),
        ("field=brand&text=%D0%9A%D0%B8%D0%B0", json!({ "brand": "kia", "likeness": "same" })),
        ("field=brand&text=%D0%92%D0%B0%D0%B7", json!({ "brand": "lada (ваз)", "likeness": "same" })),
        ("field=brand&text=Kya%20Rio", json!({ "brand": "kia", "model": "rio", "likeness": "same" })),
        (
            "field=model&brand=kia&text=%D1%80%D0%B8%D0%BE",
            json!({ "brand": "kia", "model": "rio", "likeness": "same" }),
        ),
        ("field=model&text=cead", json!({ "brand": "kia", "model": "ceed", "likeness": "similar" })),
        ("field=model&brand=kia&text=ce&limit=1", json!({ "brand": "kia", "model": "ceed", "likeness": "beginning" })),
    ] {
        let response = get(&service, &format!("/v1/suggestions?{query}")).await;
        assert_eq!(response.status, 200, "{query}");
        assert_eq!(response.json()["suggestions"][0], expected, "{query}: {}", response.json());
    }
    let of_lada = get(&service, "/v1/suggestions?field=model&brand=lada&text=rio").await.json();
    assert_eq!(of_lada["suggestions"], json!([]), "models of the make only");
    let all = get(&service, "/v1/suggestions?field=brand").await.json();
    assert!(all["suggestions"].as_array().unwrap().len() > 1);
}

#[tokio::test]
async fn queries_for_suggestions_are_checked() {
    let service = service();
    for (query, code) in [
        ("", "missing"),
        ("field=color", "unknown_field"),
        ("field=brand&limit=0", "out_of_range"),
        ("field=brand&make=kia", "unknown_parameter"),
    ] {
        let response = get(&service, &format!("/v1/suggestions?{query}")).await;
        assert_eq!(response.problem(), (422, "invalid-fields".to_owned()), "{query}");
        assert_eq!(response.json()["errors"][0]["type"], code, "{query}");
    }
    let long = "a".repeat(201);
    let response = get(&service, &format!("/v1/suggestions?field=brand&text={long}")).await;
    assert_eq!(response.json()["errors"][0]["type"], "too_long");
}

#[tokio::test]
async fn without_a_database_there_are_the_generations_of_the_model() {
    let service = service();
    let versions = get(&service, "/v1/versions?brand=KIA&model=%D0%A0%D0%B8%D0%BE&year=2018").await.json();
    assert_eq!(
        (&versions["source"], &versions["listings"], &versions["versions"]),
        (&json!("model"), &json!(0), &json!([]))
    );
    let response = get(&service, "/v1/versions?brand=kia&year=18").await;
    let codes: Vec<_> =
        response.json()["errors"].as_array().unwrap().iter().map(|error| error["type"].clone()).collect();
    assert_eq!(codes, ["out_of_range"]);
    let response = get(&service, "/v1/versions?brand=kia").await;
    assert_eq!(response.json()["errors"][0]["msg"], "model is required and is missing");
}

#[tokio::test]
async fn models_in_another_alphabet_are_recognized_and_makes_only_if_they_are_the_same() {
    let service = service();
    let car =
        |brand: &str, model: &str| json!({ "brand": brand, "model": model, "year": 2018, "mileage": 5 }).to_string();
    let body = post(&service, "/v1/valuations/lenient", car("Киа", "Рио")).await.json();
    assert_eq!((&body["listing"]["model"], &body["warnings"]), (&json!("rio"), &json!([])));
    let refused = post(&service, "/v1/valuations/lenient", car("Kya", "Rio")).await;
    assert_eq!(refused.json()["errors"][0]["type"], "unknown_brand");
    let strict = post(&service, "/v1/valuations", car("Kia", "Рио")).await.json();
    assert_eq!(strict["warnings"][0]["code"], "unknown_value");
}
