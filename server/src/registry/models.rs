//! The model registry: listing models and changing the champion.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State as Extracted};
use axum::{Extension, Json};
use domain::task::PRICE;
use serde::Serialize;
use storage::{AliasChange, ModelRecord, champion_of};
use utoipa::ToSchema;

use crate::http::body::JsonBody;
use crate::http::gate::{AUDIT, Admin};
use crate::http::json::{self, Field};
use crate::http::problem::Problem;
use crate::http::problem::openapi::{
    ChampionProblems, ItemProblems, PromotionProblems, RollbackProblems, TaskProblems,
};
use crate::http::query::TaskQuery;
use crate::serving::models::ReloadFailure;
use crate::state::State;

/// The registered models and the state of this server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// The version of the task, or else of the default task, that should serve; null before the first promotion.
    #[schema(example = 3)]
    champion: Option<i64>,
    /// The version that this server serves; null before the first one is loaded.
    #[schema(example = 3)]
    served: Option<i64>,
    /// The ONNX runtime of this server: `ort-tract` (pure Rust) or `onnxruntime` (native).
    #[schema(example = "ort-tract")]
    runtime: &'static str,
    /// Why the champion could not be loaded, if loading failed.
    #[schema(example = json!(null))]
    reload_error: Option<ReloadFailure>,
    /// All versions, the newest first.
    models: Vec<ModelRecord>,
}

/// The version to make champion.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "version": 1 }))]
#[expect(dead_code, reason = "the body is parsed by hand; this type documents it")]
pub(crate) struct Promotion {
    /// The version.
    #[schema(minimum = 1)]
    version: i64,
}

/// The champion after a change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Champion {
    /// The new champion. Servers load it within a second.
    #[schema(example = 3)]
    champion: i64,
}

/// Lists the models
///
/// All registered versions with their accuracy, the champion, and the version that this server serves, of all tasks or of one.
#[utoipa::path(
    get, path = "/v1/models", operation_id = "list_models", tag = "models", params(TaskQuery),
    responses((status = 200, description = "The models", body = ModelList), TaskProblems)
)]
pub(crate) async fn list_models(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<ModelList>, Problem> {
    let task = TaskQuery::read(&pairs).map_err(Problem::Invalid)?.task;
    let slot = match &task {
        Some(task) => Some(state.engine().models.slot(Some(task))?),
        None => state.engine().models.slot(None).ok(),
    };
    let models = state.database().models();
    let mut records = models.list().await.map_err(|error| Problem::from_storage(&error))?;
    records.retain(|record| task.as_ref().is_none_or(|task| record.task == *task));
    let name = slot.as_ref().map_or(PRICE, |slot| slot.task.name.as_str());
    let champion = models.champion(name).await.map_err(|error| Problem::from_storage(&error))?;
    Ok(Json(ModelList {
        champion,
        served: slot.and_then(|slot| slot.champion()).map(|champion| champion.file.version),
        runtime: state.runtime().name(),
        reload_error: state.engine().models.failure().map(Arc::unwrap_or_clone),
        models: records.into_iter().map(ModelRecord::without_segments).collect(),
    }))
}

/// Shows a model
///
/// A version with its full accuracy card.
#[utoipa::path(
    get, path = "/v1/models/{version}", operation_id = "get_model", tag = "models",
    params(("version" = String, Path, description = "A version, `latest`, or an alias such as `champion`", example = "latest")),
    responses((status = 200, description = "The model", body = ModelRecord), ItemProblems)
)]
pub(crate) async fn get_model(
    Extracted(state): Extracted<State>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelRecord>, Problem> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    find_model(&state, &name).await.map(Json)
}

/// Shows the champion
///
/// The champion with its full accuracy card.
#[utoipa::path(
    get, path = "/v1/models/champion", operation_id = "get_champion", tag = "models", params(TaskQuery),
    responses((status = 200, description = "The model", body = ModelRecord), ChampionProblems)
)]
pub(crate) async fn get_champion(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<ModelRecord>, Problem> {
    let task = task_of(&state, &pairs)?;
    find_model(&state, &champion_of(&task)).await.map(Json)
}

/// Promotes a model
///
/// Makes a version the champion of its task. Requires the admin token. Every server of the database loads the version within a
/// second. If it cannot be loaded, the server keeps the current model and reports the error in `reload_error` of
/// `/v1/models`.
#[utoipa::path(
    put, path = "/v1/models/champion", operation_id = "promote_model", tag = "models",
    request_body(content = Promotion, description = "The version"), security(("admin" = [])),
    responses((status = 200, description = "The champion", body = Champion), PromotionProblems)
)]
pub(crate) async fn promote_model(
    Extracted(state): Extracted<State>,
    Extension(admin): Extension<Admin>,
    JsonBody(body): JsonBody,
) -> Result<Json<Champion>, Problem> {
    let is_version = |name: &str| (name == "version").then_some(());
    let version = parse_version(&json::parse(&body, state.config().max_json_depth, is_version)?)?;
    let promoted = state.database().models().promote(version, &admin.who()).await;
    Ok(Json(log_change(&admin, "promote", promoted.map(|()| version))?))
}

