//! The server's own log: lines on stderr, as text or as JSON. No colours, no files; whoever runs the server keeps the
//! lines. A stderr that nobody reads any more loses lines and does not stop the server.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::{LogFormat, LogLevel};

/// The target of the lines that say where the server listens. They are written whatever the level: scripts wait for
/// them.
pub(crate) const READY: &str = "offhook::ready";

/// Installs the log of the process. In a process that has one already (tests), that one stays.
pub(crate) fn start(format: LogFormat, level: LogLevel) {
    let shown = Targets::new().with_default(filter(level)).with_target(READY, LevelFilter::INFO);
    // Errors of the log itself would be printed to the very stderr that failed, and that print panics.
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(false).log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    drop(tracing_subscriber::registry().with(layer.with_filter(shown)).try_init());
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
