//! Connections of the management port: few, short, and none that can hold the others up.

use std::{collections::VecDeque, convert::Infallible, fmt, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
    response::IntoResponse,
};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::net::{Accept, BoxIo};

/// What is served at a time. One more, and the oldest is closed: probes come on new
/// connections, and those who forget to close theirs must not shut them out.
const MAX_CONNECTIONS: usize = 64;

/// For a request to arrive, its head and its body each; also for the next one to begin.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// After that a connection is closed behind the answer it is at, so that a peer that
/// never reads cannot keep it for ever.
const MAX_AGE: Duration = Duration::from_secs(300);

/// For the answer that is under way when a connection is closed.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// When the machine has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running port. Dropping it stops it.
pub struct HttpServer {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl HttpServer {
    /// Serves `router` on what `listener` accepts.
    ///
    /// # Errors
    /// The listener does not know its address.
    pub(super) fn start(listener: Box<dyn Accept>, router: Router) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, router, stop.clone(), tasks.clone()));
        tasks.close();
        Ok(Self { address, stop, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more, lets answers end, and waits for that. `false`: not within that time.
    pub async fn stop(self, within: Duration) -> bool {
        self.stop.cancel();
        timeout(within, self.tasks.wait()).await.is_ok()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn accept(mut listener: Box<dyn Accept>, router: Router, stop: CancellationToken, tasks: TaskTracker) {
    // Each cancels its token when it ends; cancelling it ends the connection.
    let mut open = VecDeque::<CancellationToken>::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((io, _)) = accepted else {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(ACCEPT_PAUSE) => continue,
            }
        };
        open.retain(|connection| !connection.is_cancelled());
        if open.len() >= MAX_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.cancel();
        }
        let closed = CancellationToken::new();
        open.push_back(closed.clone());
        tasks.spawn(connection(io, router.clone(), stop.clone(), closed));
    }
}

async fn connection(io: BoxIo, router: Router, stop: CancellationToken, closed: CancellationToken) {
    let ended = closed.clone().drop_guard();
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(respond(router, request.map(Body::new)).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_TIMEOUT)
            .serve_connection(TokioIo::new(io), service)
    );
    // What goes wrong on a connection is its peer's business.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = closed.cancelled() => {}
        () = async { tokio::select! { () = stop.cancelled() => {}, () = sleep(MAX_AGE) => {} } } => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(LAST_ANSWER, connection).await;
        }
    }
    drop(ended);
}

async fn respond(router: Router, request: Request<Body>) -> Response<Body> {
    match timeout(READ_TIMEOUT, router.oneshot(request)).await {
        Ok(Ok(response)) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}
