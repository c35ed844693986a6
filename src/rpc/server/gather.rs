//! Calls that came together are answered together.
//!
//! Fifty callers of one proxy share a connection: many calls arrive with one read. A task for each
//! would cost more than its work, on another processor even more so, and its answer would be written
//! alone; a write costs more than all else that there is to a timestamp. So the connection's own task
//! begins the calls that it has read, some at a time, and then writes what they have answered. A call
//! that has to wait goes on in a task of its own.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::net::BoxFuture;

/// How many calls share a write. Few enough for callers to go on with the first ones while the next
/// ones are answered.
const AT_ONCE: usize = 16;

/// The calls of one connection that were read and have not begun.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<VecDeque<BoxFuture<'static, ()>>>>);

impl<F> Executor<F> for Calls
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        self.0.lock().push_back(Box::pin(call));
    }
}

impl Calls {
    /// Takes the turn of `connection`, which leaves its calls here, and of the calls. Those that
    /// wait go to `tasks`.
    pub(super) fn poll<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        tasks: &TaskTracker,
        cx: &mut Context<'_>,
    ) -> Poll<C::Output> {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if !self.begin(tasks) {
                return Poll::Pending;
            }
        }
    }

    /// Begins the next ones, if there are any.
    fn begin(&self, tasks: &TaskTracker) -> bool {
        for begun in 0..AT_ONCE {
            let Some(mut call) = self.0.lock().pop_front() else { return begun > 0 };
            // Nobody hears that waker, but the task polls the call once more with its own.
            if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                tasks.spawn(call);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::poll_fn,
        io,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures::future::join_all;
    use h2::client::SendRequest;
    use hyper::{body::Incoming, server::conn::http2::Builder, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
        sync::Semaphore,
    };
    use tonic::body::Body;

    use super::*;
    use crate::rpc::testing::PATIENCE;

    /// A stream that counts how often it is written to.
    struct Counted(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    /// A connection to a server that answers at once, but to `/gate` only when it is opened.
    struct Ground {
        send: SendRequest<bytes::Bytes>,
        own: TaskTracker,
        writes: Arc<AtomicUsize>,
        gate: Arc<Semaphore>,
        waiting: TaskTracker,
    }

    impl Ground {
        async fn start(requests: &[&'static str]) -> (Self, Vec<h2::client::ResponseFuture>) {
            let (near, far) = tokio::io::duplex(1 << 20);
            let (writes, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
            let (calls, waiting, shut) = (Calls::default(), TaskTracker::new(), gate.clone());
            let service = service_fn(move |request: http::Request<Incoming>| {
                let shut = shut.clone();
                async move {
                    if request.uri().path() == "/gate" {
                        let _ = shut.acquire().await;
                    }
                    Ok::<_, Infallible>(http::Response::new(Body::empty()))
                }
            });
            let connection = Builder::new(calls.clone())
                .serve_connection(TokioIo::new(Counted(far, writes.clone())), service);
            let tasks = waiting.clone();
            let own = TaskTracker::new();
            own.spawn(async move {
                let mut connection = pin!(connection);
                let _ = poll_fn(|cx| calls.poll(connection.as_mut(), &tasks, cx)).await;
            });

            let (mut send, connection) = h2::client::handshake(near).await.unwrap();
            // All are given before the connection takes the first one.
            let ask = |path: &&'static str| {
                let request = http::Request::builder().uri(format!("http://there{path}")).body(()).unwrap();
                send.send_request(request, true).unwrap().0
            };
            let answers = requests.iter().map(ask).collect();
            own.spawn(async move {
                let _ = connection.await;
            });
            (Self { send, own, writes, gate, waiting }, answers)
        }
    }

    async fn in_time<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, what).await.expect("in time")
    }

    /// One worker, as a task that is woken there runs before those that are due.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn calls_that_came_together_are_answered_with_a_few_writes() {
        let (ground, answers) = Ground::start(&["/"; 50]).await;
        for answer in in_time(join_all(answers)).await {
            assert_eq!(answer.unwrap().status(), 200);
        }
        let writes = ground.writes.load(Ordering::Relaxed);
        assert!(writes < 10, "{writes} writes");
        assert_eq!(ground.waiting.len(), 0);
        drop(ground.send);
        ground.own.close();
        in_time(ground.own.wait()).await;
    }

    #[tokio::test]
    async fn a_call_that_waits_holds_up_no_other() {
        let (ground, answers) = Ground::start(&["/gate", "/", "/gate"]).await;
        let mut answers = answers.into_iter();
        let (first, quick, last) =
            (answers.next().unwrap(), answers.next().unwrap(), answers.next().unwrap());
        assert_eq!(in_time(quick).await.unwrap().status(), 200);
        assert_eq!(ground.waiting.len(), 2);
        let mut first = pin!(first);
        assert!(tokio::time::timeout(Duration::ZERO, first.as_mut()).await.is_err());

        ground.gate.add_permits(2);
        assert_eq!(in_time(first).await.unwrap().status(), 200);
        assert_eq!(in_time(last).await.unwrap().status(), 200);
    }
}
