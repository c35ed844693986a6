//! Makes the users, roles and grants that every cluster has, at the beginning of a term.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Access, Defaults};
use crate::{
    etcd::{
        commit::Commit,
        store::{Write, WriteError},
    },
    telemetry::log::Chain,
};

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// What is needed for that.
#[derive(Debug)]
pub struct Upkeep {
    /// What there is.
    pub access: Arc<Mutex<Access>>,
    /// What has to be there.
    pub defaults: Arc<Defaults>,
    /// Where it is written.
    pub store: Arc<dyn Commit>,
    /// The newest revision that the term has written.
    pub last_write: Arc<AtomicI64>,
    /// Cancelled: begins no further write.
    pub finish: CancellationToken,
}

impl Upkeep {
    /// Ends when everything is there, nothing new may begin, or the term is over.
    pub async fn run(self) {
        while !self.finish.is_cancelled() {
            let next = self.defaults.next(&self.access.lock());
            let write = match next {
                Ok(Some(write)) => write,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "the default user can not be made");
                    return;
                }
            };
            match self.write(&write).await {
                Ok(()) => {}
                Err(WriteError::Deposed(_)) => return,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "default users, roles and grants are not there yet");
                    _ = tokio::time::timeout(PAUSE, self.finish.cancelled()).await;
                }
            }
        }
    }

    async fn write(&self, write: &Write) -> Result<(), WriteError> {
        self.access.lock().writing(&write.ops);
        let written = self.store.commit_settled(write).await;
        let mut access = self.access.lock();
        match written {
            Ok(committed) => {
                self.last_write.fetch_max(committed.revision.0, Ordering::AcqRel);
                access.written(&write.ops, committed.revision);
                Ok(())
            }
            Err(error) => {
                access.not_written();
                Err(error)
            }
        }
    }
}
