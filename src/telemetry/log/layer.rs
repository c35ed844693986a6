//! From tracing's events to lines.

use std::{
    error::Error,
    fmt::{self, Write},
    sync::Arc,
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use crate::{
    clock::Clock,
    telemetry::log::{
        line::{Fields, Formatter, Head, LogFormat},
        spool::Spool,
    },
};

/// The field of a span that stands first in every line written inside it.
const TRACE_ID: &str = "traceID";

/// Writes every event that reaches it to all destinations.
#[derive(Debug)]
pub(super) struct LogLayer {
    pub(super) formatter: Formatter,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) destinations: Vec<Arc<Spool>>,
}

/// What a span adds to the lines written inside it. Rendered once, when it is recorded.
#[derive(Debug)]
struct SpanFields {
    trace_id: Option<Fields>,
    rest: Fields,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut collected = Collected::new(self.formatter.format);
        attributes.record(&mut collected);
        span.extensions_mut().insert(SpanFields { trace_id: collected.trace_id, rest: collected.fields });
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut collected = Collected::new(self.formatter.format);
        values.record(&mut collected);
        let mut extensions = span.extensions_mut();
        let Some(known) = extensions.get_mut::<SpanFields>() else { return };
        known.rest.append(&collected.fields);
        if collected.trace_id.is_some() {
            known.trace_id = collected.trace_id;
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let format = self.formatter.format;
        let mut collected = Collected::new(format);
        let mut from_spans = Fields::new(format);
        // Of several trace ids the innermost counts.
        let mut trace_id = None;
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let Some(known) = extensions.get::<SpanFields>() else { continue };
            from_spans.append(&known.rest);
            if let Some(id) = &known.trace_id {
                trace_id = Some(id.as_str().to_owned());
            }
        }
        event.record(&mut collected);
        from_spans.append(&collected.fields);
        if trace_id.is_none() {
            trace_id = collected.trace_id.map(|id| id.as_str().to_owned());
        }

        let metadata = event.metadata();
        let caller = match (&collected.foreign_file, metadata.file()) {
            (Some(file), _) => Some((file.as_str(), collected.foreign_line)),
            (None, Some(file)) => Some((file, metadata.line().unwrap_or_default())),
            (None, None) => None,
        };
        let line = self.formatter.line(
            Head { at: self.clock.wall(), level: *metadata.level(), caller, message: &collected.message },
            [trace_id.as_deref().unwrap_or_default(), from_spans.as_str()],
        );
        for destination in &self.destinations {
            destination.push(&line);
        }
    }
}

/// An error with all its causes, as one text: `no answer to the read: connection reset`.
///
/// The original's errors contain their causes' texts; an `Error` of Rust does not.
pub struct Chain<'a>(
    /// The outermost error.
    pub &'a (dyn Error + 'static),
);

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The message and the rendered fields of an event or span.
struct Collected {
    message: String,
    fields: Fields,
    trace_id: Option<Fields>,
    /// Where an event of the `log` crate says that it comes from.
    foreign_file: Option<String>,
    foreign_line: u32,
    format: LogFormat,
}

impl Collected {
    fn new(format: LogFormat) -> Self {
        Self {
            message: String::new(),
            fields: Fields::new(format),
            trace_id: None,
            foreign_file: None,
            foreign_line: 0,
            format,
        }
    }
}

impl Visit for Collected {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            TRACE_ID => {
                let mut id = Fields::new(self.format);
                id.text(TRACE_ID, value);
                self.trace_id = Some(id);
            }
            "log.file" => self.foreign_file = Some(value.to_owned()),
            "log.target" | "log.module_path" => {}
            name => self.fields.text(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            // Writing to a string cannot fail.
            "message" => drop(write!(self.message, "{value:?}")),
            TRACE_ID => self.record_str(field, &format!("{value:?}")),
            name => self.fields.rendered(name, format_args!("{value:?}")),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.fields.rendered(field.name(), format_args!("{}", Chain(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.bare(field.name(), format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "log.line" => self.foreign_line = u32::try_from(value).unwrap_or_default(),
            name => self.fields.bare(name, format_args!("{value}")),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.bare(field.name(), format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.fields.bare(field.name(), format_args!("{value}"));
        } else {
            // JSON has no number for these.
            self.fields.rendered(field.name(), format_args!("{value}"));
        }
    }
}
