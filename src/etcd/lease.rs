//! Keeps a lease.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::{BootInstant, Clock},
    etcd::{Etcd, call::CallError},
    ids::LeaseId,
};

/// Told by the main loop that it lives.
#[derive(Clone, Debug)]
pub struct Pulse {
    clock: Arc<dyn Clock>,
    at: Arc<AtomicU64>,
}

impl Pulse {
    /// A pulse that has just been felt.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let pulse = Self { clock, at: Arc::default() };
        pulse.tick();
        pulse
    }

    /// The main loop lives.
    pub fn tick(&self) {
        self.at.store(self.clock.boot().since_boot().as_nanos() as u64, Ordering::Release);
    }

    fn age(&self) -> Duration {
        let at = BootInstant::from_boot(Duration::from_nanos(self.at.load(Ordering::Acquire)));
        self.clock.boot().since(at)
    }
}

/// What is known of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Valid.
    Held {
        /// By the newest answer.
        answered_until: BootInstant,
        /// By the newest answer that a later read confirmed.
        confirmed_until: BootInstant,
    },
    /// Over.
    Gone,
}

#[derive(Debug)]
struct Deadlines {
    answered: BootInstant,
    confirmed: BootInstant,
    unconfirmed: Option<(BootInstant, u64, BootInstant)>,
}

/// See the module.
#[derive(Debug)]
pub struct LeaseKeeper {
    etcd: Etcd,
    id: LeaseId,
    deadlines: Arc<Mutex<Deadlines>>,
    state: watch::Sender<LeaseState>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl LeaseKeeper {
    /// A fresh lease, kept from now on.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn grant(etcd: &Etcd, ttl: Duration, pulse: Pulse, limit: Duration) -> Result<Self, CallError> {
        let answer = etcd.grant(ttl, limit).await?;
        let ttl = answer.value.ttl;
        let until = answer.sent + (ttl - ttl / 50);
        let deadlines =
            Arc::new(Mutex::new(Deadlines { answered: until, confirmed: until, unconfirmed: None }));
        let (state, _) = watch::channel(LeaseState::Held { answered_until: until, confirmed_until: until });
        let keeper = Self {
            etcd: etcd.clone(),
            id: answer.value.lease,
            deadlines: Arc::clone(&deadlines),
            state: state.clone(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (etcd, id, clock) = (etcd.clone(), keeper.id, Arc::clone(etcd.clock()));
        keeper.tasks.spawn(keeper.stop.clone().run_until_cancelled_owned(async move {
            loop {
                tokio::time::sleep(ttl / 3).await;
                if pulse.age() > ttl / 2 {
                    continue;
                }
                let sent = clock.boot();
                match etcd.keep_alive_once(id, ttl / 3).await {
                    Ok((_, left)) if left.is_zero() => {
                        state.send_replace(LeaseState::Gone);
                        return;
                    }
                    Ok((header, left)) => {
                        let until = sent + (left - left / 50);
                        let mut deadlines = deadlines.lock();
                        deadlines.answered = deadlines.answered.max(until);
                        deadlines.unconfirmed = Some((sent, header.raft_term, until));
                        state.send_replace(LeaseState::Held {
                            answered_until: deadlines.answered,
                            confirmed_until: deadlines.confirmed,
                        });
                    }
                    Err(error) => tracing::debug!(%error, "keep-alive"),
                }
            }
        }));
        Ok(keeper)
    }

    /// The lease.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// News.
    pub fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.subscribe()
    }

    /// Valid until then by the newest answer.
    pub fn answered_until(&self) -> BootInstant {
        self.deadlines.lock().answered
    }

    /// Valid until then for sure.
    pub fn confirmed_until(&self) -> BootInstant {
        self.deadlines.lock().confirmed
    }

    /// A linearizable read sent at `sent` was answered in that raft term.
    pub fn confirm(&self, sent: BootInstant, raft_term: u64) {
        let mut deadlines = self.deadlines.lock();
        if let Some((kept, term, until)) = deadlines.unconfirmed
            && term == raft_term
            && sent >= kept
        {
            deadlines.confirmed = deadlines.confirmed.max(until);
        }
    }

    /// Gives it back.
    pub async fn revoke(&self, limit: Duration) {
        self.stop.cancel();
        if let Err(error) = self.etcd.revoke(self.id, limit).await {
            tracing::debug!(%error, "revoke");
        }
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
