use serde_json::{Value, json};

use super::fixture::{get, post, service};

const CAR: &str = r#"{"brand": "Kia", "model": "Spaceship", "year": 2018, "mileage": 1}"#;

#[tokio::test]
async fn responses_are_counted() {
    let service = service();
    assert_eq!(post(&service, "/v1/valuations?explain=true", CAR).await.status, 200);
    assert_eq!(post(&service, "/v1/valuations/batch", &format!("[{CAR}, {CAR}, {{}}]")).await.status, 200);
    assert_eq!(post(&service, "/v1/valuations", "{}").await.status, 422);
    assert_eq!(post(&service, "/v1/valuations", CAR.replace("Kia", "Kiaa")).await.status, 422);
    assert_eq!(get(&service, "/made/up").await.status, 404);
    let response = get(&service, "/metrics").await;
    assert_eq!(response.status, 200);
    assert!(response.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(response.body).unwrap();
    for line in [
        r#"probeg_requests_total{method="POST",route="/v1/valuations",status="200"} 1"#,
        r#"probeg_requests_total{method="POST",route="/v1/valuations",status="422"} 2"#,
        r#"probeg_requests_total{method="GET",route="an unknown path",status="404"} 1"#,
        r#"probeg_valuations_total{task="price",model_version="3"} 3"#,
        r#"probeg_unknown_values_total{field="model"} 3"#,
        r#"probeg_unknown_values_total{field="brand"} 1"#,
        r#"probeg_request_duration_seconds_count{route="/v1/valuations"} 3"#,
        "probeg_batch_size_count 1",
        "probeg_queue_depth 0",
        r#"probeg_model_version{task="price"} 3"#,
        "probeg_inference_stuck 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|metric| metric == line), "{line} is not in\n{text}");
    }
}

/// Omitted fields and defaulted dates are not drift.
#[tokio::test]
async fn missing_values_are_not_drift() {
    let service = service();
    let car = |number: u32| {
        let (brand, model) = [("Kia", "Rio"), ("LADA", "2114"), ("Kia", "Ceed"), ("LADA", "")][number as usize % 4];
        let (year, mileage) = (2000 + number / 4 % 20, 10_000 + number / 4 % 20);
        json!({ "brand": brand, "model": model, "year": year, "mileage": mileage })
    };
    let cars: Vec<Value> = (0..1000).map(car).collect();
    assert_eq!(post(&service, "/v1/valuations/batch", json!(cars).to_string()).await.status, 200);
    let text = String::from_utf8(get(&service, "/metrics").await.body).unwrap();
    let figure = |name: &str, field: &str| -> Option<f64> {
        let prefix = format!("probeg_{name}{{task=\"price\",field=\"{field}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok())
    };
    for (field, missing) in
        [("brand", 0.0), ("year", 0.0), ("color", 1.0), ("owners_count", 1.0), ("listing_date", 1.0)]
    {
        assert_eq!(figure("input_missing_ratio", field), Some(missing), "{field}\n{text}");
        let (index, threshold) = (figure("input_drift", field), figure("input_drift_threshold", field));
        assert_eq!((index.is_some(), threshold.is_some()), (missing < 1.0, missing < 1.0), "{field}\n{text}");
        assert!(index.is_none_or(|index| index < 0.05) && threshold.is_none_or(|threshold| threshold > 0.25), "{text}");
    }
    let other: Vec<Value> = (0..1000).map(|_| json!({ "brand": "Kia", "year": 2025, "mileage": 1 })).collect();
    assert_eq!(post(&service, "/v1/valuations/batch", json!(other).to_string()).await.status, 200);
    let text = String::from_utf8(get(&service, "/metrics").await.body).unwrap();
    let year = text.lines().find(|line| line.starts_with("probeg_input_drift{task=\"price\",field=\"year\"}")).unwrap();
    assert!(year.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 1.0, "{year}");
}

/// Each response belongs to its own request, whatever else is in the same batch.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_are_not_mixed_up() {
    let service = service();
    let car = |year: u32| format!(r#"{{"brand": "Kia", "model": "Rio", "year": {year}, "mileage": 90000}}"#);
    let mut alone = Vec::new();
    for year in 1990..2026 {
        alone.push(post(&service, "/v1/valuations", &car(year)).await.json());
    }
    let together = (0..360).map(|number| {
        let service = service.clone();
        let (index, body) = (number % alone.len(), car(1990 + u32::try_from(number % alone.len()).unwrap()));
        tokio::spawn(async move {
            // Requests rejected by the full queue are retried.
            loop {
                let response = post(&service, "/v1/valuations", &body).await;
                if response.status != 503 {
                    return (index, response);
                }
                tokio::task::yield_now().await;
            }
        })
    });
    for response in together.collect::<Vec<_>>() {
        let (index, response) =
            tokio::time::timeout(std::time::Duration::from_mins(1), response).await.unwrap().unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.json()["as_of"], alone[index]["as_of"]);
        let (price, expected) = (response.json()["price"].as_f64().unwrap(), alone[index]["price"].as_f64().unwrap());
        // The order of summation depends on the batch.
        assert!((price - expected).abs() <= 1e-5 * expected, "{price} {expected}");
    }
}

#[tokio::test]
async fn pages_of_models_and_runs_say_when_the_database_is_away() {
    let service = service();
    for path in ["/models", "/models/3", "/experiments", "/experiments/1", "/experiments/sweeps"] {
        assert_eq!(get(&service, path).await.status, 200, "the shell of {path} has no data");
        let away = (503, "database-away".to_owned());
        assert_eq!(get(&service, &format!("/fragments{path}")).await.problem(), away, "{path}");
    }
    let wrong = get(&service, "/fragments/experiments?color=red").await.problem();
    assert_eq!(wrong.0, 422, "{wrong:?}");
}
