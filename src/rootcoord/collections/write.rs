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
    let record = Object::Collection(collection.db, collection.id);
    Ok(catalog.puts(ts).put(&record, encode_collection(collection))?.at_once())
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
    objects.extend(catalog.alias_keys_of(id).map(|(db, name)| Object::Alias(*db, name.clone())));
    // Those that an old release wrote into the collection's own value have no key.
    let partitions = catalog.partitions(id).map(|partition| Object::Partition(id, partition.id));
    objects.extend(partitions.filter(|object| catalog.latest_of(object).is_some()));
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
