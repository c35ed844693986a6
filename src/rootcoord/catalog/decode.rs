//! Values of etcd and what they say. The ids in the key count, not those in the value.

use milvus_proto::{
    common::{KeyDataPair, KeyValuePair},
    etcd::{AliasInfo, CollectionInfo, CollectionState, DatabaseInfo, DatabaseState, PartitionInfo},
    schema::CollectionSchema,
};
use prost::Message as _;

use super::Database;
use crate::{
    clock::UnixNanos,
    ids::{CollectionId, DbId, FieldId, PartitionId},
    rootcoord::{
        keys::{AliasHome, DEFAULT_DB},
        model::{Alias, Collection, Field, Partition, Shard, State},
    },
    tso::hybrid::Timestamp,
};

/// A collection as its own key holds it: what lies in keys of its own is missing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) collection: Collection,
    /// Written by a Milvus before 2.2, which put fields and partitions into the value itself:
    /// then these count, and keys of their own do not, as in Milvus 2.3.5.
    pub(super) inline: Option<Vec<Partition>>,
}

fn state(number: i32) -> Option<State> {
    Some(match CollectionState::try_from(number).ok()? {
        CollectionState::CollectionCreated => State::Created,
        CollectionState::CollectionCreating => State::Creating,
        CollectionState::CollectionDropping => State::Dropping,
        CollectionState::CollectionDropped => State::Dropped,
    })
}

fn state_number(state: State) -> i32 {
    match state {
        State::Created => CollectionState::CollectionCreated,
        State::Creating => CollectionState::CollectionCreating,
        State::Dropping => CollectionState::CollectionDropping,
        State::Dropped => CollectionState::CollectionDropped,
    }
    .into()
}

/// A value with another id is no value of this key.
pub(super) fn database(id: DbId, value: &[u8]) -> Option<Database> {
    let info = DatabaseInfo::decode(value).ok().filter(|info| info.id == id.0)?;
    Some(Database { id, name: info.name, created_time: info.created_time })
}

/// What Milvus itself writes: no tenant, and unlike everything else not a hybrid time.
pub(in crate::rootcoord) fn encode_database(id: DbId, name: &str, now: UnixNanos) -> Vec<u8> {
    let info = DatabaseInfo {
        tenant_id: String::new(),
        name: name.to_owned(),
        id: id.0,
        state: DatabaseState::DatabaseCreated.into(),
        created_time: now.0,
    };
    info.encode_to_vec()
}

pub(super) fn collection(db: DbId, id: CollectionId, value: &[u8]) -> Option<Stored> {
    let info = CollectionInfo::decode(value).ok()?;
    let state = state(info.state)?;
    let schema = info.schema.unwrap_or_default();
    let created_of = |index: usize| {
        info.partition_created_timestamps.get(index).copied().map_or(Timestamp(info.create_time), Timestamp)
    };
    let partitions = info.partition_i_ds.iter().zip(&info.partition_names).enumerate();
    let partitions: Vec<_> = partitions
        .map(|(index, (partition, name))| Partition {
            id: PartitionId(*partition),
            collection: id,
            name: name.clone(),
            created: created_of(index),
            state: State::Created,
        })
        .collect();
    let names_partitions = !(info.partition_i_ds.is_empty()
        && info.partition_names.is_empty()
        && info.partition_created_timestamps.is_empty());
    let is_inline = names_partitions && !schema.fields.is_empty();
    let fields = if is_inline { in_order(schema.fields) } else { Vec::new() };
    let shards = info.virtual_channel_names.into_iter().zip(info.physical_channel_names);
    #[expect(deprecated, reason = "Milvus 2.3 still stores it there")]
    let auto_id = schema.auto_id;
    let collection = Collection {
        id,
        db,
        name: schema.name,
        description: schema.description,
        auto_id,
        enable_dynamic_field: schema.enable_dynamic_field,
        fields: fields.into(),
        shards: shards
            .map(|(virtual_channel, physical_channel)| Shard { virtual_channel, physical_channel })
            .collect(),
        shards_num: info.shards_num,
        start_positions: info.start_positions.into_iter().map(|pair| (pair.key, pair.data)).collect(),
        consistency_level: info.consistency_level,
        properties: info.properties.into_iter().map(|pair| (pair.key, pair.value)).collect(),
        created: Timestamp(info.create_time),
        state,
    };
    Some(Stored { collection, inline: is_inline.then_some(partitions) })
}