/// Rolls back the champion
///
/// Restores the previous champion of a task. Requires the admin token. Repeated calls go further back.
#[utoipa::path(
    post, path = "/v1/models/rollback", operation_id = "rollback_model", tag = "models", params(TaskQuery),
    security(("admin" = [])),
    responses((status = 200, description = "The champion", body = Champion), RollbackProblems)
)]
pub(crate) async fn rollback_model(
    Extracted(state): Extracted<State>,
    Extension(admin): Extension<Admin>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Champion>, Problem> {
    let task = task_of(&state, &pairs)?;
    let champion = state.database().models().rollback(&task, &admin.who()).await;
    Ok(Json(log_change(&admin, "rollback", champion)?))
}

/// Lists changes of the champion
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/models/history", operation_id = "list_changes", tag = "models", params(TaskQuery),
    responses((status = 200, description = "The changes", body = Vec<AliasChange>), TaskProblems)
)]
pub(crate) async fn list_changes(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<AliasChange>>, Problem> {
    let alias = champion_of(&task_of(&state, &pairs)?);
    let changes = state.database().models().history().await.map_err(|error| Problem::from_storage(&error))?;
    let changes = changes.into_iter().filter(|change| change.alias == alias);
    Ok(Json(changes.collect()))
}

/// The name of the requested task, or of the default task.
fn task_of(state: &State, pairs: &[(String, String)]) -> Result<String, Problem> {
    task_named(state, TaskQuery::read(pairs).map_err(Problem::Invalid)?.task.as_deref())
}

/// The name of a task, or of the default task.
pub(crate) fn task_named(state: &State, task: Option<&str>) -> Result<String, Problem> {
    let models = &state.engine().models;
    match task {
        Some(task) => Ok(models.slot(Some(task))?.task.name.clone()),
        None => Ok(models.slot(None).map_or_else(|_| PRICE.to_owned(), |slot| slot.task.name.clone())),
    }
}

/// Logs a successful or failed change.
fn log_change(admin: &Admin, action: &str, champion: Result<i64, storage::Error>) -> Result<Champion, Problem> {
    let (who, id) = (admin.who(), admin.request.as_str());
    match champion {
        Ok(champion) => {
            tracing::info!(
                target: AUDIT,
                { request.id = id, who, action, model.version = champion },
                "Model version {champion} became the champion ({action} by {who})."
            );
            Ok(Champion { champion })
        }
        Err(error) => {
            tracing::warn!(
                target: AUDIT,
                { request.id = id, who, action, cause = %error },
                "The {action} by {who} failed; the champion is unchanged."
            );
            Err(Problem::from_storage(&error))
        }
    }
}

pub(crate) async fn find_model(state: &State, name: &str) -> Result<ModelRecord, Problem> {
    let missing = || Problem::NotFound { detail: format!("there is no model version {name}: see /v1/models") };
    // PostgreSQL rejects NUL characters in text.
    if name.contains('\0') {
        return Err(missing());
    }
    let models = state.database().models();
    let version = models.resolve(name).await.map_err(|error| Problem::from_storage(&error))?.ok_or_else(missing)?;
    models.get(version).await.map_err(|error| Problem::from_storage(&error))?.ok_or_else(missing)
}

fn parse_version(body: &json::Value<'_, ()>) -> Result<i64, Problem> {
    let json::Value::Object(fields) = body else { return Err(Problem::missing_version()) };
    let [Field::Known((), json::Value::Number(version))] = fields.as_slice() else {
        return Err(Problem::missing_version());
    };
    parse_integer(version).filter(|version| *version > 0).ok_or_else(Problem::missing_version)
}

/// An integer, which may be written with a decimal point.
fn parse_integer(number: &serde_json::Number) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "out-of-range numbers saturate and match no version")]
    let whole = |number: f64| (number.fract() == 0.0).then_some(number as i64);
    number.as_i64().or_else(|| whole(number.as_f64()?))
}
