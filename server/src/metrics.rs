//! What operators watch, in the text format of Prometheus.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::extract::State as Extracted;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use domain::Valuation;
use domain::drift::{FieldDrift, Shift};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::problem::Problem;
use crate::problem::document::OfMetrics;
use crate::state::State;

/// The media type of the format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is counted. Labels come from closed lists, so that no caller makes them grow.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    valuations: Family<VersionLabels, Counter>,
    unknown: Family<FieldLabels, Counter>,
    batches: Histogram,
    waiting: Gauge,
    reloads: Family<OutcomeLabels, Counter>,
    model_version: Gauge,
    stuck: Gauge<u64, AtomicU64>,
    drift: Family<FieldLabels, Gauge<f64, AtomicU64>>,
    drift_threshold: Family<FieldLabels, Gauge<f64, AtomicU64>>,
    missing: Family<FieldLabels, Gauge<f64, AtomicU64>>,
    draining: Gauge<u64, AtomicU64>,
    refusals: Family<ReasonLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VersionLabels {
    model_version: i64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FieldLabels {
    field: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        // From half a millisecond to a quarter of a minute.
        let durations: Family<RouteLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 16)));
        let batches = Histogram::new(exponential_buckets(1.0, 2.0, 7));
        let mut metrics = Self {
            registry: Registry::with_prefix("probeg"),
            requests: Family::default(),
            durations,
            valuations: Family::default(),
            unknown: Family::default(),
            batches,
            waiting: Gauge::default(),
            reloads: Family::default(),
            model_version: Gauge::default(),
            stuck: Gauge::default(),
            drift: Family::default(),
            drift_threshold: Family::default(),
            missing: Family::default(),
            draining: Gauge::default(),
            refusals: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Answered requests, refusals included", metrics.requests.clone());
        let help = "From a request's head to its answer's";
        registry.register_with_unit("request_duration", help, Unit::Seconds, metrics.durations.clone());
        registry.register("valuations", "Cars that were valued, by version", metrics.valuations.clone());
        registry.register("unknown_values", "Values that the model did not know", metrics.unknown.clone());
        registry.register("batch_size", "Cars that were valued together", metrics.batches.clone());
        registry.register("queue_depth", "Single cars that wait", metrics.waiting.clone());
        registry.register("reloads", "Attempts to put a model into service", metrics.reloads.clone());
        registry.register("model_version", "The version in service; 0 without one", metrics.model_version.clone());
        registry.register("inference_stuck", "1 when a computing thread hangs", metrics.stuck.clone());
        let help = "Population stability index of the values given lately against the training data";
        registry.register("input_drift", help, metrics.drift.clone());
        let help = "What input_drift has to exceed to mean a shift, rather than chance among few values";
        registry.register("input_drift_threshold", help, metrics.drift_threshold.clone());
        let help = "Share of the cars valued lately that leave a field out";
        registry.register("input_missing_ratio", help, metrics.missing.clone());
        registry.register("draining", "1 once the server was asked to stop", metrics.draining.clone());
        registry.register("refusals", "Refused requests by kind of problem", metrics.refusals.clone());
        Arc::new(metrics)
    }

    /// A request was answered. The route is the pattern that it matched.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, duration: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.durations.get_or_create(&RouteLabels { route: route.clone() }).observe(duration.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// A request was refused, or failed.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A version valued cars that somebody asked about.
    pub(crate) fn valued(&self, model_version: i64, valuations: &[Valuation]) {
        self.valuations.get_or_create(&VersionLabels { model_version }).inc_by(valuations.len() as u64);
        for warning in valuations.iter().flat_map(|valuation| &valuation.warnings) {
            self.unknown.get_or_create(&FieldLabels { field: warning.field.clone() }).inc();
        }
    }

    /// How the cars that were valued lately differ from those that the served model has learned from.
    fn observed(&self, fields: Vec<FieldDrift>) {
        for family in [&self.drift, &self.drift_threshold, &self.missing] {
            family.clear();
        }
        for FieldDrift { name: field, missing, shift } in fields {
            let labels = FieldLabels { field };
            self.missing.get_or_create(&labels).set(missing);
            if let Some(Shift { index, threshold }) = shift {
                self.drift.get_or_create(&labels).set(index);
                self.drift_threshold.get_or_create(&labels).set(threshold);
            }
        }
    }

    /// So many cars were valued in one run of the graph.
    pub(crate) fn batch(&self, cars: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        self.batches.observe(cars as f64);
    }

    /// A model was put into service, or could not be.
    pub(crate) fn reloaded(&self, is_in_service: bool) {
        let outcome = if is_in_service { "served" } else { "failed" };
        self.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

/// The figures that operators watch
///
/// Requests by route and status with their durations, valuations by model version, values that the model did not know,
/// how far the values given have drifted from the training data and how often a field is left out, batch sizes, queue
/// depth, refusals, reloads: in the format of Prometheus (`OpenMetrics`).
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = "operations", security(()),
    responses(
        (
            status = 200, description = "The figures", body = String, content_type = "application/openmetrics-text",
            example = json!("# HELP probeg_model_version The version in service\n# TYPE probeg_model_version gauge\n\
                             probeg_model_version 3\n# EOF\n")
        ),
        OfMetrics
    )
)]
pub(crate) async fn get_metrics(Extracted(state): Extracted<State>) -> Result<Response, Problem> {
    let (metrics, engine) = (state.metrics(), state.engine());
    metrics.waiting.set(i64::try_from(engine.inference.waiting()).unwrap_or(i64::MAX));
    metrics.model_version.set(engine.served().map_or(0, |served| served.version));
    metrics.stuck.set(u64::from(engine.inference.is_stuck()));
    metrics.draining.set(u64::from(state.is_draining()));
    metrics.observed(engine.served().map(|served| served.model.drift()).unwrap_or_default());
    let mut text = String::new();
    encode(&mut text, &metrics.registry).map_err(|error| Problem::internal(&error))?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
