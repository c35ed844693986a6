//! Keeps the window in etcd ahead of what is given out: one task per window and term.
//!
//! Each write compares the mod revision of what it replaces, so a late one of an
//! earlier attempt can't lower the end. Somebody else's put (a deposed Milvus
//! coordinator doesn't fence) is seen in the mirror or by a failed compare, and
//! answered at once with an end that is larger than both.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::UnixNanos,
    etcd::{
        commit::Commit,
        store::{Write, WriteError},
        txn::{Guard, KeyValue, Op},
    },
    ids::Revision,
    tso::{
        counter::Counter,
        stored::Change,
        window::{self, GUARD, MOST_LEAD},
    },
};

/// The pauses after a write that etcd did not take.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Something that gives out from a window.
pub trait Reserve: Send + Sync + fmt::Debug {
    /// The numbers.
    fn counter(&self) -> &Counter;

    /// The end to store, if the stored one comes too near.
    fn wanted_end(&self, stored: UnixNanos) -> Option<UnixNanos>;

    /// The later of the clock and what was given out.
    fn time(&self) -> UnixNanos;

    /// Notified when the window may have come too near.
    fn low(&self) -> &Notify;
}

/// What happens to a window, for log and metrics.
pub trait Witness: Send + Sync + fmt::Debug {
    /// It now ends there.
    fn extended(&self, key: &str, end: UnixNanos);

    /// Somebody else put or deleted it at that revision.
    fn foreign(&self, key: &str, found: &Found, at: Revision);

    /// It could not be written.
    fn failed(&self, key: &str, error: &WriteError);
}

/// What somebody else left in the place of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The key is gone.
    Nothing,
    /// An end that is not behind the own one.
    Smaller(UnixNanos),
    /// An end behind the own one: its writer may have given out up to there.
    Larger(UnixNanos),
    /// An end further ahead than any clock may be, or garbage: as raw bytes in hex.
    Unbelievable(String),
}

/// A window within its term: what is durable and what etcd holds.
#[derive(Debug)]
pub struct Window {
    key: String,
    end: UnixNanos,
    /// The mod revision to compare; `None`: the key is gone.
    holds: Option<Revision>,
    /// The newest revision that has been taken into account.
    known_at: Revision,
}

impl Window {
    /// Put at `at` with that end.
    pub fn new(key: String, end: UnixNanos, at: Revision) -> Self {
        Self { key, end, holds: Some(at), known_at: at }
    }

    /// The durable end.
    pub fn end(&self) -> UnixNanos {
        self.end
    }

    /// The write that moves the end.
    pub fn write(&self, end: UnixNanos) -> Write {
        let guard = match self.holds {
            Some(at) => Guard::ModIs(self.key.clone(), at),
            None => Guard::Absent(self.key.clone()),
        };
        Write { guards: vec![guard], ops: vec![Op::put(&self.key, window::encode(end))] }
    }

    /// The write came through.
    pub fn written(&mut self, end: UnixNanos, at: Revision) {
        self.end = end;
        self.holds = Some(at);
        self.known_at = self.known_at.max(at);
    }

    /// What etcd holds, as the mirror or a failed compare shows it. `None`: that was known.
    pub fn found(&mut self, value: Option<&KeyValue>, at: Revision, most: UnixNanos) -> Option<Found> {
        let holds = value.map(|kv| kv.mod_revision);
        if at < self.known_at || (at == self.known_at && holds == self.holds) {
            return None;
        }
        (self.known_at, self.holds) = (at, holds);
        let Some(kv) = value else { return Some(Found::Nothing) };
        Some(match window::decode(&self.key, &kv.value) {
            Ok(end) if end <= self.end => Found::Smaller(end),
            Ok(end) if end <= most => Found::Larger(end),
            Ok(_) | Err(_) => {
                Found::Unbelievable(kv.value.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
            }
        })
    }
}

/// The way by which the mirror reaches a keeper. Only the newest change counts.
#[derive(Debug)]
pub struct Sightings {
    newest: Mutex<Option<Change>>,
    reserve: Arc<dyn Reserve>,
}

impl Sightings {
    /// For the keeper of `reserve`.
    pub fn new(reserve: Arc<dyn Reserve>) -> Self {
        Self { newest: Mutex::new(None), reserve }
    }

    /// The mirror shows this.
    pub fn seen(&self, change: Change) {
        *self.newest.lock() = Some(change);
        self.reserve.low().notify_one();
    }

    fn take(&self) -> Option<Change> {
        self.newest.lock().take()
    }
}

/// The task that keeps one window ahead.
#[derive(Debug)]
pub struct Keeper {
    /// The window at the beginning of the term.
    pub window: Window,
    /// Where it is written.
    pub store: Arc<dyn Commit>,
    /// Who gives out from it.
    pub reserve: Arc<dyn Reserve>,
    /// What the mirror shows.
    pub sightings: Arc<Sightings>,
    /// Hears what happens.
    pub witness: Arc<dyn Witness>,
    /// Cancelled: no write is begun any more; the one on the wire is waited for.
    pub finish: CancellationToken,
    /// Cancelled: ends at once.
    pub stop: CancellationToken,
}

impl Keeper {
    /// Runs until it is told to end, or the term is over. Returns the revision of its last write.
    pub async fn run(mut self) -> Revision {
        let mut last = self.window.known_at;
        let mut pause = FIRST_PAUSE;
        let mut restore = false;
        loop {
            if let Some((value, at)) = self.sightings.take() {
                restore |= self.found(value.as_ref(), at);
            }
            let stored = self.window.end();
            let wanted = self.reserve.wanted_end(stored).or_else(|| restore.then_some(stored));
            let Some(end) = wanted else {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return last,
                    () = self.finish.cancelled() => return last,
                    () = self.reserve.low().notified() => continue,
                }
            };
            if self.finish.is_cancelled() {
                return last;
            }
            let write = self.window.write(end);
            let outcome = tokio::select! {
                biased;
                () = self.stop.cancelled() => return last,
                outcome = self.store.commit_settled(&write) => outcome,
            };
            match outcome {
                Ok(committed) => {
                    last = committed.revision;
                    self.window.written(end, committed.revision);
                    self.reserve.counter().raise(end);
                    self.witness.extended(&self.window.key, end);
                    (restore, pause) = (false, FIRST_PAUSE);
                    continue;
                }
                Err(WriteError::Deposed(_)) => return last,
                Err(WriteError::Conflict { keys, seen }) => {
                    let seen =
                        keys.iter().position(|key| *key == self.window.key).and_then(|at| seen.get(at));
                    if let Some(value) = seen {
                        let at = value.as_ref().map_or(self.window.known_at, |kv| kv.mod_revision);
                        restore |= self.found(value.as_ref(), at);
                        continue;
                    }
                }
                Err(error) => self.witness.failed(&self.window.key, &error),
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return last,
                () = self.finish.cancelled() => return last,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// Takes in what etcd holds; `true` if the window must be put anew.
    fn found(&mut self, value: Option<&KeyValue>, at: Revision) -> bool {
        let most = self.reserve.time() + MOST_LEAD;
        let Some(found) = self.window.found(value, at, most) else { return false };
        if let Found::Larger(end) = found {
            self.reserve.counter().skip_beyond(end + GUARD);
        }
        self.witness.foreign(&self.window.key, &found, at);
        true
    }

    /// Starts it on `tasks`.
    pub fn start(self, tasks: &TaskTracker) -> tokio::task::JoinHandle<Revision> {
        tasks.spawn(self.run())
    }
}

#[cfg(test)]
mod tests;
