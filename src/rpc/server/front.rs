//! What every request meets first: finds its service, asks the gatehouse, and
//! sees to it that a panic in a handler costs one call and not the process.
//!
//! The way of most calls is short: no task, no lock, no future of its own but a
//! small one around the handler's.

use std::{
    any::Any,
    convert::Infallible,
    future::ready,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::{Status, body::Body};

use super::{Inbound, Services, services::Answer};
use crate::rpc::{
    context::CallContext,
    gatehouse::{Admitted, Detour, Gatehouse, Look},
};

pub(super) struct Front {
    services: Services,
    gatehouse: Arc<Gatehouse>,
}

impl Front {
    pub(super) fn new(services: Services, gatehouse: Arc<Gatehouse>) -> Self {
        Self { services, gatehouse }
    }

    pub(super) fn answer(self: &Arc<Self>, request: http::Request<Inbound>) -> Answering {
        let uri = request.uri().clone();
        let (answer, admitted) = self.begin(request);
        Answering { answer, admitted, uri, front: self.clone() }
    }

    fn begin(self: &Arc<Self>, request: http::Request<Inbound>) -> (Answer, Option<Admitted>) {
        let path = request.uri().path();
        let Some((service, _method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
            return (unimplemented(format!("malformed method name: {path:?}")), None);
        };
        let Some(place) = self.services.find(service) else {
            return (unimplemented(format!("unknown service {service}")), None);
        };
        let entry = self.services.entry(place);
        if !entry.guarded {
            return (entry.handler.handle(request), None);
        }
        match self.gatehouse.look(&request) {
            Look::Serve(admitted) => {
                let context = CallContext::read(path, request.headers());
                let answer = entry.handler.handle(request);
                let answer = match context {
                    Some(context) => Box::pin(context.scope(answer)),
                    None => answer,
                };
                (answer, Some(admitted))
            }
            Look::Detour(address) => {
                let front = self.clone();
                let detour = async move {
                    let handler = &*front.services.entry(place).handler;
                    Ok(Detour::new(&front.gatehouse, handler, address, request).take().await)
                };
                (Box::pin(detour), None)
            }
        }
    }
}

fn unimplemented(text: String) -> Answer {
    Box::pin(ready(Ok(Status::unimplemented(text).into_http())))
}

/// A call on its way to its answer.
pub(super) struct Answering {
    answer: Answer,
    /// Held until there is an answer, or nobody waits for it any more.
    admitted: Option<Admitted>,
    uri: http::Uri,
    front: Arc<Front>,
}

impl Future for Answering {
    type Output = Result<http::Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = &mut self.answer;
        // Handlers share state behind locks that unwinding releases; a change that it
        // breaks off is left as a dropped call leaves it, and those happen all the time.
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)));
        let answered = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answered)) => answered,
            Err(panic) => Ok(self.panicked(&*panic)),
        };
        self.admitted = None;
        Poll::Ready(answered)
    }
}

impl Answering {
    fn panicked(&self, panic: &(dyn Any + Send)) -> http::Response<Body> {
        let text = if let Some(text) = panic.downcast_ref::<&str>() {
            text
        } else if let Some(text) = panic.downcast_ref::<String>() {
            text
        } else {
            "no message"
        };
        let path = self.uri.path();
        tracing::error!(method = path, panic = text, "handler panicked");
        self.front.gatehouse.hooks().panicked(path);
        Status::internal(format!("panic in {path}: {text}")).into_http()
    }
}
