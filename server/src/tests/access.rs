//! Health, API keys, the admin token, unknown paths, headers and reloading.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::fixture::{self, get, post, send, service, state, state_without_model};
use crate::config::{Config, Secret};
use crate::http::budget::Caller;

const CAR: &str = r#"{"brand": "Kia", "year": 2018, "mileage": 1}"#;

fn with_keys() -> Config {
    Config { api_keys: vec![Secret::new("ann"), Secret::new("bob")], ..Config::default() }
}

fn with_header(request: axum::http::request::Builder, name: &str, value: &str) -> Request<Body> {
    request.header(name, value).header("content-type", "application/json").body(Body::from(CAR)).unwrap()
}

#[tokio::test]
async fn without_a_model_valuations_are_unavailable() {
    let service = crate::build(&state_without_model(Config::default()));
    assert_eq!(get(&service, "/health/live").await.json(), json!({ "status": "live" }));
    assert_eq!(get(&service, "/health/ready").await.problem(), (503, "no-model".to_owned()));
    let response = post(&service, "/v1/valuations", CAR).await;
    assert_eq!(response.problem(), (503, "no-model".to_owned()));
    let detail = "train one with `probeg train --promote`; the server will load it automatically";
    assert_eq!(response.json()["detail"], detail);
}

#[tokio::test]
async fn valuations_work_without_the_database() {
    let service = service();
    assert_eq!(post(&service, "/v1/valuations", CAR).await.status, 200);
    let expected = json!({ "status": "degraded", "model_version": 3, "database": false });
    assert_eq!(get(&service, "/health/ready").await.json(), expected);
    assert_eq!(get(&service, "/v1/runs").await.problem(), (503, "database-away".to_owned()));
}

#[tokio::test]
async fn any_of_the_keys_is_accepted() {
    let service = crate::build(&state(with_keys()));
    let response = post(&service, "/v1/valuations", CAR).await;
    assert_eq!(response.problem(), (401, "unauthorized".to_owned()));
    assert_eq!(response.header("www-authenticate"), "Bearer");
    for (name, value, status) in [
        ("x-api-key", "bob", 200),
        ("authorization", "Bearer ann", 200),
        ("authorization", "Basic ann", 401),
        ("x-api-key", "bo", 401),
    ] {
        let response = send(&service, with_header(Request::post("/v1/valuations"), name, value)).await;
        assert_eq!(response.status, status, "{name}: {value}");
    }
    assert_eq!(get(&service, "/health/live").await.status, 200);
    assert_eq!(get(&service, "/").await.status, 200);
}

