//! A connection as a process holds it: two byte queues between the process and the
//! kernel of its machine.
//!
//! The kernel's end goes on living when the process is frozen or killed, as real sockets do.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a queue holds before its writer has to wait.
const CAPACITY: usize = 256 * 1024;

#[derive(Debug, Default)]
struct Queue {
    bytes: VecDeque<u8>,
    /// Nothing more will be written.
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Queue {
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<()> {
        if self.bytes.is_empty() {
            if self.closed {
                return Poll::Ready(());
            }
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (front, _) = self.bytes.as_slices();
        let count = front.len().min(buf.remaining());
        buf.put_slice(&front[..count]);
        self.bytes.drain(..count);
        wake(&mut self.writer);
        Poll::Ready(())
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<usize> {
        let count = bytes.len().min(CAPACITY - self.bytes.len());
        if count == 0 && !bytes.is_empty() {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.bytes.extend(&bytes[..count]);
        wake(&mut self.reader);
        Poll::Ready(count)
    }

    fn close(&mut self) {
        self.closed = true;
        self.wake();
    }

    fn wake(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[derive(Debug, Default)]
struct State {
    /// From the process to the network.
    out: Queue,
    /// From the network to the process.
    inward: Queue,
    /// The process has no hold of it any more.
    abandoned: bool,
    /// Ended by the other side, or by somebody between, without a goodbye.
    reset: bool,
    kernel: Option<Waker>,
}

impl State {
    fn wake_all(&mut self) {
        self.out.wake();
        self.inward.wake();
        wake(&mut self.kernel);
    }
}

/// What both ends share; also the handle by which a connection is reset from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Socket(Arc<Mutex<State>>);

impl Socket {
    /// Ends the connection as a reset does: what was not read is gone.
    pub(crate) fn reset(&self) {
        let mut state = self.0.lock();
        state.reset = true;
        state.wake_all();
    }

    /// Whether one of the two ends is gone for good.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.0.lock();
        state.reset || state.abandoned
    }

    /// Waits until the kernel has nothing to do for it any more: it was reset, or its
    /// process is gone and all that it wrote has been taken.
    pub(crate) async fn over(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.reset || (state.abandoned && state.out.bytes.is_empty()) {
                return Poll::Ready(());
            }
            state.kernel = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn process_end(&self) -> ProcessEnd {
        ProcessEnd(self.clone())
    }

    pub(crate) fn kernel_end(&self) -> KernelEnd {
        KernelEnd(self.clone())
    }
}

/// The end that the process reads and writes.
#[derive(Debug)]
pub(crate) struct ProcessEnd(Socket);

impl AsyncRead for ProcessEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.0.lock();
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        state.inward.read(cx, buf).map(Ok)
    }
}

impl AsyncWrite for ProcessEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.0.lock();
        if state.reset || state.out.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        state.out.write(cx, buf).map(Ok)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.0.lock().out.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for ProcessEnd {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.abandoned = true;
        state.out.closed = true;
        state.wake_all();
    }
}

/// The end that the kernel connects with the network.
#[derive(Debug)]
pub(crate) struct KernelEnd(Socket);

impl AsyncRead for KernelEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.0.lock().out.read(cx, buf).map(Ok)
    }
}

impl AsyncWrite for KernelEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.0.lock();
        if state.abandoned || state.reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        state.inward.write(cx, buf).map(Ok)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.0.lock().inward.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for KernelEnd {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        // A goodbye that came through stands; anything else is a reset.
        if !state.inward.closed {
            state.reset = true;
        }
        state.out.closed = true;
        state.wake_all();
    }
}
