//! The spans of calls: the trace that their lines show, and the level that their sender
//! wishes for them.

use tracing::{
    Metadata, Span, Subscriber, error_span,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    EnvFilter,
    layer::{Context, Layer},
};

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
#[derive(Debug)]
pub(super) struct Levels(EnvFilter);

impl Levels {
    pub(super) fn new(own: LogLevel, libraries: LogLevel) -> Self {
        let calls = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn]
            .map(|level| format!("{OWN_TARGET}[call_{level}]={level}"))
            .join(",");
        let (libraries, own) = (libraries.filter(), own.filter());
        // Pulsar's client tells of every attempt to connect; what matters of that stands in own lines.
        let levels = format!("{libraries},{OWN_TARGET}={own},{PULSAR_TARGET}=off,{calls}");
        Self(EnvFilter::builder().parse_lossy(levels))
    }
}

impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = Layer::<S>::register_callsite(&self.0, metadata);
        // The wishes of calls are about own lines. The HTTP/2 library has a line for every frame,
        // and it would be asked each time whether one is wished for.
        let is_own = metadata.target().starts_with(OWN_TARGET);
        if interest.is_sometimes() && !is_own { Interest::never() } else { interest }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        Layer::<S>::enabled(&self.0, metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(&self.0)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.0.on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.0.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.0.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.0.on_close(id, context);
    }
}
