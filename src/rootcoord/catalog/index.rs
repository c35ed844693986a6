//! Ways to objects other than by their keys.

use std::collections::{BTreeSet, HashMap};

use crate::{
    ids::{CollectionId, DbId},
    rootcoord::{
        keys::DEFAULT_DB,
        model::{Collection, State},
    },
};

/// What was made before there were databases belongs to the default one.
pub(super) fn home(db: DbId) -> DbId {
    if db == DbId(0) { DEFAULT_DB } else { db }
}

/// By database and name. Where several share a name, the newest counts.
#[derive(Debug, Default)]
struct Names(HashMap<DbId, HashMap<String, BTreeSet<CollectionId>>>);

impl Names {
    fn add(&mut self, collection: &Collection) {
        let names = self.0.entry(home(collection.db)).or_default();
        names.entry(collection.name.clone()).or_default().insert(collection.id);
    }

    fn remove(&mut self, collection: &Collection) {
        let Some(names) = self.0.get_mut(&home(collection.db)) else { return };
        let Some(ids) = names.get_mut(&collection.name) else { return };
        ids.remove(&collection.id);
        if ids.is_empty() {
            names.remove(&collection.name);
        }
    }

    fn get(&self, db: DbId, name: &str) -> Option<CollectionId> {
        self.0.get(&db)?.get(name)?.last().copied()
    }

    fn all(&self, db: DbId) -> impl Iterator<Item = CollectionId> {
        self.0.get(&db).into_iter().flat_map(|names| names.values().flatten().copied())
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The database in the key.
    keys: HashMap<CollectionId, DbId>,
    created: Names,
    dropping: Names,
    aliases: HashMap<CollectionId, BTreeSet<(DbId, String)>>,
}

impl Index {
    fn names(&mut self, collection: &Collection) -> Option<&mut Names> {
        match collection.state {
            State::Created => Some(&mut self.created),
            State::Dropping => Some(&mut self.dropping),
            State::Creating | State::Dropped => None,
        }
    }

    /// A collection is no longer what it was.
    pub(super) fn remove(&mut self, collection: &Collection) {
        if self.keys.get(&collection.id) == Some(&collection.db) {
            self.keys.remove(&collection.id);
        }
        if let Some(names) = self.names(collection) {
            names.remove(collection);
        }
    }

    /// A collection is this now.
    pub(super) fn add(&mut self, collection: &Collection) {
        self.keys.insert(collection.id, collection.db);
        if let Some(names) = self.names(collection) {
            names.add(collection);
        }
    }

    pub(super) fn remove_alias(&mut self, collection: CollectionId, db: DbId, name: &str) {
        if let Some(aliases) = self.aliases.get_mut(&collection) {
            aliases.remove(&(db, name.to_owned()));
            if aliases.is_empty() {
                self.aliases.remove(&collection);
            }
        }
    }

    pub(super) fn add_alias(&mut self, collection: CollectionId, db: DbId, name: &str) {
        self.aliases.entry(collection).or_default().insert((db, name.to_owned()));
    }

    /// The database in the key of a collection, whatever its state.
    pub(super) fn database_of(&self, collection: CollectionId) -> Option<DbId> {
        self.keys.get(&collection).copied()
    }

    /// The collection of that name that everybody sees.
    pub(super) fn created(&self, db: DbId, name: &str) -> Option<CollectionId> {
        self.created.get(db, name)
    }

    /// One of that name that is being dropped.
    pub(super) fn dropping(&self, db: DbId, name: &str) -> Option<CollectionId> {
        self.dropping.get(db, name)
    }

    /// Those of a database that everybody sees.
    pub(super) fn all_created(&self, db: DbId) -> impl Iterator<Item = CollectionId> {
        self.created.all(db)
    }

    /// How many everybody sees in a database.
    pub(super) fn created_in(&self, db: DbId) -> usize {
        self.created.0.get(&db).map_or(0, |names| names.values().map(BTreeSet::len).sum())
    }

    /// How many everybody sees.
    pub(super) fn created_everywhere(&self) -> usize {
        self.created.0.keys().map(|db| self.created_in(*db)).sum()
    }

    /// Database (of the key) and name of each alias of a collection.
    pub(super) fn aliases(&self, collection: CollectionId) -> impl Iterator<Item = &(DbId, String)> {
        self.aliases.get(&collection).into_iter().flatten()
    }
}
