//! Accepts connections and serves each in a task.

use std::{future::poll_fn, io, pin::pin, sync::Arc, time::Duration};

use hyper::{body::Incoming, server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Inbound, ServerSettings, front::Front, gather::Calls};
use crate::{
    net::{Accept, BoxIo},
    rpc::link::{CONNECTION_WINDOW, MAX_HEADER_LIST, STREAM_WINDOW},
};

/// How long accepting rests when the process has no descriptor left.
const REST: Duration = Duration::from_millis(50);
/// How many calls of a connection may have been broken off, by the peer before they
/// were looked at or from here. A process that was stopped for a while finds many, and
/// keeps the connection.
const MOST_BROKEN_OFF: usize = 100_000;

pub(super) struct Acceptor {
    pub(super) front: Arc<Front>,
    pub(super) settings: ServerSettings,
    pub(super) stop: CancellationToken,
    pub(super) kill: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Acceptor {
    /// Runs until it is stopped; then closes the listener.
    pub(super) async fn run(self, mut listener: Box<dyn Accept>) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.accept(&mut *listener)).await;
    }

    async fn accept(&self, listener: &mut dyn Accept) {
        let room = Arc::new(Semaphore::new(self.settings.most_connections));
        loop {
            if room.available_permits() == 0 {
                tracing::warn!(
                    connections = self.settings.most_connections,
                    "as many connections as may be; new ones wait"
                );
            }
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((io, _)) => self.tasks.spawn(self.serve(io, permit)),
                Err(error) if of_one_connection(&error) => continue,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no connection can be accepted");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
        }
    }

    fn serve(&self, io: BoxIo, permit: OwnedSemaphorePermit) -> impl Future<Output = ()> + use<> {
        let front = self.front.clone();
        let service =
            service_fn(move |request: http::Request<Incoming>| front.answer(request.map(Inbound::wire)));
        let calls = Calls::default();
        let connection = Builder::new(calls.clone())
            .timer(TokioTimer::new())
            .max_concurrent_streams(None)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADER_LIST)
            .max_pending_accept_reset_streams(MOST_BROKEN_OFF)
            .max_local_error_reset_streams(MOST_BROKEN_OFF)
            .keep_alive_interval(self.settings.ping_every)
            .keep_alive_timeout(self.settings.ping_timeout)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(io), service);
        let (stop, kill, tasks) = (self.stop.clone(), self.kill.clone(), self.tasks.clone());
        async move {
            let mut connection = pin!(connection);
            let mut stopped = pin!(stop.cancelled_owned());
            let mut stopping = false;
            let served = poll_fn(|cx| {
                if !stopping && stopped.as_mut().poll(cx).is_ready() {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                calls.poll(connection.as_mut(), &tasks, cx)
            });
            if let Some(Err(error)) = kill.run_until_cancelled(served).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
            }
            drop(permit);
        }
    }
}

/// Whether an error of accepting is about one connection that went away again.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