#[tokio::test]
async fn changing_the_champion_requires_the_admin_token() {
    let without_token = crate::build(&state(Config::default()));
    let request = || Request::put("/v1/models/champion");
    let response = send(&without_token, with_header(request(), "authorization", "Bearer x")).await;
    assert_eq!(response.problem(), (403, "admin-off".to_owned()));
    let config = Config { admin_token: Some(Secret::new("root")), ..with_keys() };
    let with_token = crate::build(&state(config));
    let response = send(&with_token, with_header(request(), "authorization", "Bearer ann")).await;
    assert_eq!(response.problem(), (401, "unauthorized".to_owned()));
    let response = send(&with_token, with_header(request(), "authorization", "Bearer root")).await;
    assert_eq!(response.problem(), (422, "invalid-fields".to_owned()), "the token is valid, but the body is a car");
    let response =
        send(&with_token, with_header(Request::post("/v1/valuations"), "authorization", "Bearer root")).await;
    assert_eq!(response.status, 200, "the admin token is also a key");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let service = service();
    for path in ["/nowhere", "/docs/nowhere.js"] {
        assert_eq!(get(&service, path).await.problem(), (404, "not-found".to_owned()));
    }
    for (path, allow) in [("/v1/valuations", "POST"), ("/v1/models", "GET,HEAD"), ("/", "GET,HEAD")] {
        let response = send(&service, Request::delete(path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.problem(), (405, "method-not-allowed".to_owned()));
        assert_eq!(response.header("allow"), allow);
    }
}

#[tokio::test]
async fn every_response_has_an_id_and_security_headers() {
    let service = service();
    let request = Request::get("/health/live").header("x-request-id", "mine-1").body(Body::empty()).unwrap();
    let response = send(&service, request).await;
    assert_eq!(response.header("x-request-id"), "mine-1");
    let response = get(&service, "/nowhere").await;
    assert_eq!(response.header("x-request-id").len(), 36);
    assert_eq!(response.header("x-content-type-options"), "nosniff");
    assert_eq!(response.header("referrer-policy"), "no-referrer");
    assert_eq!(response.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(response.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn slow_requests_time_out() {
    let config = Config { request_timeout: Duration::from_millis(50), ..Config::default() };
    let service = crate::build(&state(config));
    // Connecting to the unreachable database takes longer than that.
    assert_eq!(get(&service, "/v1/models").await.problem(), (503, "timed-out".to_owned()));
}

#[tokio::test]
async fn a_full_bulk_lane_rejects_immediately() {
    let state = state(Config { sessions: 1, ..Config::default() });
    let service = crate::build(&state);
    let caller = Caller::at(Ipv4Addr::UNSPECIFIED.into());
    let permits: Vec<_> = std::iter::from_fn(|| state.engine().bulk.enter(caller).ok()).collect();
    let cars = format!("[{CAR}]");
    let response = post(&service, "/v1/valuations/batch", &cars).await;
    assert_eq!(response.problem(), (503, "overloaded".to_owned()));
    assert_eq!(response.header("retry-after"), "1");
    // Single cars have their own threads, and the template needs none.
    assert_eq!(post(&service, "/v1/valuations", CAR).await.status, 200);
    assert_eq!(get(&service, "/v1/valuations/template.xlsx").await.status, 200);
    drop(permits);
    assert_eq!(post(&service, "/v1/valuations/batch", &cars).await.status, 200);
}

#[tokio::test]
async fn an_unreachable_registry_keeps_the_model_in_service() {
    let state = state(Config::default());
    state.reloader().refresh(true).await;
    assert_eq!(fixture::served(&state).version, 3);
    assert_eq!(state.engine().models.failure().unwrap().version, None);
}

#[tokio::test]
async fn an_excessive_content_length_is_rejected() {
    let service = service();
    let request = Request::post("/v1/valuations").header("content-type", "application/json");
    let request = request.header("content-length", 1 << 30).body(Body::from("{")).unwrap();
    assert_eq!(send(&service, request).await.problem(), (413, "too-large".to_owned()));
}

#[tokio::test]
async fn rate_limited_keys_get_a_retry_after() {
    let config = Config { rate_limit: 1.try_into().ok(), ..with_keys() };
    let service = crate::build(&state(config));
    let request = || send(&service, with_header(Request::post("/v1/valuations"), "x-api-key", "ann"));
    assert_eq!(request().await.status, 200);
    let response = request().await;
    assert_eq!(response.problem(), (429, "too-many-requests".to_owned()));
    assert_eq!(response.header("retry-after"), "1");
}

#[tokio::test]
async fn failed_attempts_are_limited() {
    let service = crate::build(&state(Config { admin_token: Some(Secret::new("root")), ..with_keys() }));
    let request = |key: &str| send(&service, with_header(Request::post("/v1/valuations"), "x-api-key", key));
    let promote = |token: &str| {
        let token = format!("Bearer {token}");
        send(&service, with_header(Request::put("/v1/models/champion"), "authorization", &token))
    };
    assert_eq!(request("ann").await.status, 200);
    let mut kinds = Vec::new();
    for guess in 0..30 {
        let response =
            if guess % 2 == 0 { request(&guess.to_string()).await } else { promote(&guess.to_string()).await };
        kinds.push(response.problem());
    }
    let unauthorized = (401, "unauthorized".to_owned());
    assert_eq!(kinds.iter().position(|kind| *kind != unauthorized), Some(10), "{kinds:?}");
    let response = promote("eve").await;
    assert_eq!(response.problem(), (429, "too-many-attempts".to_owned()));
    assert_eq!(response.header("retry-after"), "1");
    assert_eq!(request("ann").await.status, 200, "this key has been accepted before");
    assert_eq!(post(&service, "/v1/valuations", CAR).await.status, 401, "a missing key is not an attempt");
}

#[tokio::test]
async fn each_car_of_a_batch_counts_towards_the_rate_limit() {
    let config = Config { rate_limit: 5.try_into().ok(), ..with_keys() };
    let service = crate::build(&state(config));
    let request = |key, path, body: String| {
        let request = Request::post(path).header("x-api-key", key).header("content-type", "application/json");
        send(&service, request.body(Body::from(body)).unwrap())
    };
    let cars = |count| format!("[{}]", vec![CAR; count].join(","));
    assert_eq!(request("ann", "/v1/valuations/batch", cars(4)).await.status, 200);
    assert_eq!(request("ann", "/v1/valuations", CAR.to_owned()).await.status, 200);
    assert_eq!(request("ann", "/v1/valuations", CAR.to_owned()).await.status, 429);
    // A batch above the burst size is accepted; its excess delays later requests.
    assert_eq!(request("bob", "/v1/valuations/batch", cars(500)).await.status, 200);
    let response = request("bob", "/v1/valuations", CAR.to_owned()).await;
    assert_eq!(response.problem(), (429, "too-many-requests".to_owned()));
    assert!(response.header("retry-after").parse::<u64>().unwrap() > 90);
}

#[tokio::test]
async fn cors_allows_configured_origins_only() {
    let origin = "https://dealer.example";
    let preflight = || {
        let request = Request::options("/v1/valuations").header("origin", origin);
        request.header("access-control-request-method", "POST").body(Body::empty()).unwrap()
    };
    let closed = service();
    assert_eq!(send(&closed, preflight()).await.header("access-control-allow-origin"), "");
    let config = Config { cors_origins: vec![origin.parse().unwrap()], ..Config::default() };
    let open = crate::build(&state(config));
    let response = send(&open, preflight()).await;
    assert_eq!((response.status.as_u16(), response.header("access-control-allow-origin")), (200, origin));
    assert_eq!(response.header("access-control-allow-methods"), "GET,POST,PUT,DELETE");
    let request = Request::get("/health/live").header("origin", origin).body(Body::empty()).unwrap();
    let exposed = send(&open, request).await.header("access-control-expose-headers").to_owned();
    assert_eq!(exposed, "content-disposition,location,retry-after,x-request-id");
    let request = Request::get("/health/live").header("origin", "https://else.example").body(Body::empty()).unwrap();
    assert_eq!(send(&open, request).await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_draining_server_is_not_ready_but_responds() {
    let state = state(Config::default());
    let service = crate::build(&state);
    state.shutdown().start_draining();
    assert_eq!(get(&service, "/health/ready").await.problem(), (503, "draining".to_owned()));
    let response = post(&service, "/v1/valuations", CAR).await;
    assert_eq!((response.status.as_u16(), response.header("connection")), (200, ""));
    state.shutdown().start_closing();
    let response = post(&service, "/v1/valuations", CAR).await;
    assert_eq!((response.status.as_u16(), response.header("connection")), (200, "close"));
}

#[tokio::test]
async fn deeply_nested_json_is_rejected() {
    let service = service();
    let body = format!(r#"{{"brand": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(post(&service, "/v1/valuations", body).await.problem(), (400, "malformed-json".to_owned()));
}
