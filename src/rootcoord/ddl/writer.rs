//! Decides and writes: anew while somebody else is changing the same keys, and again and again
//! while an outcome is not known.

use std::{sync::atomic::Ordering, time::Duration};

use super::{Halt, Step, Tools};
use crate::{
    etcd::store::{Write, WriteError},
    rootcoord::{
        catalog::Catalog,
        error::{DdlError, Decision, Task},
        failure::Failure,
    },
    tso::hybrid::Timestamp,
};

/// How often a request is decided anew because somebody else changed its keys.
const ATTEMPTS: u32 = 3;

/// How long the mirror may take to show what somebody else changed.
const MIRROR_LAG: Duration = Duration::from_millis(200);

/// Between attempts at work that nobody waits for.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

impl Tools {
    /// A fresh timestamp.
    pub(super) async fn timestamp(&self) -> Step<Timestamp> {
        Ok(self.timestamps.alloc_patiently(1).await.map_err(Failure::from)?)
    }

    /// Decides at a fresh timestamp and writes. `None`: nothing was to be written.
    pub(super) async fn change<T>(
        &self,
        decide: impl Fn(&Catalog, Task) -> Result<Decision<(Write, T)>, DdlError>,
    ) -> Step<(Timestamp, Option<T>)> {
        let mut attempt = 1;
        loop {
            let ts = self.timestamp().await?;
            let task = Task { ts, now: self.clock.wall(), term: self.term };
            let decided = self.write_decided(|catalog| decide(catalog, task)).await;
            match decided {
                Ok(value) => return Ok((ts, value)),
                Err(Halt::Failed(Failure::Disturbed(_))) if attempt < ATTEMPTS => attempt += 1,
                Err(halt) => return Err(halt),
            }
        }
    }

    /// The same for what has its time already, or needs none.
    pub(super) async fn settle<T>(
        &self,
        decide: impl Fn(&Catalog) -> Result<Decision<(Write, T)>, DdlError>,
    ) -> Step<Option<T>> {
        let mut attempt = 1;
        loop {
            match self.write_decided(&decide).await {
                Err(Halt::Failed(Failure::Disturbed(_))) if attempt < ATTEMPTS => attempt += 1,
                ended => return ended,
            }
        }
    }

    /// Once. If somebody else is in the way, until the mirror shows that, or should.
    async fn write_decided<T>(
        &self,
        decide: impl FnOnce(&Catalog) -> Result<Decision<(Write, T)>, DdlError>,
    ) -> Step<Option<T>> {
        let moved = self.catalog.moved.notified();
        tokio::pin!(moved);
        moved.as_mut().enable();
        let decision = decide(&self.catalog.catalog.lock()).map_err(Failure::from)?;
        let Decision::Write((write, value)) = decision else { return Ok(None) };
        let written = self.write(&write).await;
        if let Err(Halt::Failed(Failure::Disturbed(_))) = &written {
            _ = tokio::time::timeout(MIRROR_LAG, moved).await;
        }
        written.map(|()| Some(value))
    }

    /// Writes until the outcome is known, and lets the catalog know it.
    pub(super) async fn write(&self, write: &Write) -> Step<()> {
        let id = self.catalog.catalog.lock().writing(&write.ops);
        loop {
            match self.store.commit_settled(write).await {
                Ok(committed) => {
                    self.last_write.fetch_max(committed.revision.0, Ordering::AcqRel);
                    let mut catalog = self.catalog.catalog.lock();
                    catalog.written(id, committed.revision);
                    self.witness.changed(&catalog);
                    return Ok(());
                }
                Err(WriteError::Deposed(_)) => return Err(Halt::Over),
                Err(error) if error.certainly_not_applied() => {
                    self.catalog.catalog.lock().not_written(id);
                    return Err(Failure::of_write(&error).into());
                }
                // Not settled, against its word: nothing may be built on it, so again.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}
