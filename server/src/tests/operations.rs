use super::fixture::{get, post, service};

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
