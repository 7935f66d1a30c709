mod named;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use named::Named;

/// What is logged unless something else is asked for: what we do, and what goes wrong in
/// the libraries that we use.
const FILTER: &str = "warn,openraft=error,gitstratum=info";

/// What goes to the log and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Directives such as `info,gitstratum_object=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
    /// Which of several processes that share a log each line is of; no quotes in it.
    pub process: Option<String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: FILTER.to_owned(), format: LogFormat::Auto, process: None }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `Human` on a terminal, else `Json`.
    #[default]
    Auto,
    /// One JSON object a line: fields of the event, then its spans.
    Json,
    /// For eyes.
    Human,
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is no list of directives.
    #[error("read log filter `{filter}`")]
    Filter {
        /// What was configured.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Something else in this process logs already.
    #[error("start logging")]
    Started(#[source] TryInitError),
}

/// Sends the process's log to standard error. Once per process.
///
/// # Errors
/// A filter that cannot be read, or a second call.
pub fn start_logging(config: &LogConfig) -> Result<(), LogError> {
    let filter = filter(config)?;
    let format = config.format.resolve();
    let layer = match config.process.as_deref().map(Arc::<str>::from) {
        None => layer(format, io::stderr),
        Some(process) => {
            layer(format, move || Named::new(Arc::clone(&process), format, io::stderr()))
        }
    };
    tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(LogError::Started)
}

impl LogFormat {
    fn resolve(self) -> Self {
        match self {
            Self::Auto if io::stderr().is_terminal() => Self::Human,
            Self::Auto => Self::Json,
            chosen => chosen,
        }
    }
}

fn filter(config: &LogConfig) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(&config.filter)
        .map_err(|source| LogError::Filter { filter: config.filter.clone(), source })
}

fn layer<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Human => Box::new(layer.with_ansi(io::stderr().is_terminal())),
        LogFormat::Json | LogFormat::Auto => {
            // The list of spans alone: it ends with the current one and begins with the
            // request's, which bears the request id.
            let json = layer.json().flatten_event(true);
            Box::new(json.with_current_span(false).with_span_list(true))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use gitstratum_core::ProcessRole;
    use parking_lot::Mutex;

    use super::*;
    use crate::{RequestId, request_span};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_several_processes_in_one_log_are_told_apart() {
        let line = |format| {
            let sink = Sink::default();
            let writer = sink.clone();
            let layer = layer(format, move || Named::new("node-2".into(), format, writer.clone()));
            let subscriber = tracing_subscriber::registry().with(layer);
            tracing::subscriber::with_default(subscriber, || tracing::info!("done"));
            String::from_utf8(sink.0.lock().clone()).unwrap()
        };
        let json: serde_json::Value = serde_json::from_str(&line(LogFormat::Json)).unwrap();
        assert_eq!((&json["process"], &json["message"]), (&"node-2".into(), &"done".into()));
        let human = line(LogFormat::Human);
        assert!(human.starts_with("node-2 ") && human.ends_with("done\n"), "{human}");
    }

    fn logged(directives: &str, work: impl FnOnce()) -> String {
        let sink = Sink::default();
        let config =
            LogConfig { filter: directives.to_owned(), format: LogFormat::Json, process: None };
        let writer = sink.clone();
        let layer = layer(config.format, move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(filter(&config).unwrap()).with(layer);
        tracing::subscriber::with_default(subscriber, work);
        String::from_utf8(sink.0.lock().clone()).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object_with_the_request_id() {
        let id = RequestId::parse("00000000000000ab").unwrap();
        let text = logged("info", || {
            let span = request_span(id, ProcessRole::Frontend, "fetch");
            span.in_scope(|| tracing::info!(bytes = 7, "request done\nwith a second line"));
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "request done\nwith a second line");
        assert_eq!(line["bytes"], 7);
        assert_eq!(line["spans"][0]["request_id"], "00000000000000ab");
        assert_eq!(line["spans"][0]["operation"], "fetch");
    }

    #[test]
    fn the_filter_comes_from_the_configuration() {
        let text = logged("warn,gitstratum_process=debug", || {
            tracing::debug!("shown");
            tracing::info!(target: "elsewhere", "hidden");
        });
        assert!(text.contains("shown") && !text.contains("hidden"), "{text}");
    }

    #[test]
    fn by_default_libraries_are_heard_only_when_something_is_wrong() {
        let text = logged(&LogConfig::default().filter, || {
            tracing::info!("ours");
            tracing::info!(target: "gitstratum_frontend::listen", "of another room");
            tracing::debug!("too fine");
            tracing::info!(target: "openraft::engine", "chatter");
            tracing::warn!(target: "russh::server", "trouble");
        });
        let shown = ["ours", "of another room", "trouble"];
        assert!(shown.iter().all(|words| text.contains(words)), "{text}");
        assert!(!text.contains("chatter") && !text.contains("too fine"), "{text}");
    }

    #[test]
    fn a_bad_filter_is_named() {
        let config = LogConfig { filter: "a=b=c".to_owned(), ..LogConfig::default() };
        let error = start_logging(&config).unwrap_err();
        assert_eq!(error.to_string(), "read log filter `a=b=c`");
    }
}
