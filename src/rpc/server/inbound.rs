//! The body of a request on its way to a handler.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// As it comes from the wire, or made here.
pub struct Inbound(Kind);

enum Kind {
    Wire(Incoming),
    Made(tonic::body::Body),
}

impl Inbound {
    /// From a connection.
    pub fn wire(body: Incoming) -> Self {
        Self(Kind::Wire(body))
    }

    /// From anything.
    pub fn made(body: tonic::body::Body) -> Self {
        Self(Kind::Made(body))
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbound")
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Wire(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Made(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Wire(body) => body.is_end_stream(),
            Kind::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Wire(body) => body.size_hint(),
            Kind::Made(body) => body.size_hint(),
        }
    }
}
