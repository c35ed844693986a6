//! A request's body that can be sent once more, as long as it is small.
//!
//! What an attempt reads is remembered until somebody has answered. Shared by the
//! attempts: a new one reads what its predecessors read, then goes on where they
//! stopped. Too large, or too much remembered by all calls together: the body can
//! be sent once only.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use parking_lot::Mutex;

use crate::rpc::server::Inbound;

/// The most that one call may have remembered, in bytes.
const PER_CALL: usize = 4 << 20;
/// The most that all calls may have remembered, in bytes.
const IN_TOTAL: usize = 64 << 20;

/// What all bodies together have remembered.
#[derive(Debug, Default)]
pub(super) struct Memory(AtomicUsize);

impl Memory {
    fn take(&self, bytes: usize) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= IN_TOTAL)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body for several attempts.
pub(super) struct Kept(Arc<Mutex<State>>);

struct State {
    rest: Inbound,
    /// What has been read, in order.
    read: Vec<Part>,
    bytes: usize,
    /// Whether everything that was read is still in `read`.
    complete: bool,
    /// Somebody has answered: no need to remember.
    settled: bool,
    finished: bool,
    attempt: usize,
    memory: Arc<Memory>,
}

#[derive(Clone)]
enum Part {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

impl From<Part> for Frame<Bytes> {
    fn from(part: Part) -> Self {
        match part {
            Part::Data(data) => Self::data(data),
            Part::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

impl State {
    fn forget(&mut self) {
        self.memory.give_back(std::mem::take(&mut self.bytes));
        self.read = Vec::new();
        self.complete = false;
    }

    fn remember(&mut self, part: Part) {
        if self.settled || !self.complete {
            self.complete = false;
            return;
        }
        let size = match &part {
            Part::Data(data) => data.len(),
            Part::Trailers(_) => 0,
        };
        if self.bytes + size > PER_CALL || !self.memory.take(size) {
            self.forget();
            return;
        }
        self.bytes += size;
        self.read.push(part);
    }
}

impl Kept {
    pub(super) fn new(body: Inbound, memory: Arc<Memory>) -> Self {
        Self(Arc::new(Mutex::new(State {
            rest: body,
            read: Vec::new(),
            bytes: 0,
            complete: true,
            settled: false,
            finished: false,
            attempt: 0,
            memory,
        })))
    }

    /// The body from its beginning, `None` if that is gone. Ends earlier attempts.
    pub(super) fn attempt(&self) -> Option<tonic::body::Body> {
        let mut state = self.0.lock();
        if !state.complete {
            return None;
        }
        state.attempt += 1;
        let attempt = Attempt { state: self.0.clone(), number: state.attempt, at: 0 };
        drop(state);
        Some(tonic::body::Body::new(attempt))
    }

    /// There is an answer: the current attempt goes on, but there will be no other.
    pub(super) fn settle(&self) {
        let mut state = self.0.lock();
        state.settled = true;
    }
}

struct Attempt {
    state: Arc<Mutex<State>>,
    number: usize,
    at: usize,
}

/// A later attempt has taken the body over.
#[derive(Debug)]
struct Superseded;

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("superseded by a later attempt")
    }
}

impl std::error::Error for Superseded {}

impl Body for Attempt {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let mut state = this.state.lock();
        if state.attempt != this.number {
            return Poll::Ready(Some(Err(Box::new(Superseded))));
        }
        if let Some(part) = state.read.get(this.at) {
            this.at += 1;
            return Poll::Ready(Some(Ok(part.clone().into())));
        }
        if state.finished {
            return Poll::Ready(None);
        }
        let frame = match std::task::ready!(Pin::new(&mut state.rest).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                state.complete = false;
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                state.finished = true;
                return Poll::Ready(None);
            }
        };
        let part = match frame.into_data() {
            Ok(data) => Part::Data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Part::Trailers(trailers),
                // HTTP has no third kind of frame.
                Err(_) => return Poll::Ready(None),
            },
        };
        state.remember(part.clone());
        this.at = state.read.len();
        Poll::Ready(Some(Ok(part.into())))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.state.lock();
        self.at >= state.read.len() && (state.finished || state.rest.is_end_stream())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    fn kept(chunks: &[&'static [u8]]) -> (Kept, Arc<Memory>) {
        let frames: Vec<Result<_, std::io::Error>> =
            chunks.iter().map(|chunk| Ok(Frame::data(Bytes::from_static(chunk)))).collect();
        let body = tonic::body::Body::new(StreamBody::new(futures::stream::iter(frames)));
        let memory = Arc::new(Memory::default());
        (Kept::new(Inbound::made(body), memory.clone()), memory)
    }

    async fn all(body: tonic::body::Body) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn each_attempt_reads_from_the_beginning() {
        let (kept, memory) = kept(&[b"one", b"two", b"three"]);
        let mut first = kept.attempt().unwrap();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        let second = kept.attempt().unwrap();
        assert!(first.frame().await.unwrap().is_err(), "the first one is over");
        assert_eq!(all(second).await, "onetwothree");
        assert_eq!(all(kept.attempt().unwrap()).await, "onetwothree");
        assert_eq!(memory.used(), 11);
        drop((kept, first));
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn a_large_body_can_be_sent_once() {
        let memory = Arc::new(Memory::default());
        let chunks = vec![Bytes::from(vec![7; 1 << 20]); 6];
        let frames = chunks.into_iter().map(|chunk| Ok::<_, std::io::Error>(Frame::data(chunk)));
        let body = tonic::body::Body::new(StreamBody::new(futures::stream::iter(frames)));
        let kept = Kept::new(Inbound::made(body), memory.clone());
        assert_eq!(all(kept.attempt().unwrap()).await.len(), 6 << 20);
        assert!(kept.attempt().is_none());
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn what_all_remember_is_bounded() {
        let memory = Arc::new(Memory::default());
        let mut bodies = Vec::new();
        for _ in 0..IN_TOTAL / PER_CALL + 3 {
            let body = tonic::body::Body::new(Full::new(Bytes::from(vec![0; PER_CALL])));
            let kept = Kept::new(Inbound::made(body), memory.clone());
            assert_eq!(all(kept.attempt().unwrap()).await.len(), PER_CALL);
            bodies.push(kept);
        }
        let again = bodies.iter().filter(|kept| kept.attempt().is_some()).count();
        assert_eq!(again, IN_TOTAL / PER_CALL);
        drop(bodies);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn once_answered_the_rest_is_not_remembered() {
        let (kept, _memory) = kept(&[b"one", b"two"]);
        let mut body = kept.attempt().unwrap();
        body.frame().await.unwrap().unwrap();
        kept.settle();
        assert_eq!(all(body).await, "two");
        assert!(kept.attempt().is_none());
    }

    #[tokio::test]
    async fn an_empty_body_is_empty_each_time() {
        let kept = Kept::new(Inbound::made(tonic::body::Body::empty()), Arc::default());
        assert!(kept.attempt().unwrap().is_end_stream());
        assert!(all(kept.attempt().unwrap()).await.is_empty());
        assert!(kept.attempt().is_some());
    }
}
