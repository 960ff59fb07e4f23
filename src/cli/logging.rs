//! What the program says of its work while it works: lines on standard error, and traces for an
//! OpenTelemetry collector where one is named.

use std::env;
use std::io::{self, IsTerminal};

use anyhow::{Context, ensure};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};
use url::Url;

use super::args::Arguments;
use crate::fetch::CollectorClient;

/// Where below its address a collector takes traces.
const TRACES_PATH: &str = "/v1/traces";

/// What is told, until this is dropped: then what the collector has not got yet is sent.
pub(super) struct Logging {
    traces: Option<SdkTracerProvider>,
}

impl Drop for Logging {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces {
            // A collector that does not answer was complained of; there is nobody else to tell.
            let _ = traces.shutdown();
        }
    }
}

/// Starts both.
///
/// # Errors
/// Where the collector's address is none, and where there is no thread left to send from.
pub(super) fn start(arguments: &Arguments) -> anyhow::Result<Logging> {
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => "error",
        (false, 0) => "warn,touchstone=info",
        (false, 1) => "info,touchstone=debug",
        (false, _) => "debug",
    };
    // ONNX Runtime reports every load at info level.
    let filter = EnvFilter::try_from_env("TOUCHSTONE_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},ort=error,onnxruntime=error")));
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    let lines = match arguments.log_json {
        true => lines.json().with_filter(filter).boxed(),
        false => lines.with_filter(filter).boxed(),
    };
    // A variable that is there but empty counts as not there, by OpenTelemetry's rules.
    let collector = arguments.otlp_endpoint.as_deref();
    let collector = collector.filter(|address| !address.is_empty());
    let traces = collector.map(provider).transpose()?;
    let spans = traces.as_ref().map(|traces| {
        let own = Targets::new().with_target(env!("CARGO_PKG_NAME"), LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_threads(false)
            .with_tracer(traces.tracer(env!("CARGO_PKG_NAME")))
            .with_filter(own)
    });
    registry().with(lines).with(spans).init();
    Ok(Logging { traces })
}

/// Sends traces to a collector in the background. What else the exporter can be told (headers, how much at a
/// time, how many of the traces) it reads from the variables that OpenTelemetry names for it.
fn provider(collector: &str) -> anyhow::Result<SdkTracerProvider> {
    let address: Url = collector
        .parse()
        .with_context(|| format!("the collector's address {collector:?}"))?;
    ensure!(
        matches!(address.scheme(), "http" | "https"),
        "the collector's address {collector:?} must begin with http: or https:"
    );
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(
            CollectorClient::start().context("starting the thread that sends traces")?,
        )
        .with_endpoint(format!("{}{TRACES_PATH}", collector.trim_end_matches('/')))
        .build()
        .context("preparing to send traces")?;
    let resource = Resource::builder();
    let resource = match env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => resource,
        None => resource.with_service_name(env!("CARGO_PKG_NAME")),
    };
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}
