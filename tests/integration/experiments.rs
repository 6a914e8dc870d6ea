//! The pages and the API of runs, for a run that was really trained.

use serde_json::Value;

use crate::market::{block_on, server};

#[test]
fn runs_are_listed_shown_and_compared_over_http() {
    let server = server();
    block_on(async {
        let get = async |path: &str| reqwest::get(server.url(path)).await.unwrap();
        let listed = get("/v1/runs?sort=mape&status=completed&limit=1").await;
        assert!(listed.headers()["x-total-count"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
        let runs: Value = listed.json().await.unwrap();
        assert_eq!(runs.as_array().unwrap().len(), 1);
        let run = runs[0]["id"].as_i64().unwrap();
        let none: Value = get("/v1/runs?tag=absent").await.json().await.unwrap();
        assert_eq!(none, Value::Array(Vec::new()));
        for wrong in ["sort=beauty", "limit=0", "status=fine", "color=red", "tag=%00", "tag=a&tag=b"] {
            assert_eq!(get(&format!("/v1/runs?{wrong}")).await.status(), 422, "{wrong}");
        }

        let figures: Value = get(&format!("/v1/runs/{run}/figures?points=5")).await.json().await.unwrap();
        let figures = figures.as_array().unwrap();
        let names: Vec<_> = figures.iter().map(|figure| figure["name"].as_str().unwrap()).collect();
        for name in ["train_loss", "validation_loss", "learning_rate", "memory"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(
            figures.iter().all(|figure| (1..=5).contains(&figure["points"].as_array().unwrap().len())),
            "{figures:?}"
        );
        assert_eq!(get("/v1/runs/999999/figures").await.status(), 404);
        assert_eq!(get(&format!("/v1/runs/{run}/figures?points=0")).await.status(), 422);

        let page = get(&format!("/experiments/{run}")).await;
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
        let fragment = async |path: String| {
            let response = get(&path).await;
            assert_eq!(response.status(), 200, "{path}");
            response.text().await.unwrap()
        };
        let table = fragment("/fragments/experiments?language=en".to_owned()).await;
        assert!(
            table.contains(&format!("<a href=\"/experiments/{run}\">")) && table.contains("Training runs"),
            "{table}"
        );
        let shown = fragment(format!("/fragments/experiments/{run}?language=en")).await;
        assert!(shown.contains("data-name=") && shown.contains("<meter") && shown.contains("Log"), "{shown}");
        let compared = fragment(format!("/fragments/experiments/compare?run={run}&language=ru")).await;
        assert!(compared.contains("Сравнение") && compared.contains("data-points="), "{compared}");
        assert_eq!(get("/fragments/experiments/999999").await.status(), 404);
    });
}
