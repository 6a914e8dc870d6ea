//! Where the log goes: standard error, and a collector of OpenTelemetry where one is named.

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
    /// Logs to standard error, as text or, with `PROBEG_LOG=json`, as JSON; `RUST_LOG` filters. Spans go to the
    /// collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, over HTTP.
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
        let spans = if names_collector()? { collector().map(Some) } else { Ok(None) };
        let (spans, failure) = match spans {
            Ok(spans) => (spans, None),
            Err(error) => (None, Some(error)),
        };
        let exported = spans.as_ref().map(|spans| tracing_opentelemetry::layer().with_tracer(spans.tracer("probeg")));
        tracing_subscriber::registry().with(filter).with(lines).with(exported).init();
        if let Some(error) = failure {
            tracing::warn!(%error, "The collector of OpenTelemetry cannot be used; spans are not exported.");
        }
        Ok(Self { spans })
    }

    /// Sends what has not been sent yet.
    pub fn end(self) {
        if let Some(Err(error)) = self.spans.map(|spans| spans.shutdown()) {
            tracing::debug!(%error, "The last spans could not be exported.");
        }
    }
}

fn names_collector() -> Result<bool, ConfigError> {
    // Both are looked at, so that one which cannot be used is told in any case.
    let named = [variables::COLLECTOR.value()?, variables::SPAN_COLLECTOR.value()?];
    Ok(named.iter().any(Option::is_some))
}

fn collector() -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder().with_service_name("probeg").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
