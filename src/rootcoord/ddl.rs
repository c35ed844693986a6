//! One worker per term carries out all DDL, one request after another.
//!
//! ```text
//!   request ─▶ queue ─▶ decide ─▶ write, settled ─▶ catalog ─▶ answer
//!                         ▲            │ changed by somebody else
//!                         └────────────┘
//! ```
//!
//! The task's timestamp is taken when its turn comes, so the order of the queue is
//! the order of timestamps. A write whose outcome is unknown is settled before the
//! next request is looked at; its client is told to ask again meanwhile. Deposed,
//! the worker ends: no undo, no answer.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{BootInstant, Clock},
    etcd::{
        commit::Commit,
        store::{Write, WriteError},
    },
    ids::DbId,
    rootcoord::{
        catalog::Catalog,
        databases::{self, DatabaseError, Decision, REMEMBER, Task},
        failure::Failure,
        keys::RequestId,
    },
    tso::{hybrid::Timestamp, ids::Ids, timestamps::Timestamps},
};

/// How many requests may wait, as in Milvus.
pub const QUEUE: usize = 10_240;

/// How often a request is decided anew because somebody else changed its keys.
const ATTEMPTS: u32 = 3;

/// How long the mirror may take to show what somebody else changed.
const MIRROR_LAG: Duration = Duration::from_millis(200);

/// Between attempts at work that nobody waits for.
const PAUSE: Duration = Duration::from_millis(500);

/// Old requests are forgotten at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// The catalog, and word when it has moved.
#[derive(Debug)]
pub struct SharedCatalog {
    /// Locked for moments only.
    pub catalog: Mutex<Catalog>,
    /// Notified after each change that the mirror brings.
    pub moved: Notify,
}

/// A change of the databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Create one.
    Create {
        /// Its name.
        name: String,
        /// By what a repetition is known.
        id: Option<RequestId>,
    },
    /// Drop one.
    Drop {
        /// Its name.
        name: String,
    },
}

/// What became of a request, and of how long it waited for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The task's timestamp, or why it was not carried out.
    pub result: Result<Timestamp, Failure>,
    /// From coming in to the beginning of its turn.
    pub waited: Duration,
}

#[derive(Debug)]
struct Job {
    request: Request,
    came: BootInstant,
    answer: oneshot::Sender<Outcome>,
}

/// The way to the worker.
#[derive(Clone, Debug)]
pub struct DdlQueue {
    jobs: mpsc::Sender<Job>,
    clock: Arc<dyn Clock>,
    patience: Duration,
}

impl DdlQueue {
    /// Has a request carried out, and waits for that as long as the queue's patience lasts.
    ///
    /// Whoever stops waiting before the request's turn has come takes it back.
    pub async fn carry_out(&self, request: Request) -> Outcome {
        let came = self.clock.boot();
        let (answer, outcome) = oneshot::channel();
        let failed = |failure| Outcome { result: Err(failure), waited: self.clock.boot().since(came) };
        match self.jobs.try_send(Job { request, came, answer }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return failed(Failure::Full(QUEUE)),
            Err(mpsc::error::TrySendError::Closed(_)) => return failed(Failure::NoTerm),
        }
        match tokio::time::timeout(self.patience, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => failed(Failure::NoTerm),
            Err(_) => failed(Failure::NoAnswer),
        }
    }
}

/// Hears what the worker does by itself.
pub trait DdlWitness: Send + Sync + fmt::Debug {
    /// The default database could not be made.
    fn no_default_database(&self, failure: &Failure);

    /// The databases or what is known of them changed.
    fn changed(&self, catalog: &Catalog);
}

/// What the worker works with.
#[derive(Debug)]
pub struct Worker {
    /// The databases.
    pub catalog: Arc<SharedCatalog>,
    /// Where changes are written.
    pub store: Arc<dyn Commit>,
    /// Of the term.
    pub timestamps: Arc<Timestamps>,
    /// Of the term.
    pub ids: Arc<Ids>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// `rootCoord.maxDatabaseNum`
    pub max_databases: usize,
    /// Hears what happens.
    pub witness: Arc<dyn DdlWitness>,
    /// The newest revision that the term has written.
    pub last_write: Arc<AtomicI64>,
    /// Cancelled: takes nothing new, ends when the queue is empty.
    pub finish: CancellationToken,
    /// Cancelled: ends at once.
    pub stop: CancellationToken,
}

/// The term is over.
struct Over;

impl Worker {
    /// The queue to it, and its run, which ends when it is told to or the term is over.
    /// `ready` is told when there is a default database, or none can be made.
    pub fn prepare(
        self,
        patience: Duration,
        ready: oneshot::Sender<()>,
    ) -> (DdlQueue, impl Future<Output = ()> + Send) {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let queue_end = DdlQueue { jobs, clock: self.clock.clone(), patience };
        let run = async move {
            let stop = self.stop.clone();
            let _: Option<Result<(), Over>> = stop.run_until_cancelled(self.run(queue, ready)).await;
        };
        (queue_end, run)
    }

