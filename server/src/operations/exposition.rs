//! The metrics endpoint.

use std::sync::Arc;

use axum::extract::State as Extracted;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::http::problem::Problem;
use crate::http::problem::openapi::MetricsProblems;
use crate::observability::metrics::{Gauges, TaskGauges};
use crate::serving::models::Slot;
use crate::state::State;

/// The media type of the exposition format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Exposes the metrics
///
/// Requests by route and status with their durations, valuations by task and model version, values unknown to the model, the drift
/// of recent values from the training data, the share of missing values, batch sizes, queue depth, refusals and reloads,
/// in the format of Prometheus (`OpenMetrics`).
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = "operations", security(()),
    responses(
        (
            status = 200, description = "The metrics", body = String, content_type = "application/openmetrics-text",
            example = json!("# HELP probeg_model_version The model version in service by task; 0 if there is none\n\
                             # TYPE probeg_model_version gauge\nprobeg_model_version{task=\"price\"} 3\n# EOF\n")
        ),
        MetricsProblems
    )
)]
pub(crate) async fn get_metrics(Extracted(state): Extracted<State>) -> Result<Response, Problem> {
    let engine = state.engine();
    let slots = engine.models.slots();
    let gauges = |(task, slot): (&String, &Arc<Slot>)| TaskGauges {
        task: task.clone(),
        model_version: slot.champion().map_or(0, |champion| champion.file.version),
        drift: slot.served().map(|served| served.drift()).unwrap_or_default(),
    };
    let text = state.metrics().render(Gauges {
        queue_depth: engine.inference.queue_len(),
        is_stuck: engine.inference.is_stuck(),
        is_draining: state.shutdown().is_draining(),
        tasks: slots.iter().map(gauges).collect(),
    });
    let text = text.map_err(|error| Problem::internal(&error))?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
