//! DDL messages: put into all channels of a collection, while their ticks are held back.

use bytes::Bytes;

use super::{Step, Tools};
use crate::{
    ids::ServerId,
    mq::{
        Message,
        codec::{self, NewCollection},
    },
    rootcoord::{
        failure::Failure,
        model::{Collection, Partition, State},
    },
    tso::hybrid::Timestamp,
};

/// Where the messages of a collection stand, by channel.
pub(super) type Positions = Vec<(String, Vec<u8>)>;

impl Tools {
    /// Puts a message into each of these channels; it must be later than all their ticks, so
    /// whoever calls this holds those. Fails as soon as one channel does; others may have it then.
    pub(super) async fn produce(&self, channels: &[String], payload: Bytes) -> Step<Positions> {
        self.admit().await?;
        let produced = channels.iter().map(|channel| async {
            let message = Message { payload: payload.clone(), properties: Vec::new() };
            let id = self.queue.produce(channel, message).await.map_err(Failure::Queue)?;
            Ok::<_, Failure>((channel.clone(), id.0))
        });
        Ok(futures::future::try_join_all(produced).await?)
    }
}

/// Marks where a collection's data begin.
pub(super) fn created(collection: &Collection, partitions: &[Partition], ts: Timestamp) -> Bytes {
    let (virtual_channels, physical_channels): (Vec<_>, Vec<_>) = collection
        .shards
        .iter()
        .map(|shard| (shard.virtual_channel.clone(), shard.physical_channel.clone()))
        .unzip();
    let partitions: Vec<_> = partitions.iter().map(|partition| partition.id).collect();
    codec::encode_create_collection(
        ts,
        &NewCollection {
            id: collection.id,
            partitions: &partitions,
            schema: &collection.schema(),
            virtual_channels: &virtual_channels,
            physical_channels: &physical_channels,
        },
    )
}

/// Datanodes let go of the collection's channels. One that nobody has seen has no name.
pub(super) fn dropped(collection: &Collection, ts: Timestamp, source: ServerId) -> Bytes {
    let name = if collection.state == State::Creating { "" } else { &collection.name };
    codec::encode_drop_collection(ts, source, collection.id, name)
}

/// Datanodes drop the partition's segments.
pub(super) fn partition_dropped(partition: &Partition, ts: Timestamp, source: ServerId) -> Bytes {
    codec::encode_drop_partition(ts, source, partition.collection, partition.id, &partition.name)
}
