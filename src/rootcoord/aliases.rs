//! What creating, altering and dropping aliases comes to: decisions only.

use crate::{
    ids::DbId,
    rootcoord::{
        catalog::{Catalog, Database, encode_alias},
        error::{DdlError, Decision, NoCollection, Task},
        keys::{AliasHome, Object},
        model::{Alias, Collection},
    },
};

/// Gives a collection another name; nothing if it has that name already.
///
/// # Errors
/// [`DdlError`]
pub fn create(
    catalog: &Catalog,
    db: &str,
    alias: &str,
    collection: &str,
    task: Task,
) -> Result<Decision, DdlError> {
    let (database, target) = subject(catalog, db, alias, collection)?;
    let target = target
        .ok_or_else(|| NoCollection::Name { db: database.name.clone(), name: collection.to_owned() })?;
    if let Some(existing) = catalog.alias(database.id, alias) {
        if existing.collection == target.id {
            return Ok(Decision::Done);
        }
        let other = catalog.record(existing.collection).map(|other| other.name.clone()).unwrap_or_default();
        return Err(DdlError::AliasTaken { db: database.name.clone(), alias: alias.to_owned(), other });
    }
    put(catalog, database.id, alias, target, task)
}

/// Lets an alias stand for another collection.
///
/// # Errors
/// [`DdlError`]
pub fn alter(
    catalog: &Catalog,
    db: &str,
    alias: &str,
    collection: &str,
    task: Task,
) -> Result<Decision, DdlError> {
    let (database, target) = subject(catalog, db, alias, collection)?;
    let target = target.ok_or_else(|| NoCollection::Plain(collection.to_owned()))?;
    let existing = catalog.alias(database.id, alias);
    let existing =
        existing.ok_or_else(|| DdlError::NoAlias { db: database.name.clone(), alias: alias.to_owned() })?;
    if existing.collection == target.id {
        return Ok(Decision::Done);
    }
    put(catalog, database.id, alias, target, task)
}

/// Drops an alias; nothing if there is none.
///
/// # Errors
/// [`DdlError`]
pub fn drop(catalog: &Catalog, db: &str, alias: &str, task: Task) -> Result<Decision, DdlError> {
    let database = catalog.named(db).ok_or_else(|| DdlError::NoDatabase(db.to_owned()))?;
    let mut puts = catalog.puts(task.ts);
    let mut found = false;
    for home in Catalog::alias_homes(database.id) {
        if catalog.alias_stored_in(home, alias).is_some() {
            puts = puts.bury(&Object::Alias(home, alias.to_owned()))?;
            found = true;
        }
    }
    Ok(if found { Decision::Write(puts.at_once()) } else { Decision::Done })
}

/// The collection that an alias stands for.
///
/// # Errors
/// [`DdlError`]
pub fn describe<'a>(catalog: &'a Catalog, db: &str, alias: &str) -> Result<&'a Collection, DdlError> {
    if alias.is_empty() {
        return Err(DdlError::NoInputAlias);
    }
    let database = known(catalog, db)?;
    let missing = || DdlError::NoAlias { db: database.name.clone(), alias: alias.to_owned() };
    let found = catalog.alias(database.id, alias).ok_or_else(missing)?;
    let record = catalog.record(found.collection).ok_or(DdlError::DeadAlias(found.collection))?;
    catalog.visible(record.id).ok_or_else(missing)
}

/// The aliases of a collection, or of all collections of a database if none is named.
///
/// # Errors
/// [`DdlError`]
pub fn list(catalog: &Catalog, db: &str, collection: &str) -> Result<Vec<String>, DdlError> {
    let database = known(catalog, db)?;
    let mut names: Vec<String> = if collection.is_empty() {
        let collections = catalog.collections(database.id);
        collections.flat_map(|record| catalog.aliases_of(record.id)).map(str::to_owned).collect()
    } else {
        let record = catalog.own_name(database.id, collection);
        let record = record.ok_or_else(|| NoCollection::Plain(collection.to_owned()))?;
        catalog.aliases_of(record.id).map(str::to_owned).collect()
    };
    names.sort_unstable();
    Ok(names)
}

fn known<'a>(catalog: &'a Catalog, db: &str) -> Result<&'a Database, DdlError> {
    catalog.named(db).ok_or_else(|| DdlError::UnknownDatabase(db.to_owned()))
}

/// The database, and in it the collection by its own name, not by another alias, if there is
/// one. The alias must not be the name of a collection.
fn subject<'a>(
    catalog: &'a Catalog,
    db: &str,
    alias: &str,
    collection: &str,
) -> Result<(&'a Database, Option<&'a Collection>), DdlError> {
    let database = known(catalog, db)?;
    if catalog.own_name(database.id, alias).is_some() {
        return Err(DdlError::AliasIsCollection { db: database.name.clone(), alias: alias.to_owned() });
    }
    Ok((database, catalog.own_name(database.id, collection)))
}

/// The collection must be there when it is written. What an old release wrote goes away with it.
fn put(
    catalog: &Catalog,
    db: DbId,
    alias: &str,
    target: &Collection,
    task: Task,
) -> Result<Decision, DdlError> {
    let value = Alias { name: alias.to_owned(), db, collection: target.id, created: task.ts };
    let upon = catalog.unchanged_object(&Object::Collection(target.db, target.id))?;
    let mut puts = catalog.puts(task.ts).upon(upon);
    for home in Catalog::alias_homes(db) {
        let object = Object::Alias(home, alias.to_owned());
        if home == AliasHome::Database(db) {
            puts = puts.put(&object, encode_alias(&value))?;
        } else if catalog.alias_stored_in(home, alias).is_some() {
            puts = puts.bury(&object)?;
        }
    }
    Ok(Decision::Write(puts.at_once()))
}
