//! The metrics of the server.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use domain::Valuation;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::observability::drift::{FieldDrift, Shift};

/// All metrics. Label values come from closed sets, so callers cannot increase their cardinality.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    valuations: Family<VersionLabels, Counter>,
    unknown_values: Family<FieldLabels, Counter>,
    batches: Histogram,
    queue_depth: Gauge,
    reloads: Family<OutcomeLabels, Counter>,
    model_version: Family<TaskLabels, Gauge>,
    stuck: Gauge<u64, AtomicU64>,
    drift: Family<TaskFieldLabels, Gauge<f64, AtomicU64>>,
    drift_threshold: Family<TaskFieldLabels, Gauge<f64, AtomicU64>>,
    missing: Family<TaskFieldLabels, Gauge<f64, AtomicU64>>,
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
    task: String,
    model_version: i64,
}

/// The tasks of the registry, which clients cannot add to.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TaskLabels {
    task: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FieldLabels {
    field: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TaskFieldLabels {
    task: String,
    field: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    task: String,
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        // From 0.5 ms to 16 s.
        let durations: Family<RouteLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 16)));
        let batches = Histogram::new(exponential_buckets(1.0, 2.0, 7));
        let mut metrics = Self {
            registry: Registry::with_prefix("probeg"),
            requests: Family::default(),
            durations,
            valuations: Family::default(),
            unknown_values: Family::default(),
            batches,
            queue_depth: Gauge::default(),
            reloads: Family::default(),
            model_version: Family::default(),
            stuck: Gauge::default(),
            drift: Family::default(),
            drift_threshold: Family::default(),
            missing: Family::default(),
            draining: Gauge::default(),
            refusals: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests, refused ones included", metrics.requests.clone());
        let help = "Time from the head of a request to the head of its response";
        registry.register_with_unit("request_duration", help, Unit::Seconds, metrics.durations.clone());
        registry.register("valuations", "Valued cars by task and model version", metrics.valuations.clone());
        registry.register(
            "unknown_values",
            "Values unknown to the model, also of refused cars",
            metrics.unknown_values.clone(),
        );
        registry.register("batch_size", "Cars per inference batch", metrics.batches.clone());
        registry.register("queue_depth", "Single cars in the queue", metrics.queue_depth.clone());
        registry.register("reloads", "Attempts to put a model into service", metrics.reloads.clone());
        registry.register(
            "model_version",
            "The model version in service by task; 0 if there is none",
            metrics.model_version.clone(),
        );
        registry.register("inference_stuck", "1 if an inference thread hangs", metrics.stuck.clone());
        let help = "Population stability index of recent values against the training data";
        registry.register("input_drift", help, metrics.drift.clone());
        let help = "The value of input_drift that indicates a shift rather than chance";
        registry.register("input_drift_threshold", help, metrics.drift_threshold.clone());
        let help = "Share of recent cars without the field";
        registry.register("input_missing_ratio", help, metrics.missing.clone());
        registry.register("draining", "1 once the server is shutting down", metrics.draining.clone());
        registry.register("refusals", "Refused requests by type of problem", metrics.refusals.clone());
        Arc::new(metrics)
    }

    /// Counts a response. The route is the matched pattern.
    pub(crate) fn record_response(&self, method: &str, route: &str, status: u16, duration: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.durations.get_or_create(&RouteLabels { route: route.clone() }).observe(duration.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// Counts a refused or failed request.
    pub(crate) fn record_refusal(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts valued cars and their unknown values.
    pub(crate) fn record_valuations(&self, task: &str, model_version: i64, valuations: &[Valuation]) {
        self.valuations
            .get_or_create(&VersionLabels { task: task.to_owned(), model_version })
            .inc_by(valuations.len() as u64);
        let warnings = valuations.iter().flat_map(|valuation| &valuation.warnings);
        for warning in warnings.filter(|warning| warning.code == "unknown_value") {
            self.record_unknown_value(&warning.field);
        }
    }

    /// Counts an unknown value, also of a car that is refused for it.
    pub(crate) fn record_unknown_value(&self, field: &str) {
        self.unknown_values.get_or_create(&FieldLabels { field: field.to_owned() }).inc();
    }

    /// Sets the version in service and the drift of recently valued cars.
    fn set_task(&self, TaskGauges { task, model_version, drift }: TaskGauges) {
        self.model_version.get_or_create(&TaskLabels { task: task.clone() }).set(model_version);
        for FieldDrift { name: field, missing, shift } in drift {
            let labels = TaskFieldLabels { task: task.clone(), field };
            self.missing.get_or_create(&labels).set(missing);
            if let Some(Shift { index, threshold }) = shift {
                self.drift.get_or_create(&labels).set(index);
                self.drift_threshold.get_or_create(&labels).set(threshold);
            }
        }
    }

    /// Records the size of an inference batch.
    pub(crate) fn record_batch(&self, cars: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        self.batches.observe(cars as f64);
    }

    /// Counts an attempt to put a model into service.
    pub(crate) fn record_reload(&self, task: &str, succeeded: bool) {
        let outcome = if succeeded { "served" } else { "failed" };
        self.reloads.get_or_create(&OutcomeLabels { task: task.to_owned(), outcome }).inc();
    }

    /// The metrics in the text format of Prometheus (`OpenMetrics`), with the gauges set to `now`.
    pub(crate) fn render(&self, now: Gauges) -> Result<String, fmt::Error> {
        self.queue_depth.set(i64::try_from(now.queue_depth).unwrap_or(i64::MAX));
        self.stuck.set(now.is_stuck.into());
        self.draining.set(now.is_draining.into());
        self.model_version.clear();
        for family in [&self.drift, &self.drift_threshold, &self.missing] {
            family.clear();
        }
        now.tasks.into_iter().for_each(|task| self.set_task(task));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The current state of the server.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) queue_depth: usize,
    pub(crate) is_stuck: bool,
    pub(crate) is_draining: bool,
    pub(crate) tasks: Vec<TaskGauges>,
}

/// The current state of a task.
#[derive(Debug)]
pub(crate) struct TaskGauges {
    pub(crate) task: String,
    /// 0 if there is none.
    pub(crate) model_version: i64,
    /// Empty while its model is not in memory.
    pub(crate) drift: Vec<FieldDrift>,
}
