//! What operators hear of calls to others. Milvus's own lines have its words and fields.

use std::fmt;

use tracing::{info, warn};

use crate::{
    election::standing::Peer,
    ids::{CollectionId, PartitionId, ServerId},
    rootcoord::{
        model::{Collection, Partition},
        peers::notices::Method,
    },
    telemetry::events::Events,
};

/// Writes the lines and counts.
#[derive(Clone, Debug)]
pub struct PeerEvents(Events);

impl PeerEvents {
    /// Through `events`.
    pub fn new(events: Events) -> Self {
        Self(events)
    }

    /// There are so many proxies now.
    pub(super) fn proxies(&self, count: usize) {
        self.0.metrics().rootcoord.proxy_num.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A proxy has a session, and will be told.
    pub(super) fn joined(&self, proxy: &Peer) {
        info!(address = proxy.address, serverID = proxy.server_id.0, "succeed to create proxy client");
    }

    /// Its session is gone.
    pub(super) fn left(&self, proxy: &Peer) {
        info!("proxy address" = proxy.address, "proxy id" = proxy.server_id.0, "remove proxy client");
    }

    /// There is nobody to tell.
    pub(super) fn no_proxies(&self, method: Method) {
        match method {
            Method::Invalidate => {
                warn!("proxy client is empty, InvalidateCollectionMetaCache will not send to any client");
            }
            // Its name there is another one.
            Method::Refresh => {
                warn!("proxy client is empty, RefreshPrivilegeInfoCache will not send to any client");
            }
            Method::Metrics | Method::Rates => {
                warn!("proxy client is empty, {} will not send to any client", method.name());
            }
        }
    }

    /// A proxy's session ended, or its place was taken, before it was told.
    pub(super) fn proxy_gone(&self, proxy: ServerId, method: Method) {
        warn!(proxy = proxy.0, "{} failed due to proxy service not found", method.name());
    }

    /// A proxy did not answer in time, and is told again until it has.
    pub(super) fn proxy_late(&self, proxy: ServerId, method: Method, reason: &str) {
        warn!(
            proxy = proxy.0,
            method = method.name(),
            error = reason,
            "proxy does not answer a notice, it is told again in the background"
        );
    }

    /// It has been told everything that it was late with.
    pub(super) fn proxy_caught_up(&self, proxy: ServerId) {
        info!(proxy = proxy.0, "proxy has been told everything that it did not answer before");
    }

    pub(super) fn watching(&self, collection: &Collection) {
        let (channels, ts) = (channels(collection), collection.created.0);
        info!(ts, collection = collection.id.0, vChannels = ?channels, "watching channels");
    }

    pub(super) fn watched(&self, collection: &Collection) {
        let (channels, ts) = (channels(collection), collection.created.0);
        info!(ts, collection = collection.id.0, vChannels = ?channels, "done to watch channels");
    }

    pub(super) fn dropping_indexes(&self, collection: CollectionId) {
        info!(collection = collection.0, "dropping collection index");
    }

    pub(super) fn indexes_dropped(&self, collection: CollectionId) {
        info!(collection = collection.0, "done to drop collection index");
    }

    pub(super) fn broadcasting(&self, collection: &Collection) {
        let (name, id) = (&collection.name, collection.id.0);
        info!(collectionName = name, collectionID = id, "broadcasting request to alter collection");
    }

    pub(super) fn broadcast(&self, collection: &Collection) {
        let (name, id) = (&collection.name, collection.id.0);
        info!(collectionName = name, collectionID = id, "done to broadcast request to alter collection");
    }

    pub(super) fn confirming(&self, collection: CollectionId, partition: i64) {
        info!(collection = collection.0, partition, "confirming if gc is finished");
    }

    pub(super) fn confirmed(&self, collection: CollectionId, partition: i64, finished: bool) {
        info!(collection = collection.0, partition, finished, "received gc_confirm response");
    }

    pub(super) fn not_confirmed(&self, collection: CollectionId, partition: i64, error: &dyn fmt::Display) {
        warn!(collection = collection.0, partition, %error, "gc is not finished");
    }

    pub(super) fn releasing(&self, collection: CollectionId) {
        info!(collection = collection.0, "releasing collection");
    }

    pub(super) fn released(&self, collection: CollectionId) {
        info!(collection = collection.0, "done to release collection");
    }

    pub(super) fn releasing_partitions(&self, collection: CollectionId, partitions: &[PartitionId]) {
        let partitions: Vec<i64> = partitions.iter().map(|partition| partition.0).collect();
        info!(collection = collection.0, partitionIDs = ?partitions, "releasing partitions");
    }

    pub(super) fn partitions_released(&self, collection: CollectionId, partitions: &[PartitionId]) {
        let partitions: Vec<i64> = partitions.iter().map(|partition| partition.0).collect();
        info!(collection = collection.0, partitionIDs = ?partitions, "release partitions done");
    }

    pub(super) fn syncing(&self, partition: &Partition) {
        let (collection, id) = (partition.collection.0, partition.id.0);
        info!(collection, partitionID = id, "begin to sync new partition");
    }

    pub(super) fn synced(&self, partition: &Partition) {
        let (collection, id) = (partition.collection.0, partition.id.0);
        info!(collection, partitionID = id, "sync new partition done");
    }
}

fn channels(collection: &Collection) -> Vec<&str> {
    collection.shards.iter().map(|shard| &*shard.virtual_channel).collect()
}
