//! Logging to standard error, and export of spans to an OpenTelemetry collector.

use std::io::IsTerminal;

use anyhow::{Context as _, Result, bail};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use server::ConfigError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::variables;

/// The log of this process.
pub struct Log {
    spans: Option<SdkTracerProvider>,
}

impl Log {
    /// Starts logging to standard error, as text or, with `PROBEG_LOG=json`, as JSON, filtered by `RUST_LOG`. Spans are exported
    /// over HTTP to the collector at `OTEL_EXPORTER_OTLP_ENDPOINT`, if set.
    pub fn start() -> Result<Self> {
        let filter = variables::RUST_LOG.value_or_default()?;
        let filter = EnvFilter::try_new(&filter).with_context(|| format!("RUST_LOG={filter}"))?;
        let lines =
            fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_target(false);
        let is_json = match variables::LOG.value_or_default()?.as_str() {
            "text" => false,
            "json" => true,
            other => bail!("PROBEG_LOG={other}: expected text or json"),
        };
        let lines = if is_json { lines.json().with_target(true).boxed() } else { lines.compact().boxed() };
        let spans = if has_collector()? { create_provider().map(Some) } else { Ok(None) };
        let (spans, failure) = match spans {
            Ok(spans) => (spans, None),
            Err(error) => (None, Some(error)),
        };
        let exported = spans.as_ref().map(|spans| tracing_opentelemetry::layer().with_tracer(spans.tracer("probeg")));
        tracing_subscriber::registry().with(filter).with(lines).with(exported).init();
        if let Some(error) = failure {
            tracing::warn!(%error, "The OpenTelemetry exporter could not be created; spans are not exported.");
        }
        Ok(Self { spans })
    }

    /// Exports the remaining spans.
    pub fn shut_down(self) {
        if let Some(Err(error)) = self.spans.map(|spans| spans.shutdown()) {
            tracing::debug!(%error, "The last spans could not be exported.");
        }
    }
}

fn has_collector() -> Result<bool, ConfigError> {
    // Both are read, so that an invalid value is always reported.
    let endpoints = [variables::COLLECTOR.value()?, variables::SPAN_COLLECTOR.value()?];
    Ok(endpoints.iter().any(Option::is_some))
}

fn create_provider() -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder().with_service_name("probeg").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
