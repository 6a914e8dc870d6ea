//! Health, keys, tokens, paths that are not there, headers, reloading.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::fixture::{bare, get, post, send, service, state};
use crate::config::{Config, Secret};
use crate::http::budget::Caller;

const CAR: &str = r#"{"brand": "Kia", "year": 2018, "mileage": 1}"#;

fn guarded() -> Config {
    Config { api_keys: vec![Secret::new("ann"), Secret::new("bob")], ..Config::default() }
}

fn with_header(request: axum::http::request::Builder, name: &str, value: &str) -> Request<Body> {
    request.header(name, value).header("content-type", "application/json").body(Body::from(CAR)).unwrap()
}

#[tokio::test]
async fn without_a_model_valuations_wait_for_one() {
    let service = crate::build(&bare(Config::default()));
    assert_eq!(get(&service, "/health/live").await.json(), json!({ "status": "live" }));
    assert_eq!(get(&service, "/health/ready").await.problem(), (503, "no-model".to_owned()));
    let answer = post(&service, "/v1/valuations", CAR).await;
    assert_eq!(answer.problem(), (503, "no-model".to_owned()));
    let detail = "train one with `probeg train --promote`; the server will load it automatically";
    assert_eq!(answer.json()["detail"], detail);
}

#[tokio::test]
async fn without_the_database_valuations_go_on() {
    let service = service();
    assert_eq!(post(&service, "/v1/valuations", CAR).await.status, 200);
    let expected = json!({ "status": "degraded", "model_version": 3, "database": false });
    assert_eq!(get(&service, "/health/ready").await.json(), expected);
    assert_eq!(get(&service, "/v1/runs").await.problem(), (503, "database-away".to_owned()));
}

