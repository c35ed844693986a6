//! What creating and dropping partitions comes to: decisions only.

use crate::{
    etcd::store::Write,
    ids::{CollectionId, PartitionId},
    rootcoord::{
        catalog::{Catalog, encode_partition},
        collections::Limits,
        error::{DdlError, Decision, NoCollection, Task},
        keys::Object,
        model::{Collection, Partition, State},
    },
    tso::hybrid::Timestamp,
};

/// The collection whose partitions are to be changed, by name or alias.
///
/// # Errors
/// [`DdlError::NoDatabase`], [`DdlError::NoCollection`]
pub fn parent<'a>(
    catalog: &'a Catalog,
    db: &str,
    collection: &str,
    ts: Timestamp,
) -> Result<&'a Collection, DdlError> {
    let database = catalog.named(db).ok_or_else(|| DdlError::NoDatabase(db.to_owned()))?;
    catalog.lookup(database, collection).map_err(|missing| {
        DdlError::NoCollection(match missing {
            NoCollection::Name { name, .. } => NoCollection::AsOf { ts, db: database.id, name },
            other => other,
        })
    })
}

/// A new partition, half made, or nothing if there is one of that name.
///
/// # Errors
/// [`DdlError`]
pub fn create(
    catalog: &Catalog,
    collection: &Collection,
    name: &str,
    id: PartitionId,
    limits: &Limits,
    task: Task,
) -> Result<Decision<(Write, Partition)>, DdlError> {
    let mut number = 0;
    for partition in catalog.visible_partitions(collection.id) {
        if partition.name == name {
            return Ok(Decision::Done);
        }
        number += 1;
    }
    if number >= limits.partitions {
        return Err(DdlError::TooManyPartitions {
            number: i64::try_from(number).unwrap_or(i64::MAX),
            limit: limits.partitions,
            collection: collection.name.clone(),
        });
    }
    let partition = Partition {
        id,
        collection: collection.id,
        name: name.to_owned(),
        created: task.ts,
        state: State::Creating,
    };
    let write = put(catalog, &partition, task.ts)?;
    Ok(Decision::Write((write, partition)))
}

/// A partition is on its way out, or nothing if there is none of that name.
///
/// # Errors
/// [`DdlError`]
pub fn drop(
    catalog: &Catalog,
    collection: &Collection,
    name: &str,
    task: Task,
) -> Result<Decision<(Write, Partition)>, DdlError> {
    let Some(found) = catalog.visible_partitions(collection.id).find(|partition| partition.name == name)
    else {
        return Ok(Decision::Done);
    };
    let partition = Partition { state: State::Dropping, ..found.clone() };
    let write = put(catalog, &partition, task.ts)?;
    Ok(Decision::Write((write, partition)))
}

/// A partition is there for everybody. At the time of its creation, as in Milvus.
///
/// # Errors
/// [`DdlError`]
pub fn finish(catalog: &Catalog, partition: &Partition) -> Result<Write, DdlError> {
    put(catalog, &Partition { state: State::Created, ..partition.clone() }, partition.created)
}

/// What removes a partition. Nothing if it is gone.
///
/// # Errors
/// [`DdlError`]
pub fn remove(
    catalog: &Catalog,
    collection: CollectionId,
    id: PartitionId,
) -> Result<Option<Write>, DdlError> {
    let object = Object::Partition(collection, id);
    if !catalog.partitions(collection).any(|partition| partition.id == id) {
        return Ok(None);
    }
    let Some(ts) = catalog.latest_of(&object) else { return Ok(None) };
    Ok(Some(catalog.puts(ts).bury(&object)?.at_once()))
}

/// Only while the collection is as it is known: nothing is added to one that is being dropped.
fn put(catalog: &Catalog, partition: &Partition, ts: Timestamp) -> Result<Write, DdlError> {
    let record = catalog.visible(partition.collection).ok_or(NoCollection::Id(partition.collection))?;
    let parent = catalog.unchanged_object(&Object::Collection(record.db, record.id))?;
    let object = Object::Partition(partition.collection, partition.id);
    Ok(catalog.puts(ts).upon(parent).put(&object, encode_partition(partition))?.at_once())
}
