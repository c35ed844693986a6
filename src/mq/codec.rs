//! What rootcoord puts into channels: bare messages of `milvus.proto.msg`, whose first
//! field tells consumers the type.
//!
//! These four are all that there are. A consumer that seeks fails at a type that it does
//! not expect there, so creating a partition, say, leaves no message.

use bytes::Bytes;
use milvus_proto::{
    common::{MsgBase, MsgType},
    msg::{CreateCollectionRequest, DropCollectionRequest, DropPartitionRequest, TimeTickMsg},
    schema::CollectionSchema,
};
use prost::Message as _;

use crate::{
    ids::{CollectionId, PartitionId, ServerId},
    tso::hybrid::Timestamp,
};

/// A tick of that time by that rootcoord.
pub fn encode_tick(ts: Timestamp, source: ServerId) -> Bytes {
    encode(&TimeTickMsg { base: base(MsgType::TimeTick, ts, source) })
}

/// A collection as it begins: the message whose place in each of its channels is the
/// start position there.
#[derive(Clone, Copy, Debug)]
pub struct NewCollection<'a> {
    /// Its id.
    pub id: CollectionId,
    /// Those that it begins with.
    pub partitions: &'a [PartitionId],
    /// With the fields of the system, and `$meta` if it has one.
    pub schema: &'a CollectionSchema,
    /// All of its channels, in the order of its shards.
    pub virtual_channels: &'a [String],
    /// The channels in which these are, in the same order.
    pub physical_channels: &'a [String],
}

/// A collection is created at that time. Milvus names no source there.
pub fn encode_create_collection(ts: Timestamp, collection: &NewCollection<'_>) -> Bytes {
    encode(&CreateCollectionRequest {
        base: base(MsgType::CreateCollection, ts, ServerId::default()),
        collection_id: collection.id.0,
        partition_i_ds: collection.partitions.iter().map(|partition| partition.0).collect(),
        schema: collection.schema.encode_to_vec(),
        virtual_channel_names: collection.virtual_channels.to_vec(),
        physical_channel_names: collection.physical_channels.to_vec(),
        ..CreateCollectionRequest::default()
    })
}

/// A collection is dropped at that time by that rootcoord. The name is empty when its
/// creation is taken back.
pub fn encode_drop_collection(ts: Timestamp, source: ServerId, id: CollectionId, name: &str) -> Bytes {
    encode(&DropCollectionRequest {
        base: base(MsgType::DropCollection, ts, source),
        collection_name: name.into(),
        collection_id: id.0,
        ..DropCollectionRequest::default()
    })
}

/// A partition is dropped at that time by that rootcoord.
pub fn encode_drop_partition(
    ts: Timestamp,
    source: ServerId,
    collection: CollectionId,
    id: PartitionId,
    name: &str,
) -> Bytes {
    encode(&DropPartitionRequest {
        base: base(MsgType::DropPartition, ts, source),
        partition_name: name.into(),
        collection_id: collection.0,
        partition_id: id.0,
        ..DropPartitionRequest::default()
    })
}

fn base(kind: MsgType, ts: Timestamp, source: ServerId) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind.into(), timestamp: ts.0, source_id: source.0, ..MsgBase::default() })
}

fn encode(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use milvus_proto::common::MsgHeader;

    use super::*;

    /// A time whose varint has nine bytes, as all have nowadays.
    const TS: Timestamp = Timestamp(470_607_366_129_451_020);

    fn varint(value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(value, &mut bytes);
        bytes
    }

    /// What consumers look at first.
    fn header(payload: &[u8]) -> MsgBase {
        MsgHeader::decode(payload).unwrap().base.unwrap()
    }

    #[test]
    fn a_tick_has_the_bytes_that_milvus_sends() {
        let expected = [&[0x0a, 0x0f, 0x08, 0xb0, 0x09, 0x18], &varint(TS.0)[..], &[0x20, 0x03]].concat();
        assert_eq!(expected.len(), 17);
        assert_eq!(encode_tick(TS, ServerId(3)), expected);
    }

    #[test]
    fn a_creation_has_the_fields_that_milvus_sends() {
        let schema = CollectionSchema { name: "hello".into(), description: "x".into(), ..<_>::default() };
        let payload = encode_create_collection(
            TS,
            &NewCollection {
                id: CollectionId(470_607_361_998_323_804),
                partitions: &[PartitionId(470_607_361_998_323_805)],
                schema: &schema,
                virtual_channels: &["by-dev-rootcoord-dml_1_470607361998323804v0".into()],
                physical_channels: &["by-dev-rootcoord-dml_1".into()],
            },
        );
        let schema = schema.encode_to_vec();
        let expected = [
            &[0x0a, 0x0c, 0x08, 0x64, 0x18],
            &varint(TS.0)[..],
            &[0x30],
            &varint(470_607_361_998_323_804),
            &[0x42, u8::try_from(schema.len()).unwrap()],
            &schema,
            &[0x4a, 43],
            b"by-dev-rootcoord-dml_1_470607361998323804v0",
            &[0x52, 22],
            b"by-dev-rootcoord-dml_1",
            &[0x5a, 9],
            &varint(470_607_361_998_323_805),
        ]
        .concat();
        assert_eq!(payload, expected);
        assert_eq!(header(&payload).msg_type(), MsgType::CreateCollection);
    }

    #[test]
    fn a_drop_names_what_and_who() {
        let payload = encode_drop_collection(TS, ServerId(3), CollectionId(7), "hello");
        let expected =
            [&[0x0a, 0x0e, 0x08, 0x65, 0x18], &varint(TS.0)[..], &[0x20, 3, 0x1a, 5], b"hello", &[0x28, 7]]
                .concat();
        assert_eq!(payload, expected);

        let payload = encode_drop_partition(TS, ServerId(3), CollectionId(7), PartitionId(8), "p");
        let expected = [
            &[0x0a, 0x0f, 0x08, 0xc9, 0x01, 0x18],
            &varint(TS.0)[..],
            &[0x20, 3, 0x22, 1],
            b"p",
            &[0x30, 7, 0x38, 8],
        ]
        .concat();
        assert_eq!(payload, expected);
        assert_eq!(header(&payload).source_id, 3);
    }
}
