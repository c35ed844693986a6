//! What is told of each change of the schema, for those who look for Milvus's lines.

use crate::{
    ids::{CollectionId, PartitionId},
    rootcoord::{
        failure::Failure,
        model::{Collection, Partition, State},
    },
    tso::hybrid::Timestamp,
};

/// Something that happened to the schema, or need not happen.
#[derive(Debug)]
pub enum Note<'a> {
    /// A collection begins to use these channels.
    ChannelsAdded(&'a [String]),
    /// A collection no longer uses these.
    ChannelsRemoved(&'a [String]),
    /// A collection is in etcd, half made.
    CollectionAdded(&'a Collection),
    /// A collection goes on in its life.
    CollectionState(CollectionId, State, Timestamp),
    /// Its properties are others.
    CollectionAltered(CollectionId, Timestamp),
    /// Its name is another.
    CollectionRenamed(CollectionId, Timestamp),
    /// Nothing of it is left.
    CollectionRemoved(CollectionId),
    /// A partition is in etcd, half made.
    PartitionAdded(&'a Partition),
    /// A partition goes on in its life.
    PartitionState(&'a Partition, State, Timestamp),
    /// Nothing of it is left.
    PartitionRemoved(CollectionId, PartitionId),
    /// Such a collection is there already.
    CollectionExists(&'a str),
    /// Such a partition is there already: its collection, its name.
    PartitionExists(&'a str, &'a str),
    /// The alias stands for that collection already: the alias, the collection's name, when.
    AliasExists(&'a str, &'a str, Timestamp),
    /// There is no such collection to drop.
    NoCollection(&'a str),
    /// There is no such partition to drop: its collection, its name.
    NoPartition(&'a str, &'a str),
    /// A step failed, and what was done before is undone.
    Undoing(&'static str, &'a Failure),
}
