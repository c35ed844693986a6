//! The mirror's task: snapshot, watch, and what to do when either ends.
//!
//! ```text
//!            ┌────────────── changed cluster, compacted, forced ─────────────┐
//!            ▼                                                               │
//!   watch from now ──▶ load snapshot ──▶ deliver changes ◀── watch from the last revision
//!                                             │                  ▲
//!                                             └── any trouble ───┘ (next member)
//! ```
//!
//! The watch is opened *before* the snapshot is loaded: etcd never compacts what a
//! watch that is up to date still has to send.

use std::time::Duration;

use etcd_client::{WatchOptions, WatchRequestSender, WatchResponseStream};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    etcd::{
        Etcd,
        call::{CallError, Refusal},
        classify::{Failure, classify},
        feed::{Feed, Message, Next, Wanted},
        mirror::{Demand, KeyRange, MirrorPlan, MirrorState, Sink},
        snapshot::{PageSize, load},
        wire,
    },
    ids::Revision,
};

/// How long a watch may be quiet before it is asked for a sign of life. Without one in
/// three times this it is given up.
const QUIET: Duration = Duration::from_millis(500);
/// How long opening a watch may take once there is a connection.
const OPEN_LIMIT: Duration = Duration::from_secs(3);
/// How long the check may take that a member is part of the majority.
const CHECK_LIMIT: Duration = Duration::from_secs(3);
/// How long a wanted change is waited for on a new watch before everything is loaded
/// anew. Etcd lets watches catch up every 100 ms.
const FORCE_AFTER: Duration = Duration::from_millis(300);
/// The longest pause between two attempts, and the longest patience with a quiet watch.
const LONGEST: Duration = Duration::from_secs(1);
const MOST_PATIENCE: Duration = Duration::from_secs(8);

/// Why a watch is given up.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("etcd call failed")]
    Call(#[from] CallError),
    #[error("watch ended: {0}")]
    Ended(String),
    #[error("watch is silent")]
    Silent,
    #[error("history is compacted")]
    Compacted,
    #[error("another etcd answers, or an older state of it")]
    AnotherCluster,
    #[error("a change is overdue")]
    Overdue,
}

pub(crate) struct Follower {
    etcd: Etcd,
    watched: KeyRange,
    wanted: Wanted,
    sink: Sink,
    state: watch::Sender<MirrorState>,
    demand: watch::Receiver<Demand>,
    /// When a change that is overdue makes for a new snapshot.
    force_at: Option<Instant>,
    /// The last demand that a snapshot has met.
    demand_met: u64,
    /// The last revision that was delivered, and of which etcd; `None` asks for a snapshot.
    done: Option<Revision>,
    incarnation: u64,
    page_size: PageSize,
    patience: Duration,
}

/// An open watch.
struct Watch {
    requests: WatchRequestSender,
    messages: WatchResponseStream,
}

impl Follower {
    pub(crate) fn new(
        etcd: Etcd,
        plan: MirrorPlan,
        sink: Sink,
        state: watch::Sender<MirrorState>,
        demand: watch::Receiver<Demand>,
    ) -> Self {
        let wanted = Wanted::new(&plan.wanted);
        // One range that covers all, should the plan have forgotten some of it.
        let all = || wanted.ranges().iter().chain([&plan.watch]);
        let start = all().map(|range| &range.start).min().unwrap_or(&plan.watch.start).clone();
        let end = all().map(|range| &range.end).max().unwrap_or(&plan.watch.end).clone();
        let watched = KeyRange { start, end };
        Self {
            incarnation: etcd.incarnation(),
            etcd,
            watched,
            wanted,
            sink,
            state,
            demand,
            force_at: None,
            demand_met: 0,
            done: None,
            page_size: PageSize::default(),
            patience: QUIET,
        }
    }

