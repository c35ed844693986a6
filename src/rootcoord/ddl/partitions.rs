//! Partitions: created and dropped.

use std::sync::Arc;

use super::{Note, Step, Tools, jobs::AbandonedPartition};
use crate::{
    ids::PartitionId,
    rootcoord::{
        error::{DdlError, Decision},
        failure::Failure,
        model::State,
        partitions::{self, parent},
        peers::Forget,
    },
    tso::hybrid::Timestamp,
};

impl Tools {
    pub(super) async fn create_partition(
        self: &Arc<Self>,
        db: &str,
        collection: &str,
        name: &str,
    ) -> Step<Timestamp> {
        let id = PartitionId(self.ids.alloc(1).await.map_err(Failure::from)?);
        let (ts, created) = self
            .change(|catalog, task| {
                let record = parent(catalog, db, collection, task.ts)?;
                partitions::create(catalog, record, name, id, &self.limits, task)
            })
            .await?;
        let Some(partition) = created else {
            self.witness.noted(&Note::PartitionExists(collection, name));
            return Ok(ts);
        };
        self.witness.noted(&Note::PartitionAdded(&partition));
        let abandoned = AbandonedPartition::new(self, partition.clone());
        let told = self.call(|| self.peers.partition_created(&partition)).await;
        told.inspect_err(|halt| self.undoing("sync new partition", halt))?;
        self.settle(|catalog| Ok(Decision::Write((partitions::finish(catalog, &partition)?, ())))).await?;
        abandoned.not();
        self.witness.noted(&Note::PartitionState(&partition, State::Created, ts));
        self.forget(ts, db, Forget::Collection(partition.collection)).await?;
        Ok(ts)
    }

    pub(super) async fn drop_partition(
        self: &Arc<Self>,
        db: &str,
        collection: &str,
        name: &str,
        replicated: bool,
    ) -> Step<Timestamp> {
        if name == self.limits.default_partition {
            return Err(Failure::from(DdlError::DefaultPartition).into());
        }
        let (ts, dropped) = self
            .change(|catalog, task| {
                let record = parent(catalog, db, collection, task.ts)?;
                partitions::drop(catalog, record, name, task)
            })
            .await?;
        let Some(partition) = dropped else {
            self.witness.noted(&Note::NoPartition(collection, name));
            return Ok(ts);
        };
        self.witness.noted(&Note::PartitionState(&partition, State::Dropping, ts));
        let id = partition.collection;
        self.finish_dropping_partition(partition, replicated);
        self.forget(ts, db, Forget::Collection(id)).await?;
        Ok(ts)
    }
}
