//! What a running Cistern says about itself: log lines on stderr, metrics for the admin listener.
//!
//! Log lines go to stderr only; stdout carries answers. Nothing here reads the environment: format, level and colour
//! are handed in. [`init`] can be called once; a second call is an error, not a panic, so that tests and tools may come
//! first.

mod registry;
mod writer;

use std::io;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

pub use registry::{CONTENT_TYPE, Registry};
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
    /// Somebody set up logging before.
    #[error("set up logging: it already is")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends the log lines of this process to stderr. `level` is that of `log.level`; `color` only matters for text.
pub fn init(format: Format, level: &str, color: bool) -> Result<(), Error> {
    init_with(format, level, color, io::stderr)
}

/// Sends the log lines of this process to `writer`: [`AboveBars`] where progress bars are drawn.
pub fn init_with<W>(format: Format, level: &str, color: bool, writer: W) -> Result<(), Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    Ok(tracing::subscriber::set_global_default(subscriber(format, level, color, writer)?)?)
}

/// Returns what [`init_with`] installs, for those who want it for a part of a process only.
pub fn subscriber<W>(
    format: Format,
    level: &str,
    color: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(directives(level))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match format {
        Format::Text => Box::new(lines.with_ansi(color).with_target(false).finish()),
        Format::Json => Box::new(lines.json().flatten_event(true).with_span_list(false).finish()),
    })
}

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
    use std::io::Write;
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
        let subscriber = subscriber(format, level, false, move || writer.clone()).expect("a good level");
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
