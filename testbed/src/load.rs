//! Callers that ask for timestamps or ids all the time, and write down what they see.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    follower::{Follower, Made},
    grpc::{Direct, Span},
    history::{Call, History},
};

/// What the callers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `AllocTimestamp`.
    Timestamps,
    /// `AllocID`.
    Ids,
}

/// How a load asks.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What for.
    pub ask: Ask,
    /// How many callers there are.
    pub callers: usize,
    /// How many values each call wants.
    pub count: u32,
    /// How long a caller waits after an answer.
    pub pace: Duration,
    /// Whether each caller has a connection of its own, as callers in different
    /// processes have; else they share one.
    pub separate: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { ask: Ask::Timestamps, callers: 4, count: 10, pace: Duration::from_millis(2), separate: true }
    }
}

/// A running load. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    callers: JoinSet<()>,
    stop: CancellationToken,
    calls: Arc<Mutex<Vec<Call>>>,
    succeeded: watch::Receiver<Option<Instant>>,
    total: watch::Receiver<usize>,
}

/// Whom the callers ask.
#[derive(Clone, Debug)]
pub enum Target {
    /// Whoever is ACTIVE, as Milvus's clients find it.
    Active(Box<Follower>),
    /// This one, without repeating a failed call: a client that holds on to its
    /// connection.
    One(Box<Direct>),
}

impl Target {
    fn for_caller(&self, separate: bool) -> Self {
        match self {
            Self::Active(client) if separate => Self::Active(Box::new(client.separate())),
            other => other.clone(),
        }
    }

    async fn ask(&self, ask: Ask, count: u32) -> Made<Span> {
        let once = |to: Direct| async move {
            match ask {
                Ask::Timestamps => to.alloc_timestamp(count).await,
                Ask::Ids => to.alloc_id(count).await,
            }
        };
        match self {
            Self::Active(client) => client.call(once).await,
            Self::One(direct) => {
                let last_attempt = Instant::now();
                let outcome = once((**direct).clone()).await;
                Made { last_attempt, attempts: 1, server: direct.server_id(), outcome }
            }
        }
    }
}

impl From<&Follower> for Target {
    fn from(client: &Follower) -> Self {
        Self::Active(Box::new(client.clone()))
    }
}

impl From<&Direct> for Target {
    fn from(direct: &Direct) -> Self {
        Self::One(Box::new(direct.clone()))
    }
}

impl Load {
    /// The usual load, once it has got `answers` answers.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    pub async fn under_way(target: impl Into<Target>, answers: usize, limit: Duration) -> Self {
        let load = Self::start(target, Shape::default());
        load.successes(answers, limit).await;
        load
    }

    /// Starts the callers.
    pub fn start(target: impl Into<Target>, shape: Shape) -> Self {
        let target = target.into();
        let stop = CancellationToken::new();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (tell_success, succeeded) = watch::channel(None);
        let (tell_total, total) = watch::channel(0);
        let (tell_success, tell_total) = (Arc::new(tell_success), Arc::new(tell_total));
        let mut callers = JoinSet::new();
        for caller in 0..shape.callers {
            let target = target.for_caller(shape.separate);
            let (stop, calls) = (stop.clone(), Arc::clone(&calls));
            let (tell_success, tell_total) = (Arc::clone(&tell_success), Arc::clone(&tell_total));
            callers.spawn(async move {
                while !stop.is_cancelled() {
                    let started = Instant::now();
                    let made = target.ask(shape.ask, shape.count).await;
                    let ended = Instant::now();
                    let call = Call {
                        caller,
                        started,
                        last_attempt: made.last_attempt,
                        ended,
                        attempts: made.attempts,
                        server: made.server,
                        outcome: made.outcome.map_err(|e| e.to_string()),
                    };
                    let good = call.outcome.is_ok();
                    calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
                    if good {
                        tell_success.send_replace(Some(started));
                        tell_total.send_modify(|total| *total += 1);
                    }
                    if !shape.pace.is_zero() {
                        tokio::time::sleep(shape.pace).await;
                    }
                }
            });
        }
        Self { callers, stop, calls, succeeded, total }
    }

    /// Waits until `more` further calls have succeeded. A fault that comes before
    /// there is traffic proves nothing.
    ///
    /// # Panics
    /// When they don't within `limit`.
    pub async fn successes(&self, more: usize, limit: Duration) {
        let mut total = self.total.clone();
        let wanted = *total.borrow() + more;
        // What it returns holds a lock that callers wait for: not kept, or the next look would
        // wait for them.
        let waited = tokio::time::timeout(limit, total.wait_for(|total| *total >= wanted)).await;
        let enough = matches!(waited, Ok(Ok(_)));
        drop(waited);
        let total = *self.total.borrow();
        assert!(
            enough,
            "only {} of {more} calls succeeded within {limit:?}; the last failure: {:?}",
            total + more - wanted,
            self.history().failures().last()
        );
    }

    /// Waits until a call that began at `moment` or later has succeeded.
    ///
    /// # Panics
    /// When none does within `limit`.
    pub async fn success_since(&self, moment: Instant, limit: Duration) {
        let mut succeeded = self.succeeded.clone();
        let waited =
            tokio::time::timeout(limit, succeeded.wait_for(|started| started.is_some_and(|s| s >= moment)))
                .await;
        let came = matches!(waited, Ok(Ok(_)));
        drop(waited);
        assert!(
            came,
            "no call succeeded within {limit:?}; the last failure: {:?}",
            self.history().failures().last()
        );
    }

    /// What has been seen so far.
    pub fn history(&self) -> History {
        History { calls: self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone() }
    }

    /// Lets every caller finish its call, and returns everything.
    ///
    /// # Panics
    /// When a caller is not done after a minute: longer than the longest call.
    pub async fn stop(mut self) -> History {
        self.stop.cancel();
        let all_done = async { while self.callers.join_next().await.is_some() {} };
        let waited = tokio::time::timeout(Duration::from_secs(60), all_done).await;
        assert!(waited.is_ok(), "a caller still waits for its answer after a minute");
        self.history()
    }
}