    /// Follows for ever.
    pub(crate) async fn run(mut self) {
        let mut troubles = 0_u32;
        let mut lost_at: Option<Instant> = None;
        loop {
            let slot = self.etcd.line().current();
            let opened = self.open().await;
            let trouble = match opened {
                Ok((watch, feed)) => {
                    self.in_sync(&feed);
                    if let Some(lost_at) = lost_at.take() {
                        let revision = feed.done().0;
                        tracing::info!(revision, after = ?lost_at.elapsed(), "etcd is followed again");
                    }
                    let opened_at = Instant::now();
                    let trouble = self.deliver(watch, feed).await;
                    if opened_at.elapsed() >= LONGEST {
                        troubles = 0;
                    }
                    trouble
                }
                Err(trouble) => trouble,
            };
            self.after(&trouble);
            if lost_at.is_none() {
                lost_at = Some(Instant::now());
                tracing::warn!(error = &trouble as &dyn std::error::Error, "etcd watch lost");
            } else {
                tracing::debug!(error = &trouble as &dyn std::error::Error, "etcd watch not open yet");
            }
            if !matches!(trouble, Trouble::Compacted | Trouble::AnotherCluster) {
                self.etcd.line().give_up(&slot);
            }
            // The first new attempt comes at once.
            if troubles > 0 {
                let pause = Duration::from_millis(10_u64 << troubles.min(10));
                sleep(pause.min(LONGEST)).await;
            }
            troubles += 1;
        }
    }

    /// What a trouble changes for the next attempt.
    fn after(&mut self, trouble: &Trouble) {
        self.state.send_modify(|state| state.in_sync = false);
        match trouble {
            Trouble::Compacted | Trouble::AnotherCluster => self.done = None,
            Trouble::Call(error) => {
                if matches!(error.refusal(), Some(Refusal::Compacted | Refusal::FutureRevision)) {
                    self.done = None;
                }
            }
            Trouble::Silent => self.patience = (self.patience * 2).min(MOST_PATIENCE),
            Trouble::Ended(_) | Trouble::Overdue => {}
        }
    }

    fn in_sync(&mut self, feed: &Feed) {
        let revision = feed.done();
        let last_heard = self.etcd.clock().boot();
        self.state.send_modify(|state| {
            *state = MirrorState { revision, in_sync: true, last_heard, ..*state };
        });
    }

    /// A watch that delivers everything after what its feed has.
    async fn open(&mut self) -> Result<(Watch, Feed), Trouble> {
        if self.etcd.incarnation() != self.incarnation {
            self.done = None;
        }
        self.incarnation = self.etcd.incarnation();
        let opened = match self.done {
            Some(done) => {
                // A member that is cut off would open the watch and then keep silent; and
                // a restored etcd would too, until it gets to this revision again.
                self.etcd.read(&self.watched.start, CHECK_LIMIT).await?;
                if self.etcd.incarnation() != self.incarnation {
                    return Err(Trouble::AnotherCluster);
                }
                let watch = open_watch(&self.etcd, &self.watched, Some(Revision(done.0 + 1))).await?;
                (watch, Feed::new(self.wanted.clone(), done))
            }
            None => {
                let watch = open_watch(&self.etcd, &self.watched, None).await?;
                let demand = self.demand.borrow().serial;
                let header = load(&self.etcd, &self.wanted, &mut self.page_size, &mut self.sink).await?;
                if self.etcd.incarnation() != self.incarnation {
                    return Err(Trouble::AnotherCluster);
                }
                self.done = Some(header.revision);
                // Whatever revision etcd has, it is in there.
                self.demand_met = demand;
                self.state.send_modify(|state| state.snapshots += 1);
                tracing::debug!(revision = header.revision.0, "etcd snapshot loaded");
                (watch, Feed::new(self.wanted.clone(), header.revision))
            }
        };
        Ok(opened)
    }

