//! The transactions about one collection.

use crate::{
    etcd::store::Write,
    ids::{CollectionId, FieldId},
    rootcoord::{
        catalog::{Catalog, encode_collection, encode_field, encode_partition},
        error::{DdlError, NoCollection},
        keys::Object,
        model::{Collection, Partition, State},
    },
    tso::hybrid::Timestamp,
};

/// A collection that everybody shall see once its state is changed to Created. Its own key comes
/// first: whoever finds it in state Creating undoes what there is of the rest.
///
/// # Errors
/// [`DdlError`]
pub fn create(
    catalog: &Catalog,
    collection: &Collection,
    partitions: &[Partition],
) -> Result<Vec<Write>, DdlError> {
    let record = Object::Collection(collection.db, collection.id);
    let mut puts = catalog.puts(collection.created).put(&record, encode_collection(collection))?;
    for partition in partitions {
        puts = puts.put(&Object::Partition(collection.id, partition.id), encode_partition(partition))?;
    }
    for field in &*collection.fields {
        puts = puts.put(&Object::Field(collection.id, FieldId(field.field_id)), encode_field(field))?;
    }
    Ok(puts.in_order())
}

/// A collection goes on in its life.
///
/// # Errors
/// [`DdlError`], among them that it is not there any more.
pub fn change_state(
    catalog: &Catalog,
    id: CollectionId,
    state: State,
    ts: Timestamp,
) -> Result<Write, DdlError> {
    let record = catalog.record(id).ok_or(NoCollection::Id(id))?;
    replace(catalog, &Collection { state, ..record.clone() }, ts)
}

/// Properties are added and replaced; none goes away. What the collection then is, too.
///
/// # Errors
/// [`DdlError`]
pub fn alter(
    catalog: &Catalog,
    record: &Collection,
    properties: impl IntoIterator<Item = (String, String)>,
    ts: Timestamp,
) -> Result<(Write, Collection), DdlError> {
    let mut altered = record.clone();
    altered.properties.extend(properties);
    Ok((replace(catalog, &altered, ts)?, altered))
}

fn replace(catalog: &Catalog, collection: &Collection, ts: Timestamp) -> Result<Write, DdlError> {
    Ok(catalog.puts(ts).put_record(collection)?.at_once())
}

/// What brings a collection that a Milvus before 2.2 wrote into the form of today, in which each
/// field and each partition has a key of its own. Nothing if it has that form.
///
/// Its own key comes last: until then its old value counts, and with it what is in that, for
/// Milvus 2.3.5, too. Milvus itself forgets fields and partitions when it changes such a
/// collection, because it never writes the old form again, and moves nothing.
///
/// # Errors
/// [`DdlError`]
pub fn modernize(catalog: &Catalog, id: CollectionId, ts: Timestamp) -> Result<Vec<Write>, DdlError> {
    let Some((record, partitions)) = catalog.record(id).zip(catalog.inline_partitions(id)) else {
        return Ok(Vec::new());
    };
    let mut puts = catalog.puts(ts);
    // What is stored beside the old value does not count now, and must not afterwards.
    for field in catalog.stored_fields(id) {
        if !record.fields.iter().any(|known| known.field_id == field.0) {
            puts = puts.bury(&Object::Field(id, field))?;
        }
    }
    for stored in catalog.stored_partitions(id) {
        if !partitions.iter().any(|known| known.id == stored.id) {
            puts = puts.bury(&Object::Partition(id, stored.id))?;
        }
    }
    for field in &*record.fields {
        puts = puts.put(&Object::Field(id, FieldId(field.field_id)), encode_field(field))?;
    }
    for partition in partitions {
        puts = puts.put(&Object::Partition(id, partition.id), encode_partition(partition))?;
    }
    let own = Object::Collection(record.db, id);
    Ok(puts.put(&own, encode_collection(record))?.in_order())
}

/// What removes a collection that is being dropped, or was never finished: its own key last, and
/// with it the knowledge that there is something to remove. Nothing if it is gone.
///
/// # Errors
/// [`DdlError`]
pub fn remove(catalog: &Catalog, id: CollectionId) -> Result<Vec<Write>, DdlError> {
    let Some(record) = catalog.record(id) else { return Ok(Vec::new()) };
    let own = Object::Collection(record.db, id);
    let mut objects: Vec<Object> = Vec::new();
    objects.extend(catalog.alias_keys_of(id).map(|(home, name)| Object::Alias(*home, name.clone())));
    objects.extend(catalog.stored_partitions(id).map(|partition| Object::Partition(id, partition.id)));
    objects.extend(catalog.stored_fields(id).map(|field| Object::Field(id, field)));
    objects.push(own);
    // As Milvus: at the time of the drop, so the tombstone replaces the state Dropping. Later if
    // an alias was changed since.
    let ts = objects.iter().filter_map(|object| catalog.latest_of(object)).max().unwrap_or(record.created);
    let mut puts = catalog.puts(ts);
    for object in &objects {
        puts = puts.bury(object)?;
    }
    Ok(puts.in_order())
}
