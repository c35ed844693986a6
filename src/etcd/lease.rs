//! Keeps a lease alive, and knows until when it surely is.
//!
//! The keeper renews every third of the lease, on a stream that it opens anew at
//! another member when an answer is late. Only etcd itself can say that the lease is
//! gone: a deadline that passes without an answer means "don't rely on it now", and
//! when etcd is back in time the same lease goes on.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::BootInstant,
    etcd::{
        Etcd,
        call::{CallError, Refusal},
        keep_alive::KeepAlives,
        lease_clock::{LeaseClock, Renewal},
    },
    ids::LeaseId,
};

pub use crate::etcd::pulse::Pulse;

/// The shortest pause after a failed renewal.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// An answer gets at least this long, however short the lease is.
const LEAST_PATIENCE: Duration = Duration::from_millis(250);

/// How much earlier than etcd the own clock considers a lease to be over: for clocks
/// that run at different rates, and for what lies between looking at the clock and
/// acting. 150 ms of 5 s.
fn margin(ttl: Duration) -> Duration {
    ttl / 50 + Duration::from_millis(50)
}

/// What is known of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Not known to be over.
    Held {
        /// It lives until then at least, if the etcd leader that answered last is still the leader.
        answered_until: BootInstant,
        /// It lives until then at least.
        confirmed_until: BootInstant,
    },
    /// Etcd doesn't have it any more (it ran out, or somebody revoked it), or this
    /// process is giving it back.
    Gone,
}

/// Keeps one lease alive until it is revoked or dropped; a dropped one runs out.
#[derive(Debug)]
pub struct LeaseKeeper {
    inner: Arc<Inner>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Inner {
    etcd: Etcd,
    lease: LeaseId,
    ttl: Duration,
    clock: Mutex<LeaseClock>,
    state: watch::Sender<LeaseState>,
}

impl LeaseKeeper {
    /// Gets a fresh lease of about `ttl` (whole seconds) and keeps it alive as long as
    /// `pulse` beats. `limit` is for the grant.
    ///
    /// # Errors
    /// [`CallError`] of the grant. If its outcome is unknown, a lease may have been
    /// granted that nobody uses; it runs out.
    pub async fn grant(etcd: &Etcd, ttl: Duration, pulse: Pulse, limit: Duration) -> Result<Self, CallError> {
        let answer = etcd.grant(ttl, limit).await?;
        let granted = answer.value;
        let clock = LeaseClock::granted(answer.sent, granted.ttl, margin(granted.ttl));
        let inner = Arc::new(Inner {
            etcd: etcd.clone(),
            lease: granted.lease,
            ttl: granted.ttl,
            state: watch::Sender::new(held(&clock)),
            clock: Mutex::new(clock),
        });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let keeping = Arc::clone(&inner).keep(pulse);
        tasks.spawn(stop.clone().run_until_cancelled_owned(keeping));
        tasks.close();
        Ok(Self { inner, stop, tasks })
    }

    /// The lease.
    pub fn id(&self) -> LeaseId {
        self.inner.lease
    }

    /// What etcd granted.
    pub fn ttl(&self) -> Duration {
        self.inner.ttl
    }

    /// What is known of it, and every change of that.
    pub fn state(&self) -> watch::Receiver<LeaseState> {
        self.inner.state.subscribe()
    }

    /// It lives until then at least, if the etcd leader that answered last is still the leader.
    pub fn answered_until(&self) -> BootInstant {
        self.inner.clock.lock().answered_until()
    }

    /// It lives until then at least.
    pub fn confirmed_until(&self) -> BootInstant {
        self.inner.clock.lock().confirmed_until()
    }

    /// A linearizable read that was sent at `sent` came back with that raft term:
    /// whatever the leader of that term answered before `sent` was the cluster's word.
    pub fn confirm(&self, sent: BootInstant, raft_term: u64) {
        self.inner.confirm(sent, raft_term);
    }

