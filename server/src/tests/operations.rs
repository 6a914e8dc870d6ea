use onnx_model::Model;

use super::fixture::{bare, get, post, service};
use super::model_file::file_with_short_table;
use crate::config::Config;
use crate::engine::Served;

const CAR: &str = r#"{"brand": "Kia", "model": "Spaceship", "year": 2018, "mileage": 1}"#;

#[tokio::test]
async fn what_was_answered_is_counted() {
    let service = service();
    assert_eq!(post(&service, "/v1/valuations", CAR).await.status, 200);
    assert_eq!(post(&service, "/v1/valuations/batch", &format!("[{CAR}, {CAR}, {{}}]")).await.status, 200);
    assert_eq!(post(&service, "/v1/valuations", "{}").await.status, 422);
    assert_eq!(get(&service, "/made/up").await.status, 404);
    let answer = get(&service, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body).unwrap();
    for line in [
        r#"probeg_requests_total{method="POST",route="/v1/valuations",status="200"} 1"#,
        r#"probeg_requests_total{method="POST",route="/v1/valuations",status="422"} 1"#,
        r#"probeg_requests_total{method="GET",route="an unknown path",status="404"} 1"#,
        r#"probeg_valuations_total{model_version="3"} 3"#,
        r#"probeg_unknown_values_total{field="model"} 3"#,
        r#"probeg_request_duration_seconds_count{route="/v1/valuations"} 2"#,
        "probeg_batch_size_count 1",
        "probeg_queue_depth 0",
        "probeg_model_version 3",
        "probeg_inference_stuck 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
}

/// Each answer is that of its own question, whatever it was computed together with.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_not_mixed_up() {
    let service = service();
    let car = |year: u32| format!(r#"{{"brand": "Kia", "model": "Rio", "year": {year}, "mileage": 90000}}"#);
    let mut alone = Vec::new();
    for year in 1990..2026 {
        alone.push(post(&service, "/v1/valuations", &car(year)).await.json());
    }
    let together = (0..360).map(|number| {
        let service = service.clone();
        let (place, body) = (number % alone.len(), car(1990 + u32::try_from(number % alone.len()).unwrap()));
        tokio::spawn(async move { (place, post(&service, "/v1/valuations", &body).await) })
    });
    for answer in together.collect::<Vec<_>>() {
        let (place, answer) = answer.await.unwrap();
        // More than may wait are refused, the others answered.
        assert!(answer.status == 200 || answer.status == 503, "{answer:?}");
        if answer.status == 200 {
            assert_eq!(answer.json()["as_of"], alone[place]["as_of"]);
            let (price, expected) = (answer.json()["price"].as_f64().unwrap(), alone[place]["price"].as_f64().unwrap());
            // A graph adds up in another order in another batch.
            assert!((price - expected).abs() <= 1e-5 * expected, "{price} {expected}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_panics_fails_the_request_and_nothing_else() {
    let state = bare(Config::default());
    let file = file_with_short_table();
    let model = Model::open(state.runtime(), &file, 2).and_then(|it| it.with_quick_sessions(state.runtime(), &file, 1));
    state.engine().serve(Served { version: 3, sha256: Vec::new(), model: model.unwrap() });
    let service = crate::build(&state);
    let car = |brand| format!(r#"{{"brand": "{brand}", "year": 2018, "mileage": 90000}}"#);
    // More often than there are threads and sessions.
    for _ in 0..8 {
        assert_eq!(post(&service, "/v1/valuations", car("Лада")).await.problem(), (500, "internal".to_owned()));
        assert_eq!(post(&service, "/v1/valuations/batch", format!("[{}]", car("Лада"))).await.status, 500);
        assert_eq!(post(&service, "/v1/valuations", car("Kia")).await.status, 200);
    }
    // Also those that were computed together with them.
    let asked = (0..40).map(|place| {
        let (service, brand) = (service.clone(), if place % 2 == 0 { "Kia" } else { "Лада" });
        let car = car(brand);
        tokio::spawn(async move { (brand, post(&service, "/v1/valuations", car).await.status) })
    });
    for asked in asked.collect::<Vec<_>>() {
        let (brand, status) = asked.await.unwrap();
        assert_eq!(status, if brand == "Kia" { 200 } else { 500 });
    }
    assert!(!state.engine().inference.is_stuck());
}
