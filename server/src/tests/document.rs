//! The OpenAPI document: complete, consistent and equal to the committed one.

use chrono::Datelike;
use serde_json::Value;

use super::fixture::{get, service, today};

fn document() -> Value {
    serde_json::to_value(crate::document(today().year())).unwrap()
}

fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[test]
fn the_committed_document_is_up_to_date() {
    let committed = include_str!("../../../openapi/openapi.json");
    // The maximum year is the year after the one it was generated in.
    let parsed: Value = serde_json::from_str(committed).unwrap();
    let newest = parsed["components"]["schemas"]["Listing"]["properties"]["year"]["maximum"].as_f64().unwrap();
    let year = (2026..2100).find(|year| f64::from(year + 1).to_bits() == newest.to_bits()).unwrap();
    let generated = serde_json::to_string_pretty(&crate::document(year)).unwrap() + "\n";
    assert!(generated == committed, "regenerate it: cargo run -- openapi > openapi/openapi.json");
}

#[test]
fn the_paths_are_complete() {
    let document = document();
    let mut names: Vec<String> = operations(&document).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "delete /v1/valuations/jobs/{id}",
            "get /health/live",
            "get /health/ready",
            "get /metrics",
            "get /v1/market",
            "get /v1/models",
            "get /v1/models/champion",
            "get /v1/models/history",
            "get /v1/models/served",
            "get /v1/models/{version}",
            "get /v1/report",
            "get /v1/runs",
            "get /v1/runs/{id}",
            "get /v1/runs/{id}/figures",
            "get /v1/runs/{id}/log",
            "get /v1/runs/{id}/metrics",
            "get /v1/runs/{id}/residuals",
            "get /v1/suggestions",
            "get /v1/sweeps",
            "get /v1/sweeps/{name}",
            "get /v1/tasks",
            "get /v1/valuations/jobs/{id}",
            "get /v1/valuations/jobs/{id}/result",
            "get /v1/valuations/template.xlsx",
            "get /v1/versions",
            "get /v1/vocabulary",
            "post /get_sale_prediction_for_multiple_cars",
            "post /get_sale_prediction_for_one_car",
            "post /v1/models/rollback",
            "post /v1/valuations",
            "post /v1/valuations/batch",
            "post /v1/valuations/check",
            "post /v1/valuations/jobs",
            "post /v1/valuations/lenient",
            "post /v1/valuations/xlsx",
            "put /v1/models/champion",
        ]
    );
}

#[test]
fn every_error_has_an_example() {
    let document = document();
    for (name, operation) in operations(&document) {
        assert!(operation["summary"].is_string(), "{name} has no summary");
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.starts_with('2') {
                continue;
            }
            let content = &response["content"]["application/problem+json"];
            assert_eq!(content["schema"]["$ref"], "#/components/schemas/ProblemDetails", "{name} {status}");
            for (kind, example) in content["examples"].as_object().unwrap() {
                assert_eq!(example["value"]["status"].to_string(), *status, "{name} {kind}");
            }
        }
    }
}

/// Files need no example.
fn is_file(content_type: &str) -> bool {
    content_type.starts_with("multipart/") || content_type.contains("spreadsheetml")
}

#[test]
fn every_schema_or_each_of_its_fields_has_an_example() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if schema["example"].is_null() && schema["examples"].is_null() {
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                let has_example = ["example", "examples", "$ref", "items", "oneOf", "format", "enum"];
                let has_example = has_example.iter().any(|key| !property[key].is_null());
                assert!(has_example, "{name}.{field}: {property}");
            }
        }
    }
    for (name, operation) in operations(&document) {
        for (content_type, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            let example = &content["example"];
            let is_described = !content["schema"]["$ref"].is_null() || !example.is_null();
            assert!(is_file(content_type) || is_described, "{name} {content_type}");
        }
    }
}

#[tokio::test]
async fn the_viewer_and_the_document_are_served_from_the_binary() {
    let service = service();
    assert_eq!(get(&service, "/openapi.json").await.json(), document());
    let response = get(&service, "/docs").await;
    assert_eq!((response.status.as_u16(), response.header("location")), (303, "/docs/"));
    let page = get(&service, "/docs/").await;
    assert!(page.header("content-security-policy").contains("connect-src 'self'"));
    let page = String::from_utf8(page.body).unwrap();
    for file in ["/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/assets/docs.js", "/assets/docs.css"] {
        assert!(page.contains(file), "{page}");
        assert_eq!(get(&service, file).await.status.as_u16(), 200, "{file}");
    }
}

#[tokio::test]
async fn every_page_links_to_the_others_and_marks_its_own_link() {
    let service = service();
    for (path, own) in [
        ("/", "/"),
        ("/market", "/market"),
        ("/market/kia", "/market"),
        ("/market/kia/rio", "/market"),
        ("/data", "/data"),
    ] {
        let page = get(&service, path).await;
        let policy = page.header("content-security-policy").to_owned();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{path}: {policy}");
        let page = String::from_utf8(page.body).unwrap();
        assert!(!page.contains("<!-- header -->"), "{path}");
        for link in ["/", "/market", "/data", "/docs"] {
            let (plain, marked) =
                (format!("<a href=\"{link}\" data"), format!("<a href=\"{link}\" aria-current=\"page\""));
            assert_eq!((page.contains(&plain), page.contains(&marked)), (link != own, link == own), "{path}: {link}");
        }
    }
}

#[tokio::test]
async fn the_market_and_the_report_need_the_database() {
    let service = service();
    for path in ["/v1/market", "/v1/market?brand=kia&model=rio", "/v1/report"] {
        assert_eq!(get(&service, path).await.problem(), (503, "database-away".to_owned()), "{path}");
    }
    for path in ["/v1/market?model=rio", "/v1/market?page=0", "/v1/market?brand=", "/v1/report?brand=kia"] {
        assert_eq!(get(&service, path).await.problem(), (422, "invalid-fields".to_owned()), "{path}");
    }
}
