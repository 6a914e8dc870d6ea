//! A service without a database, and helpers to call it.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use chrono::NaiveDate;
use domain::Task;
use onnx_model::{Model, Runtime, Sessions};
use serde_json::Value;
use storage::Database;
use tower::ServiceExt;

use super::model_file::model_file_of;
use crate::config::Config;
use crate::serving::models::Served;
use crate::state::State;

/// An unreachable database.
const UNREACHABLE_DATABASE: &str = "postgres://probeg@127.0.0.1:1/probeg";

/// The date in all tests.
pub fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 22).unwrap()
}

/// A process has one runtime only.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// A state without a model.
pub fn state_without_model(config: Config) -> State {
    let database = Database::connect_lazy(UNREACHABLE_DATABASE, 2).unwrap();
    let runtime = RUNTIME.get_or_init(|| Runtime::load(None).unwrap()).clone();
    State::new(config, database, runtime, today).unwrap()
}

/// A state with the model as version 3.
pub fn state(config: Config) -> State {
    let state = state_without_model(config);
    serve(&state, &Task::price());
    state
}

/// Puts a model of a task into service as version 3.
pub fn serve(state: &State, task: &Task) -> Arc<Served> {
    let models = &state.engine().models;
    let mut tasks: Vec<Task> = models.slots().values().map(|slot| slot.task.clone()).collect();
    tasks.push(task.clone());
    models.set_tasks(tasks);
    let file = model_file_of(task);
    let model = Model::open(state.runtime(), &file, Sessions::bulk(2)).unwrap();
    let slot = models.slot(Some(&task.name)).unwrap();
    state.engine().serve(&slot, Served::new(3, vec![3; 32], model, file.len()));
    slot.served().unwrap()
}

/// The model of the default task.
pub fn served(state: &State) -> Arc<Served> {
    state.engine().models.slot(None).unwrap().served().unwrap()
}

/// The service with the model and the default settings.
pub fn service() -> Router {
    crate::build(&state(Config::default()))
}

/// A response with its whole body.
#[derive(Debug)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl TestResponse {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status, and the last segment of the problem type.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        (self.status.as_u16(), body["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned())
    }
}

/// Sends a request.
pub async fn send(router: &Router, request: Request<Body>) -> TestResponse {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    TestResponse { status: parts.status, headers: parts.headers, body }
}

pub async fn get(router: &Router, path: &str) -> TestResponse {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

/// Sends a JSON body, which may be malformed.
pub async fn post(router: &Router, path: &str, body: impl Into<String>) -> TestResponse {
    let request = Request::post(path).header("content-type", "application/json").body(Body::from(body.into()));
    send(router, request.unwrap()).await
}

/// Sends a form with one file.
pub async fn upload(router: &Router, path: &str, field: &str, name: &str, content: &[u8]) -> TestResponse {
    let mut body =
        format!("--b\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n").into_bytes();
    body.extend(content);
    body.extend(b"\r\n--b--\r\n");
    let request = Request::post(path).header("content-type", "multipart/form-data; boundary=b").body(body.into());
    send(router, request.unwrap()).await
}
