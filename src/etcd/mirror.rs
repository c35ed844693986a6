//! A prefix of etcd followed in memory: a snapshot at one revision, then every change.

use crate::{
    etcd::{call::Header, txn::KeyValue},
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

/// What to mirror.
#[derive(Clone, Debug)]
pub struct MirrorPlan {
    /// One range that contains all that is wanted.
    pub watch: KeyRange,
    /// What is loaded and passed on.
    pub wanted: Vec<KeyRange>,
}

/// A running mirror.
#[derive(Debug)]
pub struct Mirror {
    etcd: crate::etcd::Etcd,
    state: tokio::sync::watch::Receiver<Revision>,
    stop: tokio_util::sync::CancellationToken,
    tasks: tokio_util::task::TaskTracker,
}

impl Mirror {
    /// Starts it.
    pub fn start(
        etcd: crate::etcd::Etcd,
        plan: MirrorPlan,
        mut sink: Box<dyn FnMut(MirrorEvent) + Send>,
    ) -> Self {
        let (sender, state) = tokio::sync::watch::channel(Revision(0));
        let stop = tokio_util::sync::CancellationToken::new();
        let tasks = tokio_util::task::TaskTracker::new();
        let bulk = etcd.on(crate::etcd::lane::Lane::Bulk);
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                if let Err(error) = bulk.follow(&plan, &mut sink, &sender).await {
                    tracing::warn!(%error, "mirror");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }));
        Self { etcd, state, stop, tasks }
    }

    /// Waits for it.
    ///
    /// # Errors
    /// A text.
    pub async fn catch_up_to(&self, revision: Revision, limit: std::time::Duration) -> Result<(), String> {
        let _ = &self.etcd;
        let mut state = self.state.clone();
        let reached = state.wait_for(|at| *at >= revision);
        tokio::time::timeout(limit, reached)
            .await
            .map_err(|_| "too late".to_owned())?
            .map(|_| ())
            .map_err(|_| "ended".to_owned())
    }

    /// Ends it.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
