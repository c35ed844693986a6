//! The socket below a link: remembers how it ended, and can be ended.
//!
//! The HTTP/2 layer above reports the same broken pipe for a connection that the
//! peer closed and for one that was given up here. Only the socket knows.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{net::BoxIo, rpc::link::ended::Ended};

/// The HTTP/2 layer acts upon a goodbye at once; a ping that is not answered takes seconds.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is known of a socket, shared with its user.
#[derive(Debug, Default)]
pub(super) struct WireLog {
    /// Cancelled at the peer's first byte.
    heard: CancellationToken,
    /// When it spoke last.
    heard_at: Mutex<Option<Instant>>,
    /// The first end that was seen; a FIN is `UnexpectedEof`.
    end: OnceLock<io::ErrorKind>,
    cut: AtomicBool,
    reader: AtomicWaker,
}

impl WireLog {
    /// Waits for the peer's first byte.
    pub(super) async fn heard(&self) {
        self.heard.cancelled().await;
    }

    /// How the peer or the network ended the connection; `None` if neither did so far.
    pub(super) fn end(&self) -> Option<Ended> {
        let kind = *self.end.get()?;
        Some(if self.heard.is_cancelled() { Ended::of_stream(kind) } else { Ended::of_dial(kind) })
    }

    /// The HTTP/2 layer has given the connection up of its own accord: had the peer spoken
    /// just before?
    pub(super) fn given_up_on_a_word(&self) -> bool {
        let cut = self.cut.load(Ordering::Acquire);
        !cut && self.heard_at.lock().is_some_and(|at| at.elapsed() < FAREWELL)
    }

    /// Ends the connection at once: the next look at the socket fails, and closes it.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.reader.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed on this side"));
        }
        Ok(())
    }

    fn note(&self, kind: io::ErrorKind) {
        let _ = self.end.set(kind);
    }
}

/// The socket.
pub(super) struct Wire {
    io: BoxIo,
    log: Arc<WireLog>,
    /// Whether this side has ended its direction.
    shut: bool,
}

impl Wire {
    pub(super) fn new(io: BoxIo) -> (Self, Arc<WireLog>) {
        let log = Arc::new(WireLog::default());
        (Self { io, log: log.clone(), shut: false }, log)
    }

    fn wrote<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            match error.kind() {
                // Not shut here, so the kernel has taken note of the peer's end.
                io::ErrorKind::BrokenPipe if !self.shut => self.log.note(io::ErrorKind::UnexpectedEof),
                kind => self.log.note(kind),
            }
        }
        result
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.log.reader.register(cx.waker());
        self.log.check()?;
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        match &result {
            Ok(()) if buf.filled().len() > before => {
                *self.log.heard_at.lock() = Some(Instant::now());
                if !self.log.heard.is_cancelled() {
                    self.log.heard.cancel();
                }
            }
            Ok(()) if room => self.log.note(io::ErrorKind::UnexpectedEof),
            Ok(()) => {}
            Err(error) => self.log.note(error.kind()),
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.log.check()?;
        let result = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        Poll::Ready(self.wrote(result))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.log.check()?;
        let result = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs));
        Poll::Ready(self.wrote(result))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.check()?;
        let result = ready!(Pin::new(&mut self.io).poll_flush(cx));
        Poll::Ready(self.wrote(result))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.check()?;
        self.shut = true;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