    /// Delivers changes until something goes wrong.
    async fn deliver(&mut self, mut watch: Watch, mut feed: Feed) -> Trouble {
        let mut cluster = self.etcd.cluster();
        let mut unanswered = 0;
        // A demand from before this watch was opened gives it the same time as a later one.
        let demand = *self.demand.borrow_and_update();
        let open = demand.serial > self.demand_met && feed.done() < demand.revision;
        self.force_at = open.then(|| Instant::now() + FORCE_AFTER);
        let quiet = sleep(self.patience);
        tokio::pin!(quiet);
        loop {
            let (floor, _) = self.etcd.shared.before_sending();
            let overdue = self.overdue(feed.done());
            tokio::select! {
                biased;
                message = watch.messages.message() => {
                    let message = match message {
                        Ok(Some(message)) => wire::message(message),
                        Ok(None) => return Trouble::Ended("by etcd".to_owned()),
                        Err(error) => {
                            let failure = classify(error).of_read("watch", self.etcd.endpoints());
                            return failure.into();
                        }
                    };
                    self.etcd.shared.heard(&floor, message.header);
                    unanswered = 0;
                    if !message.changes.is_empty() {
                        self.patience = QUIET;
                    }
                    quiet.as_mut().reset(Instant::now() + self.patience);
                    let next = feed.apply(message, &mut self.sink);
                    self.delivered(&feed);
                    match next {
                        Next::Go => {}
                        Next::Load => return Trouble::Compacted,
                        Next::Reopen(reason) => return Trouble::Ended(reason),
                    }
                }
                () = &mut quiet => {
                    // Asked twice, because this process itself may have been stopped for a while.
                    if unanswered == 2 {
                        return Trouble::Silent;
                    }
                    unanswered += 1;
                    if watch.requests.request_progress().await.is_err() {
                        return Trouble::Ended("by etcd".to_owned());
                    }
                    quiet.as_mut().reset(Instant::now() + self.patience);
                }
                Ok(()) = self.demand.changed() => {
                    let wanted = self.demand.borrow_and_update().revision;
                    if feed.done() < wanted {
                        return Trouble::Overdue;
                    }
                }
                () = until(overdue) => {
                    self.done = None;
                    return Trouble::Overdue;
                }
                Ok(()) = cluster.changed() => {
                    if cluster.borrow_and_update().incarnation != self.incarnation {
                        return Trouble::AnotherCluster;
                    }
                }
            }
        }
    }

    /// When a demanded change that has not come is looked for in a snapshot.
    fn overdue(&mut self, done: Revision) -> Option<Instant> {
        if self.force_at.is_some() && done >= self.demand.borrow().revision {
            self.force_at = None;
        }
        self.force_at
    }

    fn delivered(&mut self, feed: &Feed) {
        let revision = feed.done();
        self.done = Some(revision);
        let last_heard = self.etcd.clock().boot();
        self.state.send_modify(|state| {
            state.revision = revision;
            state.last_heard = last_heard;
        });
    }
}

async fn open_watch(etcd: &Etcd, watched: &KeyRange, from: Option<Revision>) -> Result<Watch, Trouble> {
    let failed = |failure: Failure| Trouble::Call(failure.of_read("watch", etcd.endpoints()));
    let mut options = WatchOptions::new().with_range(watched.end.as_str()).with_fragment();
    if let Some(from) = from {
        options = options.with_start_revision(from.0);
    }
    let (slot, mut connection) = etcd.stream_connection().await.map_err(failed)?;
    let opening = async {
        let stream = connection.watch.watch(watched.start.as_str(), Some(options)).await?;
        let (requests, mut messages) = stream.split();
        let first = messages.message().await?;
        Ok((Watch { requests, messages }, first))
    };
    let (floor, _) = etcd.shared.before_sending();
    let opened = timeout(OPEN_LIMIT, opening).await.map_err(|_| Trouble::Silent)?;
    let (watch, first) = opened.map_err(|error| failed(classify(error)))?;
    let first = first.map(wire::message).ok_or_else(|| Trouble::Ended("no answer".to_owned()))?;
    etcd.shared.heard(&floor, first.header);
    match first {
        Message { compacted: true, .. } => Err(Trouble::Compacted),
        Message { canceled: Some(reason), .. } => {
            // Etcd 3.4 says "permission denied" when the login has expired.
            etcd.line().reopen(&slot);
            Err(Trouble::Ended(reason))
        }
        Message { created: true, .. } => Ok(watch),
        _ => Err(Trouble::Ended("a watch that was not created".to_owned())),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
