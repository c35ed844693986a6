//! Ways to objects other than by their keys.

use std::collections::{BTreeSet, HashMap};

use crate::{
    ids::{CollectionId, DbId},
    rootcoord::{
        keys::{AliasHome, DEFAULT_DB},
        model::{Collection, State},
    },
};

/// What was made before there were databases belongs to the default one.
pub(super) fn home(db: DbId) -> DbId {
    if db == DbId(0) { DEFAULT_DB } else { db }
}

/// By database and name. Where several share a name, the newest counts.
#[derive(Debug, Default)]
struct Names {
    databases: HashMap<DbId, Named>,
    /// Of all databases; counted along, because every write asks for it.
    number: usize,
}

/// Those of one database.
#[derive(Debug, Default)]
struct Named {
    ids: HashMap<String, BTreeSet<CollectionId>>,
    number: usize,
}

impl Names {
    fn add(&mut self, collection: &Collection) {
        let named = self.databases.entry(home(collection.db)).or_default();
        if named.ids.entry(collection.name.clone()).or_default().insert(collection.id) {
            named.number += 1;
            self.number += 1;
        }
    }

    fn remove(&mut self, collection: &Collection) {
        let Some(named) = self.databases.get_mut(&home(collection.db)) else { return };
        let Some(ids) = named.ids.get_mut(&collection.name) else { return };
        if ids.remove(&collection.id) {
            named.number -= 1;
            self.number -= 1;
        }
        if ids.is_empty() {
            named.ids.remove(&collection.name);
        }
    }

    fn get(&self, db: DbId, name: &str) -> Option<CollectionId> {
        self.databases.get(&db)?.ids.get(name)?.last().copied()
    }

    fn all(&self, db: DbId) -> impl Iterator<Item = CollectionId> {
        self.databases.get(&db).into_iter().flat_map(|named| named.ids.values().flatten().copied())
    }

    fn number_in(&self, db: DbId) -> usize {
        self.databases.get(&db).map_or(0, |named| named.number)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The database in the key.
    keys: HashMap<CollectionId, DbId>,
    /// Further ones, while histories are read one after another and the tombstone that a
    /// collection left in a database when it was moved has not been read yet.
    further: BTreeSet<(CollectionId, DbId)>,
    created: Names,
    dropping: Names,
    aliases: HashMap<CollectionId, BTreeSet<(AliasHome, String)>>,
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
        let (id, db) = (collection.id, collection.db);
        if !self.further.remove(&(id, db)) && self.keys.get(&id) == Some(&db) {
            let (first, last) = ((id, DbId(i64::MIN)), (id, DbId(i64::MAX)));
            let other = self.further.range(first..=last).next().copied();
            match other {
                Some(other) => {
                    self.further.remove(&other);
                    self.keys.insert(id, other.1);
                }
                None => {
                    self.keys.remove(&id);
                }
            }
        }
        if let Some(names) = self.names(collection) {
            names.remove(collection);
        }
    }

    /// A collection is this now.
    pub(super) fn add(&mut self, collection: &Collection) {
        let (id, db) = (collection.id, collection.db);
        if let Some(other) = self.keys.insert(id, db)
            && other != db
        {
            self.further.insert((id, other));
            self.further.remove(&(id, db));
        }
        if let Some(names) = self.names(collection) {
            names.add(collection);
        }
    }

    pub(super) fn remove_alias(&mut self, collection: CollectionId, home: AliasHome, name: &str) {
        if let Some(aliases) = self.aliases.get_mut(&collection) {
            aliases.remove(&(home, name.to_owned()));
            if aliases.is_empty() {
                self.aliases.remove(&collection);
            }
        }
    }

    pub(super) fn add_alias(&mut self, collection: CollectionId, home: AliasHome, name: &str) {
        self.aliases.entry(collection).or_default().insert((home, name.to_owned()));
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
        self.created.number_in(db)
    }

    /// How many everybody sees.
    pub(super) fn created_everywhere(&self) -> usize {
        self.created.number
    }

    /// Where each alias of a collection is stored, and its name.
    pub(super) fn aliases(&self, collection: CollectionId) -> impl Iterator<Item = &(AliasHome, String)> {
        self.aliases.get(&collection).into_iter().flatten()
    }
}