/// Without what lies in keys of its own: fields and partitions.
pub(in crate::rootcoord) fn encode_collection(collection: &Collection) -> Vec<u8> {
    let schema = CollectionSchema { fields: Vec::new(), ..collection.schema() };
    let positions = collection.start_positions.iter();
    let properties = collection.properties.iter();
    let info = CollectionInfo {
        id: collection.id.0,
        schema: Some(schema),
        create_time: collection.created.0,
        virtual_channel_names: collection.shards.iter().map(|shard| shard.virtual_channel.clone()).collect(),
        physical_channel_names: collection
            .shards
            .iter()
            .map(|shard| shard.physical_channel.clone())
            .collect(),
        shards_num: collection.shards_num,
        start_positions: positions
            .map(|(key, data)| KeyDataPair { key: key.clone(), data: data.clone() })
            .collect(),
        consistency_level: collection.consistency_level,
        state: state_number(collection.state),
        properties: properties
            .map(|(key, value)| KeyValuePair { key: key.clone(), value: value.clone() })
            .collect(),
        db_id: collection.db.0,
        ..CollectionInfo::default()
    };
    info.encode_to_vec()
}

pub(super) fn partition(collection: CollectionId, id: PartitionId, value: &[u8]) -> Option<Partition> {
    let info = PartitionInfo::decode(value).ok()?;
    Some(Partition {
        id,
        collection,
        name: info.partition_name,
        created: Timestamp(info.partition_created_timestamp),
        state: state(info.state)?,
    })
}

pub(in crate::rootcoord) fn encode_partition(partition: &Partition) -> Vec<u8> {
    let info = PartitionInfo {
        partition_id: partition.id.0,
        partition_name: partition.name.clone(),
        partition_created_timestamp: partition.created.0,
        collection_id: partition.collection.0,
        state: state_number(partition.state),
    };
    info.encode_to_vec()
}

pub(super) fn field(id: FieldId, value: &[u8]) -> Option<Field> {
    Field::decode(value).ok().map(|field| Field { field_id: id.0, ..field })
}

/// Everything but the state, which Milvus never stores.
pub(in crate::rootcoord) fn encode_field(field: &Field) -> Vec<u8> {
    Field { state: 0, ..field.clone() }.encode_to_vec()
}

pub(super) fn alias(home: AliasHome, name: &str, value: &[u8]) -> Option<Alias> {
    let (collection, created) = match home {
        AliasHome::Database(_) | AliasHome::NoDatabase => {
            let info = AliasInfo::decode(value).ok()?;
            (info.collection_id, info.created_time)
        }
        // Nobody wrote down when that was.
        AliasHome::AsCollection => (CollectionInfo::decode(value).ok()?.id, 0),
    };
    let db = match home {
        AliasHome::Database(db) => db,
        AliasHome::NoDatabase | AliasHome::AsCollection => DEFAULT_DB,
    };
    Some(Alias {
        name: name.to_owned(),
        db,
        collection: CollectionId(collection),
        created: Timestamp(created),
    })
}

pub(in crate::rootcoord) fn encode_alias(alias: &Alias) -> Vec<u8> {
    let info = AliasInfo {
        alias_name: alias.name.clone(),
        collection_id: alias.collection.0,
        created_time: alias.created.0,
        state: 0,
        db_id: alias.db.0,
    };
    info.encode_to_vec()
}

/// Those of the user by rising id, then Milvus's own.
pub(super) fn in_order(mut fields: Vec<Field>) -> Vec<Field> {
    fields.sort_by_key(|field| (field.field_id < FIRST_USER_FIELD.0, field.field_id));
    fields
}

/// The id of a collection's first field; smaller ones are Milvus's own.
pub(in crate::rootcoord) const FIRST_USER_FIELD: FieldId = FieldId(100);
