//! What a running Cistern says about itself: log lines on stderr, metrics for the admin listener, traces for a collector.
//!
//! Log lines go to stderr only; stdout carries answers. Nothing here reads the environment: format, level and colour
//! are handed in. [`init_with`] can be called once; a second call is an error, not a panic, so that tests and tools may come
//! first.

mod json;
mod registry;
mod traces;
mod writer;

use opentelemetry_sdk::trace::Tracer;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer};

pub use registry::{CONTENT_TYPE, Registry};
pub use traces::{Traces, close, continue_trace, trace_parent};
pub use writer::AboveBars;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, its fields beside the message.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is not one.
    #[error("read the log level")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Traces cannot be sent.
    #[error("set up traces: {0}")]
    Traces(String),
    /// Somebody set up logging before.
    #[error("set up logging: it already is")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends the log lines of this process to `writer` ([`AboveBars`] where progress bars are drawn, else stderr), and its spans to
/// a collector if there is one. `level` is that of `log.level`; `color` only matters for text.
pub fn init_with<W>(format: Format, level: &str, color: bool, writer: W, traces: Option<&Traces>) -> Result<(), Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let tracer = traces.map(traces::start).transpose().map_err(Error::Traces)?;
    Ok(tracing::subscriber::set_global_default(subscriber(format, level, color, writer, tracer)?)?)
}

/// Returns what [`init_with`] installs.
fn subscriber<W>(
    format: Format,
    level: &str,
    color: bool,
    writer: W,
    tracer: Option<Tracer>,
) -> Result<Box<dyn Subscriber + Send + Sync>, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(directives(level))?;
    // A writer that fails is no reason to panic over its error, which is what telling it on a closed stderr would be.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines: Box<dyn Layer<Registered> + Send + Sync> = match format {
        Format::Text => lines.with_ansi(color).with_target(false).with_filter(filter).boxed(),
        Format::Json => lines.fmt_fields(JsonFields::new()).event_format(json::Flat).with_filter(filter).boxed(),
    };
    // Spans down to single questions and operations; of log lines those that everybody sees.
    let recorded = filter_fn(|metadata| {
        let most = if metadata.is_span() { Level::DEBUG } else { Level::INFO };
        metadata.target().starts_with("cistern") && *metadata.level() <= most
    });
    let spans = tracer.map(|tracer| {
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        layer.with_threads(false).with_location(false).with_tracked_inactivity(false).with_filter(recorded)
    });
    Ok(Box::new(tracing_subscriber::registry().with(lines).with(spans)))
}

/// What the lines' layer is put on.
type Registered = tracing_subscriber::Registry;

/// A plain level is Cistern's own, others stay at `warn`, or below it when `level` is; pairs add to that.
fn directives(level: &str) -> String {
    match level {
        "off" | "error" => level.to_owned(),
        _ => level.split(',').map(str::trim).fold("warn,cistern=info".to_owned(), |directives, part| {
            let own = if part.contains('=') { "" } else { "cistern=" };
            format!("{directives},{own}{part}")
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics while it writes").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, level: &str, log: impl Fn()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, level, false, move || writer.clone(), None).expect("a good level");
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().expect("no test panics while it writes");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn json_lines_hold_their_fields_beside_the_message() {
        let text = logged(Format::Json, "info", || {
            tracing::info!(target: "cistern::queue", { project.id = 7 }, "kept");
        });
        let line: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!((&line["message"], &line["project.id"]), (&"kept".into(), &7.into()));
    }

    #[test]
    fn a_line_holds_what_the_spans_around_it_know() {
        let text = logged(Format::Json, "info", || {
            let outer =
                tracing::info_span!(target: "cistern", "work", delivery.id = "d", job.id = tracing::field::Empty);
            let _outer = outer.enter();
            outer.record("job.id", 7);
            let _inner = tracing::debug_span!(target: "cistern", "store", operation = "apply").entered();
            tracing::info!(target: "cistern::queue", { n = 1.5, yes = true, which = ?Some(1), delivery.id = "own" }, "kept");
        });
        let line: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!((&line["job.id"], &line["delivery.id"], &line["n"]), (&7.into(), &"own".into(), &1.5.into()));
        assert_eq!((&line["which"], &line["operation"]), (&"Some(1)".into(), &serde_json::Value::Null), "{text}");
    }

    #[test]
    fn a_plain_level_is_that_of_cistern_alone() {
        let log = || {
            tracing::debug!(target: "cistern::queue", "ours");
            tracing::info!(target: "reqwest", "theirs");
            tracing::warn!(target: "reqwest", "worse");
        };
        let shown = |level: &str| {
            let text = logged(Format::Text, level, log);
            ["ours", "theirs", "worse"].map(|word| text.contains(word))
        };
        assert_eq!(shown("debug"), [true, false, true]);
        assert_eq!(shown("info"), [false, false, true]);
        assert_eq!(shown("error"), [false, false, false]);
        assert_eq!(shown("cistern::queue=debug,reqwest=info"), [true, true, true]);
        assert_eq!(shown("debug, reqwest=off"), [true, false, false]);
    }
}
