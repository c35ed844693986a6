//! What is sent, field by field as Milvus 2.3.5 sends it. Clients fill in time, sender
//! and receiver where a base leaves them open.

use milvus_proto::{
    common::{KeyDataPair, KeyValuePair, MsgBase, MsgType},
    data::{AlterCollectionRequest, GcConfirmRequest, WatchChannelsRequest},
    index::DropIndexRequest,
    internal,
    milvus::GetMetricsRequest,
    proxy::{CollectionRate, InvalidateCollMetaCacheRequest, RefreshPolicyInfoCacheRequest, SetRatesRequest},
    query::{ReleaseCollectionRequest, ReleasePartitionsRequest, SyncNewCreatedPartitionRequest},
    schema::CollectionSchema,
};

use crate::{
    clock::UnixNanos,
    ids::{CollectionId, PartitionId, ServerId},
    rootcoord::{
        model::{Collection, Partition},
        peers::{PolicyChange, notices::Notice},
        quota::{NO_LIMIT, Rates},
    },
    tso::hybrid::Timestamp,
};

/// All partitions, where one is asked for.
const ALL_PARTITIONS: i64 = -1;
/// Everything is looked up anew.
const RELOAD_ALL: i32 = 7;

/// What a notice is on the wire.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    Invalidate(InvalidateCollMetaCacheRequest),
    Refresh(RefreshPolicyInfoCacheRequest),
}

pub(super) fn notice(notice: &Notice) -> Told {
    match notice {
        Notice::Name { ts, database, name } => Told::Invalidate(InvalidateCollMetaCacheRequest {
            base: base_at(*ts, MsgType::Undefined),
            db_name: database.clone(),
            collection_name: name.clone(),
            collection_id: 0,
        }),
        Notice::Collection { ts, database, id, dropped } => {
            let kind = if *dropped { MsgType::DropCollection } else { MsgType::Undefined };
            Told::Invalidate(InvalidateCollMetaCacheRequest {
                base: base_at(*ts, kind),
                db_name: database.clone(),
                collection_name: String::new(),
                collection_id: id.0,
            })
        }
        Notice::Policy(PolicyChange::ReloadAll) => Told::Refresh(RefreshPolicyInfoCacheRequest {
            base: None,
            op_type: RELOAD_ALL,
            op_key: String::new(),
        }),
    }
}

pub(super) fn watch_channels(collection: &Collection) -> WatchChannelsRequest {
    WatchChannelsRequest {
        collection_id: collection.id.0,
        channel_names: collection.shards.iter().map(|shard| shard.virtual_channel.clone()).collect(),
        start_positions: start_positions(collection),
        schema: Some(schema(collection)),
        create_timestamp: collection.created.0,
    }
}

/// Real rootcoord sends as many zeros before the partitions; nobody needs them. And it
/// sends only the properties that have changed, by which datacoord replaces all it knows.
pub(super) fn collection_altered(
    collection: &Collection,
    partitions: &[PartitionId],
) -> AlterCollectionRequest {
    AlterCollectionRequest {
        collection_id: collection.id.0,
        schema: Some(schema(collection)),
        partition_i_ds: numbers(partitions),
        start_positions: start_positions(collection),
        properties: collection
            .properties
            .iter()
            .map(|(key, value)| KeyValuePair { key: key.clone(), value: value.clone() })
            .collect(),
    }
}

pub(super) fn drop_indexes(collection: CollectionId) -> DropIndexRequest {
    DropIndexRequest {
        collection_id: collection.0,
        partition_i_ds: Vec::new(),
        index_name: String::new(),
        drop_all: true,
    }
}

pub(super) fn gc_confirm(collection: CollectionId, partition: Option<PartitionId>) -> GcConfirmRequest {
    let partition_id = partition.map_or(ALL_PARTITIONS, |partition| partition.0);
    GcConfirmRequest { collection_id: collection.0, partition_id }
}

pub(super) fn release_collection(collection: CollectionId, own: ServerId) -> ReleaseCollectionRequest {
    ReleaseCollectionRequest {
        base: base(MsgType::ReleaseCollection),
        db_id: 0,
        collection_id: collection.0,
        node_id: own.0,
    }
}

pub(super) fn release_partitions(
    collection: CollectionId,
    partitions: &[PartitionId],
) -> ReleasePartitionsRequest {
    ReleasePartitionsRequest {
        base: base(MsgType::ReleasePartitions),
        db_id: 0,
        collection_id: collection.0,
        partition_i_ds: numbers(partitions),
        node_id: 0,
    }
}

pub(super) fn partition_created(partition: &Partition) -> SyncNewCreatedPartitionRequest {
    SyncNewCreatedPartitionRequest {
        // No slip: this is what it is called there.
        base: base(MsgType::ReleasePartitions),
        collection_id: partition.collection.0,
        partition_id: partition.id.0,
    }
}

/// Everything that a component tells of itself and of its nodes.
pub(super) fn system_info() -> GetMetricsRequest {
    GetMetricsRequest {
        base: base(MsgType::SystemInfo),
        request: r#"{"metric_type":"system_info"}"#.to_owned(),
    }
}

/// To each of so many proxies. What they let through together is what `rates` say.
pub(super) fn set_rates(rates: &Rates, proxies: usize, now: UnixNanos) -> SetRatesRequest {
    let share = |rate: f64| if rate == NO_LIMIT { rate } else { rate / proxies.max(1) as f64 };
    let collections = rates.iter().map(|(collection, it)| CollectionRate {
        collection: collection.0,
        rates: it
            .rates
            .iter()
            .map(|(kind, rate)| internal::Rate { rt: kind.to_wire().into(), r: share(*rate) })
            .collect(),
        states: it.denied.keys().map(|access| access.to_wire().into()).collect(),
        codes: it.denied.values().map(|reason| reason.to_wire().into()).collect(),
    });
    let now = Timestamp::at_milli(now.millis()).0;
    SetRatesRequest {
        base: Some(MsgBase { msg_id: now.cast_signed(), timestamp: now, ..MsgBase::default() }),
        rates: collections.collect(),
    }
}

fn base(kind: MsgType) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind.into(), ..MsgBase::default() })
}

fn base_at(ts: Timestamp, kind: MsgType) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind.into(), timestamp: ts.0, ..MsgBase::default() })
}

/// Without the dynamic flag, as datacoord gets it.
fn schema(collection: &Collection) -> CollectionSchema {
    CollectionSchema { enable_dynamic_field: false, ..collection.schema() }
}

fn start_positions(collection: &Collection) -> Vec<KeyDataPair> {
    collection
        .start_positions
        .iter()
        .map(|(key, data)| KeyDataPair { key: key.clone(), data: data.clone() })
        .collect()
}

fn numbers(partitions: &[PartitionId]) -> Vec<i64> {
    partitions.iter().map(|partition| partition.0).collect()
}
