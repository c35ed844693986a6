//! The spans of calls: the trace that their lines show, and the level that their sender
//! wishes for them.

use tracing::{Span, error_span};
use tracing_subscriber::EnvFilter;

use super::{OWN_TARGET, PULSAR_TARGET, level::LogLevel};

/// One name for each level that makes a difference: the filter knows spans by name.
macro_rules! spans {
    ($wished:expr, $trace_id:expr, $($level:ident $name:literal),*) => {
        match $wished {
            $(Some(LogLevel::$level) => error_span!($name, traceID = $trace_id),)*
            _ if $trace_id.is_some() => error_span!("call", traceID = $trace_id),
            _ => Span::none(),
        }
    };
}

/// The span of a call whose lines are written from `wished` on, also where the log's own
/// level is a higher one, and carry that trace id. A wish for fewer lines is not heard:
/// they are others' lines, too.
pub fn call_span(wished: Option<LogLevel>, trace_id: Option<&str>) -> Span {
    spans!(wished, trace_id, Debug "call_debug", Info "call_info", Warn "call_warn")
}

/// Lets pass what the two levels and the wishes of calls allow.
pub(super) fn filter(own: LogLevel, libraries: LogLevel) -> EnvFilter {
    let calls = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn]
        .map(|level| format!("{OWN_TARGET}[call_{level}]={level}"))
        .join(",");
    let (libraries, own) = (libraries.filter(), own.filter());
    // Pulsar's client tells of every attempt to connect; what matters of that stands in own lines.
    EnvFilter::builder().parse_lossy(format!("{libraries},{OWN_TARGET}={own},{PULSAR_TARGET}=off,{calls}"))
}
