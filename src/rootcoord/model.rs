//! What rootcoord keeps of collections, partitions and aliases.

use std::{collections::BTreeMap, sync::Arc};

use milvus_proto::schema::{CollectionSchema, FieldSchema};

use crate::{
    ids::{CollectionId, DbId, PartitionId},
    tso::hybrid::Timestamp,
};

/// How far an object has come in its life. Collections and partitions share the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There for everybody.
    Created,
    /// Half made: hidden, and undone by whoever becomes ACTIVE and finds it.
    Creating,
    /// Half gone: hidden, and removed in the background.
    Dropping,
    /// Never written by Milvus 2.3.5.
    Dropped,
}

/// A field, as it was asked for and completed: stored and handed out, never interpreted
/// beyond its id and name, so it stays in the form of the wire.
pub type Field = FieldSchema;

/// One shard of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// `<physical channel>_<collection id>v<number>`
    pub virtual_channel: String,
    /// The topic.
    pub physical_channel: String,
}

/// A collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Its id.
    pub id: CollectionId,
    /// Its database; 0 in what was written before there were databases.
    pub db: DbId,
    /// Its name.
    pub name: String,
    /// As its creator described it.
    pub description: String,
    /// Whether primary keys are given by Milvus.
    pub auto_id: bool,
    /// Whether rows may have more fields than the schema.
    pub enable_dynamic_field: bool,
    /// Those of the user by rising id, then 0 and 1.
    pub fields: Arc<[Field]>,
    /// Where its data flows.
    pub shards: Vec<Shard>,
    /// As it was asked for; 0 in old data.
    pub shards_num: i32,
    /// By physical channel, where its messages begin.
    pub start_positions: Vec<(String, Vec<u8>)>,
    /// `common.ConsistencyLevel`, not interpreted.
    pub consistency_level: i32,
    /// Free settings.
    pub properties: BTreeMap<String, String>,
    /// When it was created.
    pub created: Timestamp,
    /// How far it has come.
    pub state: State,
}

impl Collection {
    /// Its schema in the form of the wire, Milvus's own fields included if they are known here.
    pub fn schema(&self) -> CollectionSchema {
        #[expect(deprecated, reason = "Milvus 2.3 stores and reads it there")]
        CollectionSchema {
            name: self.name.clone(),
            description: self.description.clone(),
            auto_id: self.auto_id,
            fields: self.fields.to_vec(),
            enable_dynamic_field: self.enable_dynamic_field,
        }
    }
}

/// A partition of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its id.
    pub id: PartitionId,
    /// Its collection.
    pub collection: CollectionId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// How far it has come.
    pub state: State,
}

/// Another name of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// In which database it is.
    pub db: DbId,
    /// What it stands for.
    pub collection: CollectionId,
    /// When it last was given a collection.
    pub created: Timestamp,
}
