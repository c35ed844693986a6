//! What a call brings along for everything that is done for it: its trace, the log level
//! that its sender wishes, and the sender's own name for it.
//!
//! Milvus's members pass these three on with every call they make for another one, so
//! that one request of a user can be followed through all of them. Here they are bound
//! to the task that carries the call; work that is handed to another task takes them
//! along by [`carried`].

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::task_local;
use tracing::{Instrument, Span};

use crate::telemetry::log::call_span;

/// The caller's trace, in the form of W3C's Trace Context.
const TRACE: HeaderName = HeaderName::from_static("traceparent");
/// The log level for this call.
const LOG_LEVEL: HeaderName = HeaderName::from_static("log_level");
/// The caller's own name for the call.
const REQUEST_ID: HeaderName = HeaderName::from_static("client_request_id");

/// Calls that come many times a second from everybody, and that no trace is kept of.
const UNTRACED: [&str; 2] = ["/AllocTimestamp", "/UpdateChannelTimeTick"];

task_local! {
    static CURRENT: Arc<CallContext>;
}

/// The context of one call.
#[derive(Debug)]
pub struct CallContext {
    passed_on: Vec<(HeaderName, HeaderValue)>,
    span: Span,
}

impl CallContext {
    /// Reads it from a call's metadata; `None` if there is nothing to pass on.
    pub fn read(path: &str, headers: &HeaderMap) -> Option<Arc<Self>> {
        if UNTRACED.iter().any(|method| path.ends_with(method)) {
            return None;
        }
        let present = |name: HeaderName| Some((name.clone(), headers.get(name)?.clone()));
        let passed_on: Vec<_> = [TRACE, LOG_LEVEL, REQUEST_ID].into_iter().filter_map(present).collect();
        if passed_on.is_empty() {
            return None;
        }
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        // As in the original, a level that does not exist is none.
        let level = text(LOG_LEVEL).filter(|level| !level.is_empty()).and_then(|level| level.parse().ok());
        let span = call_span(level, text(TRACE).and_then(trace_id));
        Some(Arc::new(Self { passed_on, span }))
    }

    /// `future`, and every call that it makes, within this context.
    pub fn scope<F: Future>(self: Arc<Self>, future: F) -> impl Future<Output = F::Output> {
        let span = self.span.clone();
        CURRENT.scope(self, future.instrument(span))
    }
}

/// `future` within the context of the call that the present task works for, if it does:
/// for work that another task carries out.
pub fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let context = CURRENT.try_with(Arc::clone).ok();
    async move {
        match context {
            Some(context) => context.scope(future).await,
            None => future.await,
        }
    }
}

/// Adds what the present context passes on to the metadata of a call to somebody else.
pub fn pass_on(headers: &mut HeaderMap) {
    _ = CURRENT.try_with(|context| {
        for (name, value) in &context.passed_on {
            headers.insert(name, value.clone());
        }
    });
}

/// The trace id of `00-<trace id>-<parent id>-<flags>`. An all-zero id is none.
fn trace_id(text: &str) -> Option<&str> {
    let mut parts = text.split('-');
    let (version, id, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length| {
        part.len() == length
            && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let valid = hex(version, 2) && version != "ff" && hex(id, 32) && hex(parent, 16);
    (valid && id.bytes().any(|byte| byte != b'0')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{log::LogLevel, testing::Logged};
    use tracing::{debug, dispatcher::with_default, info};

    const PATH: &str = "/milvus.proto.rootcoord.RootCoord/CreateCollection";
    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn passed_on() -> HeaderMap {
        let mut headers = HeaderMap::new();
        pass_on(&mut headers);
        headers
    }

    #[tokio::test]
    async fn what_a_call_brings_goes_on_with_the_calls_made_for_it() {
        let brought = headers(&[
            (TRACE, TRACEPARENT),
            (LOG_LEVEL, "debug"),
            (REQUEST_ID, "r1"),
            (http::header::TE, "x"),
        ]);
        let context = CallContext::read(PATH, &brought).unwrap();
        assert!(passed_on().is_empty());
        let (here, elsewhere) = context
            .scope(async {
                let task = tokio::task::JoinSet::from_iter([carried(async { passed_on() })]);
                (passed_on(), task.join_all().await)
            })
            .await;
        let expected = headers(&[(TRACE, TRACEPARENT), (LOG_LEVEL, "debug"), (REQUEST_ID, "r1")]);
        assert_eq!(here, expected);
        assert_eq!(elsewhere, [expected]);
        assert!(carried(async { passed_on() }).await.is_empty());
    }

    #[test]
    fn the_most_frequent_calls_have_none() {
        let brought = headers(&[(TRACE, TRACEPARENT)]);
        assert!(CallContext::read("/milvus.proto.rootcoord.RootCoord/AllocTimestamp", &brought).is_none());
        assert!(CallContext::read(PATH, &HeaderMap::new()).is_none());
        assert!(CallContext::read(PATH, &brought).is_some());
    }

    #[test]
    fn lines_of_a_call_show_its_trace_and_follow_its_level() {
        let lines = |pairs: &[(HeaderName, &'static str)]| {
            let log = Logged::new(crate::telemetry::log::LogFormat::Text, LogLevel::Info);
            with_default(log.guard.dispatch(), || {
                let context = CallContext::read(PATH, &headers(pairs)).unwrap();
                let work = context.scope(async {
                    info!("informs");
                    debug!("explains");
                });
                futures::executor::block_on(work);
                debug!("not in the call");
            });
            log.read()
        };
        let traced = "[INFO] [informs] [traceID=0af7651916cd43dd8448eb211c80319c]";
        assert_eq!(lines(&[(TRACE, TRACEPARENT)]), [traced]);
        assert_eq!(lines(&[(TRACE, TRACEPARENT), (LOG_LEVEL, "")]), [traced]);
        assert_eq!(lines(&[(TRACE, "00-0-0-0"), (LOG_LEVEL, "loud")]), ["[INFO] [informs]"]);
        assert_eq!(lines(&[(LOG_LEVEL, "debug")]), ["[INFO] [informs]", "[DEBUG] [explains]"]);
        // It can only ask for more.
        assert_eq!(lines(&[(LOG_LEVEL, "error")]), ["[INFO] [informs]"]);
    }

    #[test]
    fn only_w3cs_form_has_a_trace_id() {
        assert_eq!(trace_id(TRACEPARENT), Some("0af7651916cd43dd8448eb211c80319c"));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-é-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
