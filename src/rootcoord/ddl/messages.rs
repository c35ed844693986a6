//! DDL messages: put into all channels of a collection, while their ticks are held back.

use bytes::Bytes;
use milvus_proto::{
    common::{MsgBase, MsgType},
    msg::{CreateCollectionRequest, DropCollectionRequest, DropPartitionRequest},
    schema::CollectionSchema,
};
use prost::Message as _;

use super::{Step, Tools};
use crate::{
    mq::Message,
    rootcoord::{
        failure::Failure,
        model::{Collection, Partition},
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

fn base(msg_type: MsgType, ts: Timestamp, source_id: i64) -> Option<MsgBase> {
    Some(MsgBase { msg_type: msg_type.into(), timestamp: ts.0, source_id, ..MsgBase::default() })
}

/// Marks where a collection's data begin. Nobody reads more from it.
pub(super) fn created(collection: &Collection, partitions: &[Partition], ts: Timestamp) -> Bytes {
    let message = CreateCollectionRequest {
        base: base(MsgType::CreateCollection, ts, 0),
        collection_id: collection.id.0,
        partition_i_ds: partitions.iter().map(|partition| partition.id.0).collect(),
        schema: schema(collection).encode_to_vec(),
        virtual_channel_names: collection.shards.iter().map(|shard| shard.virtual_channel.clone()).collect(),
        physical_channel_names: collection
            .shards
            .iter()
            .map(|shard| shard.physical_channel.clone())
            .collect(),
        ..CreateCollectionRequest::default()
    };
    message.encode_to_vec().into()
}

/// Datanodes let go of the collection's channels.
pub(super) fn dropped(collection: &Collection, ts: Timestamp, source_id: i64) -> Bytes {
    let message = DropCollectionRequest {
        base: base(MsgType::DropCollection, ts, source_id),
        collection_name: collection.name.clone(),
        collection_id: collection.id.0,
        ..DropCollectionRequest::default()
    };
    message.encode_to_vec().into()
}

/// Datanodes drop the partition's segments.
pub(super) fn partition_dropped(partition: &Partition, ts: Timestamp, source_id: i64) -> Bytes {
    let message = DropPartitionRequest {
        base: base(MsgType::DropPartition, ts, source_id),
        partition_name: partition.name.clone(),
        collection_id: partition.collection.0,
        partition_id: partition.id.0,
        ..DropPartitionRequest::default()
    };
    message.encode_to_vec().into()
}

/// A collection's schema as the wire has it, Milvus's own fields included.
fn schema(collection: &Collection) -> CollectionSchema {
    #[expect(deprecated, reason = "Milvus 2.3 still reads it there")]
    CollectionSchema {
        name: collection.name.clone(),
        description: collection.description.clone(),
        auto_id: collection.auto_id,
        fields: collection.fields.to_vec(),
        enable_dynamic_field: collection.enable_dynamic_field,
    }
}