#[tokio::test]
async fn one_of_the_keys_opens_the_api() {
    let service = crate::build(&state(guarded()));
    let answer = post(&service, "/v1/valuations", CAR).await;
    assert_eq!(answer.problem(), (401, "unauthorized".to_owned()));
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    for (name, value, status) in [
        ("x-api-key", "bob", 200),
        ("authorization", "Bearer ann", 200),
        ("authorization", "Basic ann", 401),
        ("x-api-key", "bo", 401),
    ] {
        let answer = send(&service, with_header(Request::post("/v1/valuations"), name, value)).await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
    assert_eq!(get(&service, "/health/live").await.status, 200);
    assert_eq!(get(&service, "/").await.status, 200);
}

#[tokio::test]
async fn the_champion_needs_the_admin_token() {
    let off = crate::build(&state(Config::default()));
    let request = || Request::put("/v1/models/champion");
    let answer = send(&off, with_header(request(), "authorization", "Bearer x")).await;
    assert_eq!(answer.problem(), (403, "admin-off".to_owned()));
    let config = Config { admin_token: Some(Secret::new("root")), ..guarded() };
    let on = crate::build(&state(config));
    let answer = send(&on, with_header(request(), "authorization", "Bearer ann")).await;
    assert_eq!(answer.problem(), (401, "unauthorized".to_owned()));
    let answer = send(&on, with_header(request(), "authorization", "Bearer root")).await;
    assert_eq!(answer.problem(), (422, "invalid-fields".to_owned()), "the token is right, the body is a car");
    let answer = send(&on, with_header(Request::post("/v1/valuations"), "authorization", "Bearer root")).await;
    assert_eq!(answer.status, 200, "the admin token is a key too");
}

#[tokio::test]
async fn other_paths_and_methods_are_problems() {
    let service = service();
    for path in ["/nowhere", "/docs/nowhere.js"] {
        assert_eq!(get(&service, path).await.problem(), (404, "not-found".to_owned()));
    }
    for (path, allow) in [("/v1/valuations", "POST"), ("/v1/models", "GET,HEAD"), ("/", "GET,HEAD")] {
        let answer = send(&service, Request::delete(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.problem(), (405, "method-not-allowed".to_owned()));
        assert_eq!(answer.header("allow"), allow);
    }
}

#[tokio::test]
async fn every_answer_has_an_id_and_guards_the_browser() {
    let service = service();
    let request = Request::get("/health/live").header("x-request-id", "mine-1").body(Body::empty()).unwrap();
    let answer = send(&service, request).await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    let answer = get(&service, "/nowhere").await;
    assert_eq!(answer.header("x-request-id").len(), 36);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn slow_requests_are_ended() {
    let config = Config { request_timeout: Duration::from_millis(50), ..Config::default() };
    let service = crate::build(&state(config));
    // The database that is away is waited for longer.
    assert_eq!(get(&service, "/v1/models").await.problem(), (503, "timed-out".to_owned()));
}

#[tokio::test]
async fn a_full_lane_refuses_at_once() {
    let state = state(Config { sessions: 1, ..Config::default() });
    let service = crate::build(&state);
    let caller = Caller::at(Ipv4Addr::UNSPECIFIED.into());
    let held: Vec<_> = std::iter::from_fn(|| state.engine().bulk.enter(caller).ok()).collect();
    let cars = format!("[{CAR}]");
    let answer = post(&service, "/v1/valuations/batch", &cars).await;
    assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
    assert_eq!(answer.header("retry-after"), "1");
    // Single cars have threads of their own, and the template is no such work.
    assert_eq!(post(&service, "/v1/valuations", CAR).await.status, 200);
    assert_eq!(get(&service, "/v1/valuations/template.xlsx").await.status, 200);
    drop(held);
    assert_eq!(post(&service, "/v1/valuations/batch", &cars).await.status, 200);
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_leaves_the_model() {
    let state = state(Config::default());
    state.reloader().refresh(true).await;
    assert_eq!(state.engine().served().unwrap().version, 3);
    assert_eq!(state.engine().failure().unwrap().version, None);
}

#[tokio::test]
async fn what_is_too_large_by_its_own_account_is_refused_unread() {
    let service = service();
    let request = Request::post("/v1/valuations").header("content-type", "application/json");
    let request = request.header("content-length", 1 << 30).body(Body::from("{")).unwrap();
    assert_eq!(send(&service, request).await.problem(), (413, "too-large".to_owned()));
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let config = Config { rate_limit: 1.try_into().ok(), ..guarded() };
    let service = crate::build(&state(config));
    let ask = || send(&service, with_header(Request::post("/v1/valuations"), "x-api-key", "ann"));
    assert_eq!(ask().await.status, 200);
    let answer = ask().await;
    assert_eq!(answer.problem(), (429, "too-many-requests".to_owned()));
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn wrong_keys_and_tokens_are_limited() {
    let service = crate::build(&state(Config { admin_token: Some(Secret::new("root")), ..guarded() }));
    let ask = |key: &str| send(&service, with_header(Request::post("/v1/valuations"), "x-api-key", key));
    let promote = |token: &str| {
        let token = format!("Bearer {token}");
        send(&service, with_header(Request::put("/v1/models/champion"), "authorization", &token))
    };
    assert_eq!(ask("ann").await.status, 200);
    let mut kinds = Vec::new();
    for guess in 0..30 {
        let answer = if guess % 2 == 0 { ask(&guess.to_string()).await } else { promote(&guess.to_string()).await };
        kinds.push(answer.problem());
    }
    let unauthorized = (401, "unauthorized".to_owned());
    assert_eq!(kinds.iter().position(|kind| *kind != unauthorized), Some(10), "{kinds:?}");
    let answer = promote("eve").await;
    assert_eq!(answer.problem(), (429, "too-many-attempts".to_owned()));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(ask("ann").await.status, 200, "this key was right before");
    assert_eq!(post(&service, "/v1/valuations", CAR).await.status, 401, "no key is no guess");
}

#[tokio::test]
async fn each_car_of_a_batch_counts() {
    let config = Config { rate_limit: 5.try_into().ok(), ..guarded() };
    let service = crate::build(&state(config));
    let ask = |key, path, body: String| {
        let request = Request::post(path).header("x-api-key", key).header("content-type", "application/json");
        send(&service, request.body(Body::from(body)).unwrap())
    };
    let cars = |count| format!("[{}]", vec![CAR; count].join(","));
    assert_eq!(ask("ann", "/v1/valuations/batch", cars(4)).await.status, 200);
    assert_eq!(ask("ann", "/v1/valuations", CAR.to_owned()).await.status, 200);
    assert_eq!(ask("ann", "/v1/valuations", CAR.to_owned()).await.status, 429);
    // More cars than may be asked for at once are let in, and owed.
    assert_eq!(ask("bob", "/v1/valuations/batch", cars(500)).await.status, 200);
    let answer = ask("bob", "/v1/valuations", CAR.to_owned()).await;
    assert_eq!(answer.problem(), (429, "too-many-requests".to_owned()));
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 90);
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_by_name_only() {
    let origin = "https://dealer.example";
    let preflight = || {
        let request = Request::options("/v1/valuations").header("origin", origin);
        request.header("access-control-request-method", "POST").body(Body::empty()).unwrap()
    };
    let closed = service();
    assert_eq!(send(&closed, preflight()).await.header("access-control-allow-origin"), "");
    let config = Config { cors_origins: vec![origin.parse().unwrap()], ..Config::default() };
    let open = crate::build(&state(config));
    let answer = send(&open, preflight()).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, origin));
    assert_eq!(answer.header("access-control-allow-methods"), "GET,POST,PUT,DELETE");
    let request = Request::get("/health/live").header("origin", origin).body(Body::empty()).unwrap();
    let exposed = send(&open, request).await.header("access-control-expose-headers").to_owned();
    assert_eq!(exposed, "content-disposition,location,retry-after,x-request-id");
    let request = Request::get("/health/live").header("origin", "https://else.example").body(Body::empty()).unwrap();
    assert_eq!(send(&open, request).await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_server_that_is_about_to_stop_says_so_and_answers() {
    let state = state(Config::default());
    let service = crate::build(&state);
    state.shutdown().start_draining();
    assert_eq!(get(&service, "/health/ready").await.problem(), (503, "draining".to_owned()));
    let answer = post(&service, "/v1/valuations", CAR).await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, ""));
    state.shutdown().start_closing();
    let answer = post(&service, "/v1/valuations", CAR).await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, "close"));
}

#[tokio::test]
async fn json_that_is_nested_too_deep_is_refused() {
    let service = service();
    let body = format!(r#"{{"brand": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(post(&service, "/v1/valuations", body).await.problem(), (400, "malformed-json".to_owned()));
}