    async fn run(self, mut queue: mpsc::Receiver<Job>, ready: oneshot::Sender<()>) -> Result<(), Over> {
        self.ensure_default().await?;
        // Nobody may be waiting for it any more.
        _ = ready.send(());
        let mut sweep = Box::pin(tokio::time::sleep(self.next_sweep()));
        loop {
            tokio::select! {
                biased;
                () = self.finish.cancelled(), if !queue.is_closed() => queue.close(),
                job = queue.recv() => match job {
                    Some(job) => self.serve(job).await?,
                    None => return Ok(()),
                },
                () = &mut sweep => {
                    self.sweep().await?;
                    sweep.set(tokio::time::sleep(self.next_sweep()));
                }
            }
        }
    }

    async fn ensure_default(&self) -> Result<(), Over> {
        loop {
            match self.attempt(|catalog, task, _| databases::ensure_default(catalog, task), false).await? {
                Ok(_) => return Ok(()),
                Err(failure @ Failure::Database(_)) => {
                    self.witness.no_default_database(&failure);
                    return Ok(());
                }
                Err(failure) => {
                    self.witness.no_default_database(&failure);
                    if self.finish.is_cancelled() {
                        return Ok(());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, job: Job) -> Result<(), Over> {
        if job.answer.is_closed() {
            return Ok(());
        }
        let waited = self.clock.boot().since(job.came);
        let result = match &job.request {
            Request::Create { name, id } => {
                let decide = |catalog: &Catalog, task: Task, fresh: Option<DbId>| {
                    let fresh = fresh.expect("asked for");
                    databases::create(catalog, name, *id, fresh, self.max_databases, task)
                };
                self.attempt(decide, true).await?
            }
            Request::Drop { name } => {
                self.attempt(|catalog, task, _| databases::drop(catalog, name, task), false).await?
            }
        };
        // A client that no longer waits has been told to ask again.
        _ = job.answer.send(Outcome { result, waited });
        Ok(())
    }

    /// Decides and writes, anew while somebody else is changing the same keys.
    async fn attempt(
        &self,
        decide: impl Fn(&Catalog, Task, Option<DbId>) -> Result<Decision, DatabaseError>,
        needs_id: bool,
    ) -> Result<Result<Timestamp, Failure>, Over> {
        let mut attempt = 1;
        loop {
            let ts = match self.timestamps.alloc_patiently(1).await {
                Ok(ts) => ts,
                Err(none) => return Ok(Err(none.into())),
            };
            let fresh = match needs_id {
                true => match self.ids.alloc(1).await {
                    Ok(id) => Some(DbId(id)),
                    Err(none) => return Ok(Err(none.into())),
                },
                false => None,
            };
            let moved = self.catalog.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let write = {
                let mut catalog = self.catalog.catalog.lock();
                match decide(&catalog, Task { ts, now: self.clock.wall() }, fresh) {
                    Ok(Decision::Done) => return Ok(Ok(ts)),
                    Ok(Decision::Write(write)) => {
                        catalog.writing(&write.ops);
                        write
                    }
                    Err(error) => return Ok(Err(error.into())),
                }
            };
            match self.write(&write).await? {
                Ok(()) => return Ok(Ok(ts)),
                Err(WriteError::Conflict { .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    // What stands in the way is in etcd, so the mirror will show it.
                    _ = tokio::time::timeout(MIRROR_LAG, moved).await;
                }
                Err(error) => return Ok(Err(Failure::of_write(&error))),
            }
        }
    }

    /// Writes until the outcome is known, and lets the catalog know it.
    async fn write(&self, write: &Write) -> Result<Result<(), WriteError>, Over> {
        loop {
            match self.store.commit_settled(write).await {
                Ok(committed) => {
                    self.last_write.fetch_max(committed.revision.0, Ordering::AcqRel);
                    let mut catalog = self.catalog.catalog.lock();
                    catalog.written(&write.ops, committed.revision);
                    self.witness.changed(&catalog);
                    return Ok(Ok(()));
                }
                Err(WriteError::Deposed(_)) => return Err(Over),
                Err(error) if error.certainly_not_applied() => {
                    self.catalog.catalog.lock().not_written();
                    return Ok(Err(error));
                }
                // Not settled, against its word: nothing may be built on it, so again.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// How long until the oldest request may be forgotten.
    fn next_sweep(&self) -> Duration {
        let Some(oldest) = self.catalog.catalog.lock().oldest_request() else { return REMEMBER };
        let passed = self.timestamps.newest().physical().since(oldest.physical());
        REMEMBER.saturating_sub(passed).max(SWEEP_EVERY)
    }

    async fn sweep(&self) -> Result<(), Over> {
        let write = {
            let mut catalog = self.catalog.catalog.lock();
            let Some(write) = databases::sweep(&catalog, self.timestamps.newest()) else { return Ok(()) };
            catalog.writing(&write.ops);
            write
        };
        // What could not be forgotten now will be by the next sweep.
        _ = self.write(&write).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
