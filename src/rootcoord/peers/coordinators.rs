//! Calls to datacoord and querycoord, and what their answers mean.

use std::time::Duration;

use milvus_proto::{
    common::{ErrorCode, Status},
    milvus::GetMetricsResponse,
};

use crate::{
    ids::{CollectionId, PartitionId, ServerId},
    rootcoord::{
        model::{Collection, Partition},
        peers::{PeerEvents, quota, requests},
    },
    rpc::{
        clients::{DataCoordClient, QueryCoordClient},
        merr::{self, Kind, MilvusError},
    },
};

/// See the module.
#[derive(Debug)]
pub(super) struct Coordinators {
    pub(super) data_coord: DataCoordClient,
    pub(super) query_coord: QueryCoordClient,
    /// How long each call may take.
    pub(super) within: Duration,
    pub(super) events: PeerEvents,
}

impl Coordinators {
    pub(super) async fn watch_channels(&self, collection: &Collection) -> Result<(), MilvusError> {
        self.events.watching(collection);
        let answer = self
            .data_coord
            .call(self.within, requests::watch_channels(collection), async |mut stub, request| {
                stub.watch_channels(request).await
            })
            .await?;
        refused(answer.status.as_ref(), &[], |status, error| {
            let (code, reason) = (legacy(status), error.reason());
            MilvusError::plain(format!("failed to watch channels, code: {code}, reason: {reason}"))
        })?;
        self.events.watched(collection);
        Ok(())
    }

    pub(super) async fn drop_indexes(&self, collection: CollectionId) -> Result<(), MilvusError> {
        self.events.dropping_indexes(collection);
        let status = self
            .data_coord
            .call(self.within, requests::drop_indexes(collection), async |mut stub, request| {
                stub.drop_index(request).await
            })
            .await?;
        refused(Some(&status), &[Kind::IndexNotFound, Kind::CollectionNotFound], |_, error| {
            MilvusError::plain(error.reason())
        })?;
        self.events.indexes_dropped(collection);
        Ok(())
    }

    pub(super) async fn collection_altered(
        &self,
        collection: &Collection,
        partitions: &[PartitionId],
    ) -> Result<(), MilvusError> {
        self.events.broadcasting(collection);
        let request = requests::collection_altered(collection, partitions);
        let status = self
            .data_coord
            .call(self.within, request, async |mut stub, request| {
                stub.broadcast_altered_collection(request).await
            })
            .await?;
        refused(Some(&status), &[], |_, error| MilvusError::traced(error.reason()))?;
        self.events.broadcast(collection);
        Ok(())
    }

    pub(super) async fn garbage_is_gone(
        &self,
        collection: CollectionId,
        partition: Option<PartitionId>,
    ) -> Result<bool, MilvusError> {
        let request = requests::gc_confirm(collection, partition);
        let partition = request.partition_id;
        self.events.confirming(collection, partition);
        let answer = self
            .data_coord
            .ask(self.within, request, async |mut stub, request| stub.gc_confirm(request).await)
            .await
            .inspect_err(|error| self.events.not_confirmed(collection, partition, error))?;
        self.events.confirmed(collection, partition, answer.gc_finished);
        Ok(answer.gc_finished)
    }

    pub(super) async fn release_collection(
        &self,
        collection: CollectionId,
        own: ServerId,
    ) -> Result<(), MilvusError> {
        self.events.releasing(collection);
        let request = requests::release_collection(collection, own);
        let status = self
            .query_coord
            .call(self.within, request, async |mut stub, request| stub.release_collection(request).await)
            .await?;
        refused(Some(&status), &NOT_LOADED, |status, error| {
            let (code, reason) = (legacy(status), error.reason());
            MilvusError::plain(format!("failed to release collection, code: {code}, reason: {reason}"))
        })?;
        self.events.released(collection);
        Ok(())
    }

    pub(super) async fn release_partitions(
        &self,
        collection: CollectionId,
        partitions: &[PartitionId],
    ) -> Result<(), MilvusError> {
        // Querycoord would call an empty list an invalid parameter.
        if partitions.is_empty() {
            return Ok(());
        }
        self.events.releasing_partitions(collection, partitions);
        let request = requests::release_partitions(collection, partitions);
        let status = self
            .query_coord
            .call(self.within, request, async |mut stub, request| stub.release_partitions(request).await)
            .await?;
        refused(Some(&status), &NOT_LOADED, |_, error| {
            MilvusError::plain(format!("release partition failed, reason: {}", error.reason()))
        })?;
        self.events.partitions_released(collection, partitions);
        Ok(())
    }

    pub(super) async fn partition_created(&self, partition: &Partition) -> Result<(), MilvusError> {
        self.events.syncing(partition);
        let request = requests::partition_created(partition);
        let status = self
            .query_coord
            .call(self.within, request, async |mut stub, request| {
                stub.sync_new_created_partition(request).await
            })
            .await?;
        refused(Some(&status), &[], |_, error| {
            MilvusError::plain(format!("sync new partition failed, reason: {}", error.reason()))
        })?;
        self.events.synced(partition);
        Ok(())
    }

    pub(super) async fn query_metrics(&self) -> Result<String, MilvusError> {
        let answer = self
            .query_coord
            .call(METRICS, requests::system_info(), async |mut stub, request| stub.get_metrics(request).await)
            .await?;
        metrics("Query", answer)
    }

    pub(super) async fn data_metrics(&self) -> Result<String, MilvusError> {
        let answer = self
            .data_coord
            .call(METRICS, requests::system_info(), async |mut stub, request| stub.get_metrics(request).await)
            .await?;
        metrics("Data", answer)
    }
}

/// How long a coordinator may take to tell of its nodes, each of which it asks.
const METRICS: Duration = Duration::from_secs(10);

fn metrics(cluster: &str, answer: GetMetricsResponse) -> Result<String, MilvusError> {
    quota::told(answer).map_err(|error| {
        let reason = error.reason();
        MilvusError::plain(format!("quotaCenter get {cluster} cluster failed, err = {reason}"))
    })
}

/// What else says that there is nothing to release. Querycoord 2.3.5 answers success then.
const NOT_LOADED: [Kind; 4] =
    [Kind::CollectionNotFound, Kind::CollectionNotLoaded, Kind::PartitionNotFound, Kind::PartitionNotLoaded];

/// The error for a status that is none of those that mean that there is nothing to do.
fn refused(
    status: Option<&Status>,
    nothing_to_do: &[Kind],
    word: impl FnOnce(&Status, &MilvusError) -> MilvusError,
) -> Result<(), MilvusError> {
    match (merr::check(status), status) {
        (Err(error), Some(status)) if !error.kind().is_some_and(|kind| nothing_to_do.contains(&kind)) => {
            Err(word(status, &error))
        }
        _ => Ok(()),
    }
}

/// The code of old clients by its name, as Go prints it.
#[expect(deprecated, reason = "Milvus puts it into these texts")]
fn legacy(status: &Status) -> String {
    ErrorCode::try_from(status.error_code)
        .map_or_else(|_| status.error_code.to_string(), |code| code.as_str_name().to_owned())
}

#[cfg(test)]
mod tests;
