//! The way to one proxy, in one term: tells at once, and what was not heard again and
//! again in the background.
//!
//! ```text
//!   tell ──┬─ done, or gone ──▶ success
//!          ├─ refused ────────▶ the caller's error
//!          └─ silence ────────▶ backlog ──▶ one task, until it is empty or the session gone
//! ```
//!
//! A proxy that doesn't serve refuses with a status that asks for a repetition. Nobody
//! is answered from its cache meanwhile, so that counts as silence.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Code;

use crate::{
    ids::ServerId,
    rootcoord::peers::{
        PeerEvents,
        backlog::{Backlog, Full},
        broadcast::Patience,
        notices::{Method, Notice},
        requests::{self, Told},
    },
    rpc::{
        clients::{ClientError, ProxyClient},
        merr::{self, MilvusError},
    },
};

/// What a term has at hand for its lines.
#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    pub(super) patience: Patience,
    pub(super) events: PeerEvents,
    /// Runs what is done in the background.
    pub(super) tasks: TaskTracker,
    /// Cancelled when the term is over.
    pub(super) stop: CancellationToken,
}

/// How a proxy took a notice.
enum Heard {
    Done,
    /// It has no session, or another process has its address.
    Gone,
    Refused(MilvusError),
    /// No answer, or one that asks for a repetition.
    Silence(String),
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    /// Whether somebody works on the backlog.
    busy: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    proxy: ServerId,
    client: ProxyClient,
    upkeep: Upkeep,
    state: Mutex<State>,
    /// The proxy has answered.
    alive: Notify,
}

impl Line {
    pub(super) fn new(proxy: ServerId, client: ProxyClient, upkeep: Upkeep) -> Arc<Self> {
        let state = State { backlog: Backlog::new(upkeep.patience.most_owed), busy: false };
        Arc::new(Self { proxy, client, upkeep, state: Mutex::new(state), alive: Notify::new() })
    }

    /// How long a caller waits for this proxy: less for one that is known to be late.
    pub(super) fn deadline(&self) -> Instant {
        let patience = self.upkeep.patience;
        let late = !self.state.lock().backlog.is_empty();
        Instant::now() + if late { patience.late } else { patience.wait }
    }

    /// Tells it, until `deadline`; after that in the background.
    ///
    /// # Errors
    /// It refused, or there is too much that it has not answered.
    pub(super) async fn tell(self: &Arc<Self>, notice: Notice, deadline: Instant) -> Result<(), MilvusError> {
        let sent_after = self.state.lock().backlog.newest();
        let within = deadline.saturating_duration_since(Instant::now());
        let method = notice.method();
        let mut pending = Pending { line: self, notice: Some(notice.clone()) };
        let heard = if within.is_zero() {
            Heard::Silence("earlier notices were not answered".to_owned())
        } else {
            self.send(&notice, within).await
        };
        match heard {
            Heard::Done => {
                pending.settle();
                self.state.lock().backlog.heard_beside(&notice, sent_after);
                self.alive.notify_one();
                Ok(())
            }
            Heard::Gone => {
                pending.settle();
                self.upkeep.events.proxy_gone(self.proxy, method);
                Ok(())
            }
            Heard::Refused(error) => {
                pending.settle();
                Err(error)
            }
            Heard::Silence(reason) => {
                pending.settle();
                self.owe(notice, &reason).map_err(|full| failed(method, self.proxy, &full.to_string()))
            }
        }
    }

    /// Leaves it to the background.
    fn owe(self: &Arc<Self>, notice: Notice, reason: &str) -> Result<(), Full> {
        if self.upkeep.stop.is_cancelled() {
            return Ok(());
        }
        let method = notice.method();
        let mut state = self.state.lock();
        state.backlog.owe(notice)?;
        if !std::mem::replace(&mut state.busy, true) {
            self.upkeep.events.proxy_late(self.proxy, method, reason);
            let stop = self.upkeep.stop.clone();
            self.upkeep.tasks.spawn(stop.run_until_cancelled_owned(self.clone().catch_up()));
        }
        Ok(())
    }

    /// Tells what is owed until nothing is.
    async fn catch_up(self: Arc<Self>) {
        let patience = self.upkeep.patience;
        let mut pause = patience.first_pause;
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.backlog.next();
                state.busy = next.is_some();
                next
            };
            let Some((serial, notice)) = next else {
                self.upkeep.events.proxy_caught_up(self.proxy);
                return;
            };
            match self.send(&notice, patience.wait).await {
                Heard::Done => {
                    self.state.lock().backlog.heard(serial);
                    pause = patience.first_pause;
                    continue;
                }
                Heard::Gone => {
                    let mut state = self.state.lock();
                    state.backlog.clear();
                    state.busy = false;
                    self.upkeep.events.proxy_gone(self.proxy, notice.method());
                    return;
                }
                Heard::Refused(error) => {
                    tracing::debug!(proxy = self.proxy.0, %error, "notice refused again");
                    // Perhaps the others are not.
                    self.state.lock().backlog.put_off(serial);
                }
                Heard::Silence(reason) => {
                    tracing::debug!(proxy = self.proxy.0, error = reason, "notice not answered again");
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.alive.notified() => {}
            }
            pause = pause.saturating_mul(2).min(patience.longest_pause);
        }
    }

    async fn send(&self, notice: &Notice, within: Duration) -> Heard {
        let answer = match requests::notice(notice) {
            Told::Invalidate(request) => {
                self.client
                    .call(within, request, async |mut stub, request| {
                        stub.invalidate_collection_meta_cache(request).await
                    })
                    .await
            }
            Told::Refresh(request) => {
                self.client
                    .call(within, request, async |mut stub, request| {
                        stub.refresh_policy_info_cache(request).await
                    })
                    .await
            }
        };
        let method = notice.method();
        match answer {
            Ok(status) => match merr::check(Some(&status)) {
                Ok(()) => Heard::Done,
                Err(error) if error.retriable() => Heard::Silence(error.to_string()),
                Err(error) => Heard::Refused(match method {
                    Method::Invalidate => failed(method, self.proxy, &error.to_string()),
                    // Milvus passes this one on as it is.
                    Method::Refresh | Method::Metrics | Method::Rates => error,
                }),
            },
            Err(ClientError::NoNode { .. }) => Heard::Gone,
            Err(ClientError::Grpc(status)) if status.code() == Code::Unimplemented => {
                let error = MilvusError::from(ClientError::Grpc(status));
                Heard::Refused(failed(method, self.proxy, &error.to_string()))
            }
            Err(error) => Heard::Silence(MilvusError::from(error).to_string()),
        }
    }
}

fn failed(method: Method, proxy: ServerId, error: &str) -> MilvusError {
    MilvusError::plain(format!("{} failed, proxyID = {proxy}, err = {error}", method.name()))
}

/// A notice without an outcome. Its caller may give up; what it wanted stays owed.
struct Pending<'a> {
    line: &'a Arc<Line>,
    notice: Option<Notice>,
}

impl Pending<'_> {
    fn settle(&mut self) {
        self.notice = None;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(notice) = self.notice.take()
            && let Err(full) = self.line.owe(notice, "its caller gave up")
        {
            tracing::warn!(proxy = self.line.proxy.0, error = %full, "a notice was given up");
        }
    }
}
