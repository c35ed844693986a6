//! Databases: created, dropped, and the one that always exists.

use std::time::Duration;

use super::{Halt, Step, Tools, writer::PAUSE};
use crate::{
    etcd::store::Write,
    ids::DbId,
    rootcoord::{
        databases::{self, REMEMBER},
        error::{DdlError, Decision},
        failure::Failure,
        keys::RequestId,
    },
    tso::hybrid::Timestamp,
};

/// Old requests are forgotten at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

fn plain(decision: Decision) -> Decision<(Write, ())> {
    match decision {
        Decision::Done => Decision::Done,
        Decision::Write(write) => Decision::Write((write, ())),
    }
}

impl Tools {
    pub(super) async fn create_database(&self, name: &str, id: Option<RequestId>) -> Step<Timestamp> {
        let fresh = DbId(self.ids.alloc(1).await.map_err(Failure::from)?);
        let limit = self.limits.databases;
        let changed = self
            .change(|catalog, task| databases::create(catalog, name, id, fresh, limit, task).map(plain))
            .await?;
        Ok(changed.0)
    }

    pub(super) async fn drop_database(&self, name: &str) -> Step<Timestamp> {
        Ok(self.change(|catalog, task| databases::drop(catalog, name, task).map(plain)).await?.0)
    }

    /// Until there is a default database, or none can be made.
    pub(super) async fn ensure_default(&self) -> Step<()> {
        loop {
            let made = self.change(|catalog, task| databases::ensure_default(catalog, task).map(plain)).await;
            let failure = match made {
                Ok(_) => return Ok(()),
                Err(Halt::Over) => return Err(Halt::Over),
                Err(Halt::Failed(failure)) => failure,
            };
            self.witness.no_default_database(&failure);
            let is_final =
                matches!(failure, Failure::Ddl(DdlError::DatabaseExists(_) | DdlError::Undecodable { .. }));
            if is_final || self.finish.is_cancelled() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Forgets requests that nobody repeats any more, until the term is over.
    pub(super) async fn sweep_requests(&self) -> Step<()> {
        loop {
            tokio::time::sleep(self.next_sweep()).await;
            let swept = self
                .settle(|catalog| {
                    let write = databases::sweep(catalog, self.timestamps.newest());
                    Ok(write.map_or(Decision::Done, |write| Decision::Write((write, ()))))
                })
                .await;
            // What could not be forgotten now will be by the next sweep.
            if let Err(Halt::Over) = swept {
                return Err(Halt::Over);
            }
        }
    }

    /// How long until the oldest request may be forgotten.
    fn next_sweep(&self) -> Duration {
        let Some(oldest) = self.catalog.catalog.lock().oldest_request() else { return REMEMBER };
        let passed = self.timestamps.newest().physical().since(oldest.physical());
        REMEMBER.saturating_sub(passed).max(SWEEP_EVERY)
    }
}
