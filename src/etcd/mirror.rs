//! A part of etcd followed closely: a snapshot at one revision, then every change.
//!
//! One watch over one contiguous range that contains everything of interest. Only so
//! does the arrival of a change at revision R mean that everything before R has
//! arrived; of two watches one may lag behind. What nobody wants is dropped on receipt.

use std::{fmt, time::Duration};

use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::BootInstant,
    etcd::{Etcd, call::Header, follow::Follower, lane::Lane, txn::KeyValue},
    ids::Revision,
};

/// The keys from `start` (inclusive) to `end` (exclusive).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub start: String,
    /// First key behind it.
    pub end: String,
}

impl KeyRange {
    /// Everything that begins with `prefix`. Give the slash: `by-dev` begins `by-dev2`.
    /// An empty prefix stands for all keys that are text.
    pub fn prefix(prefix: &str) -> Self {
        // Etcd sorts by bytes, which for text is the order of the characters.
        let mut end = prefix.to_owned();
        while let Some(last) = end.pop() {
            if let Some(next) = (last..=char::MAX).nth(1) {
                end.push(next);
                return Self { start: prefix.to_owned(), end };
            }
        }
        let start = if prefix.is_empty() { "\0" } else { prefix };
        Self { start: start.to_owned(), end: format!("{prefix}{}", char::MAX) }
    }

    /// One key.
    pub fn key(key: &str) -> Self {
        Self { start: key.to_owned(), end: format!("{key}\0") }
    }

    /// Whether `key` lies in it.
    pub fn contains(&self, key: &str) -> bool {
        *self.start <= *key && *key < *self.end
    }
}

/// What happens in a mirror, in etcd's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorEvent {
    /// A snapshot begins; what is loaded up to `Loaded` replaces everything known.
    Reset,
    /// An entry of the snapshot.
    Entry(KeyValue),
    /// The snapshot is complete as of the header's revision.
    Loaded(Header),
    /// A key was put.
    Put(KeyValue),
    /// A key is gone since this revision.
    Deleted(String, Revision),
    /// Everything up to this revision has been delivered.
    UpTo(Revision),
}

/// What to follow.
#[derive(Clone, Debug)]
pub struct MirrorPlan {
    /// The watched range: contiguous, and wide enough for all that is wanted.
    pub watch: KeyRange,
    /// What is loaded, and of what changes are delivered.
    pub wanted: Vec<KeyRange>,
}

/// Where a mirror stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorState {
    /// Everything up to here has been delivered; 0 before the first snapshot. It moves
    /// with changes within the watched range only.
    pub revision: Revision,
    /// The snapshot is complete and a watch is open and gave a sign of life lately.
    pub in_sync: bool,
    /// When etcd last said anything on the watch.
    pub last_heard: BootInstant,
    /// How many snapshots were loaded.
    pub snapshots: u64,
}

/// What was asked for did not arrive in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mirror is at revision {at}, not at {wanted}")]
pub struct Behind {
    /// What was asked for.
    pub wanted: Revision,
    /// What there is.
    pub at: Revision,
}

/// What takes a mirror's events, in etcd's order. It must not block.
pub type Sink = Box<dyn FnMut(MirrorEvent) + Send>;

/// A wish to be at a revision.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    pub(crate) revision: Revision,
    /// Counts the wishes: a repeated one is a new one.
    pub(crate) serial: u64,
}

/// A part of etcd, followed until it is stopped or dropped.
pub struct Mirror {
    state: watch::Receiver<MirrorState>,
    demand: watch::Sender<Demand>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

impl Mirror {
    /// Begins to follow. Whatever happens to etcd and the way to it, it goes on for
    /// ever: from the last revision if it can, else with a new snapshot, which begins
    /// with [`MirrorEvent::Reset`]. An event may come twice after trouble, with the
    /// same revision.
    pub fn start(etcd: Etcd, plan: MirrorPlan, sink: Sink) -> Self {
        let (state_in, state) = watch::channel(MirrorState::default());
        let (demand, demand_out) = watch::channel(Demand::default());
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let follower = Follower::new(etcd.on(Lane::Bulk), plan, sink, state_in, demand_out);
        tasks.spawn(stop.clone().run_until_cancelled_owned(follower.run()));
        tasks.close();
        Self { state, demand, stop, tasks }
    }

    /// Where it stands, and every change of that.
    pub fn state(&self) -> watch::Receiver<MirrorState> {
        self.state.clone()
    }

    /// For a change that should have arrived and did not: looks for it at another
    /// member, first by a new watch, then by a new snapshot. Returns when everything
    /// up to `revision` has been delivered.
    ///
    /// # Errors
    /// [`Behind`] after `limit`; the search goes on.
    pub async fn catch_up_to(&self, revision: Revision, limit: Duration) -> Result<Revision, Behind> {
        let mut state = self.state.clone();
        let at = state.borrow_and_update().revision;
        if at >= revision {
            return Ok(at);
        }
        self.demand.send_modify(|demand| {
            *demand = Demand { revision: demand.revision.max(revision), serial: demand.serial + 1 };
        });
        let arrived = timeout(limit, state.wait_for(|state| state.revision >= revision)).await;
        match arrived {
            Ok(Ok(state)) => Ok(state.revision),
            Ok(Err(_)) | Err(_) => Err(Behind { wanted: revision, at: self.state.borrow().revision }),
        }
    }

    /// Stops following. No event is delivered after that.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_with_a_slash_leaves_the_neighbour_out() {
        let range = KeyRange::prefix("by-dev/");
        assert_eq!((&*range.start, &*range.end), ("by-dev/", "by-dev0"));
        assert!(range.contains("by-dev/") && range.contains("by-dev/meta/x"));
        assert!(!range.contains("by-dev2/meta/x") && !range.contains("by-dev"));
    }

    #[test]
    fn prefixes_need_not_be_ascii() {
        let range = KeyRange::prefix("bücher/ü");
        assert!(range.contains("bücher/ü") && range.contains("bücher/üx"));
        assert!(!range.contains("bücher/ý") && !range.contains("bücher/t"));
        let everything = KeyRange::prefix("");
        assert!(everything.contains("a") && everything.contains("\u{fffd}"));
    }

    #[test]
    fn one_key_is_a_range() {
        let range = KeyRange::key("a");
        assert!(range.contains("a") && !range.contains("a/") && !range.contains("b"));
    }
}