    /// Gives the lease back, and with it the keys that are bound to it. It counts as
    /// gone from the moment of the call. If etcd doesn't take it back within `limit`, it
    /// runs out by itself.
    pub async fn revoke(&self, limit: Duration) {
        self.abandon().await;
        self.inner.end();
        match self.inner.etcd.revoke(self.inner.lease, limit).await {
            Ok(()) | Err(CallError::Refused { refusal: Refusal::LeaseNotFound, .. }) => {}
            Err(error) => {
                tracing::warn!(lease = self.inner.lease.0, %error, "lease not revoked, it will run out");
            }
        }
    }

    /// Stops renewing. The lease runs out.
    pub async fn abandon(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Inner {
    fn publish(&self, clock: &LeaseClock) {
        self.state.send_if_modified(|state| {
            let changed = *state != LeaseState::Gone && *state != held(clock);
            if changed {
                *state = held(clock);
            }
            changed
        });
    }

    fn confirm(&self, sent: BootInstant, raft_term: u64) {
        let mut clock = self.clock.lock();
        if clock.confirm(sent, raft_term) {
            self.publish(&clock);
        }
    }

    fn end(&self) {
        self.state.send_if_modified(|state| std::mem::replace(state, LeaseState::Gone) != LeaseState::Gone);
    }

    /// Renews until the lease is gone.
    async fn keep(self: Arc<Self>, pulse: Pulse) {
        let patience = (self.ttl / 6).max(LEAST_PATIENCE);
        let mut stream: Option<KeepAlives> = None;
        let mut last_success = Instant::now();
        sleep(self.ttl / 3).await;
        loop {
            if pulse.age() >= self.ttl / 2 {
                tracing::warn!(lease = self.lease.0, "main loop is stuck, lease is not renewed");
                pulse.younger_than(self.ttl / 2).await;
                tracing::info!(lease = self.lease.0, "main loop goes on, lease is renewed again");
            }
            let used = stream.as_ref().map_or_else(|| self.etcd.line().current(), KeepAlives::slot);
            // A new connection takes its time, with encryption and a login most of all.
            let patience = if stream.is_some() { patience } else { patience.max(self.ttl / 3) };
            let renewing = timeout(patience, self.renew(&mut stream)).await;
            match renewing {
                Ok(Ok(renewal)) if self.count(renewal) => {
                    last_success = Instant::now();
                    sleep(self.ttl / 3).await;
                    continue;
                }
                Ok(Ok(renewal)) => {
                    let Renewal { raft_term, .. } = renewal;
                    tracing::warn!(
                        lease = self.lease.0,
                        raft_term,
                        "keep-alive answered by a former etcd leader"
                    );
                }
                Ok(Err(CallError::Refused { refusal: Refusal::LeaseNotFound, .. })) => {
                    tracing::warn!(lease = self.lease.0, "lease is lost");
                    return self.end();
                }
                Ok(Err(error)) => {
                    let since = last_success.elapsed();
                    tracing::debug!(lease = self.lease.0, %error, ?since, "lease not renewed");
                }
                Err(_) => {
                    let since = last_success.elapsed();
                    tracing::warn!(lease = self.lease.0, ?since, "no answer to a keep-alive");
                }
            }
            stream = None;
            self.etcd.line().give_up(&used);
            sleep((self.ttl / 100).max(RETRY_PAUSE)).await;
        }
    }

    async fn renew(&self, stream: &mut Option<KeepAlives>) -> Result<Renewal, CallError> {
        let stream = match stream {
            Some(stream) => stream,
            None => stream.insert(self.etcd.keep_alives(self.lease).await?),
        };
        stream.renew().await
    }

    fn count(&self, renewal: Renewal) -> bool {
        let highest_term = self.etcd.highest_raft_term();
        let mut clock = self.clock.lock();
        let counts = clock.renewed(renewal, highest_term);
        if counts {
            self.publish(&clock);
        }
        counts
    }
}

fn held(clock: &LeaseClock) -> LeaseState {
    LeaseState::Held { answered_until: clock.answered_until(), confirmed_until: clock.confirmed_until() }
}
