//! The body of an answer, whose errors say how the connection ended.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::rpc::link::{Link, LinkError};

/// Keeps its link open.
#[derive(Debug)]
pub struct LinkBody {
    incoming: Incoming,
    link: Link,
}

impl LinkBody {
    pub(super) fn new(incoming: Incoming, link: Link) -> Self {
        Self { incoming, link }
    }
}

impl Body for LinkBody {
    type Data = Bytes;
    type Error = LinkError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, LinkError>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|error| self.link.failed(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
