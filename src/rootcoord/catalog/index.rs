//! Ways to objects other than by their keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::decode::Stored;
use crate::{
    ids::{CollectionId, DbId, PartitionId},
    rootcoord::{
        keys::{AliasHome, DEFAULT_DB},
        model::{Collection, Partition, State},
    },
};

/// What was made before there were databases belongs to the default one.
pub(super) fn home(db: DbId) -> DbId {
    if db == DbId(0) { DEFAULT_DB } else { db }
}

/// The physical channels of a collection, each once.
fn physical_channels(collection: &Collection) -> BTreeSet<&str> {
    collection.shards.iter().map(|shard| shard.physical_channel.as_str()).collect()
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

/// The partitions in keys of their own of one collection.
#[derive(Debug, Default)]
struct Partitions {
    created: usize,
    /// In how many records their collection is Created and does not hold partitions itself: one,
    /// or none, or two while it is being moved.
    seen: usize,
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
    /// What is being made or dropped.
    unfinished: BTreeSet<CollectionId>,
    unfinished_partitions: BTreeSet<(CollectionId, PartitionId)>,
    partitions: HashMap<CollectionId, Partitions>,
    /// How many partitions everybody sees.
    seen_partitions: usize,
    /// How many collections use each physical channel.
    channels: BTreeMap<String, usize>,
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
    pub(super) fn remove(&mut self, stored: &Stored) {
        let collection = &stored.collection;
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
        self.unfinished.remove(&id);
        match &stored.inline {
            _ if collection.state != State::Created => {}
            Some(partitions) => self.seen_partitions -= partitions.len(),
            None => self.change_partitions(id, |partitions| partitions.seen -= 1),
        }
        for channel in physical_channels(collection) {
            if let Some(users) = self.channels.get_mut(channel) {
                *users -= 1;
                if *users == 0 {
                    self.channels.remove(channel);
                }
            }
        }
    }

    /// A collection is this now.
    pub(super) fn add(&mut self, stored: &Stored) {
        let collection = &stored.collection;
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
        match &stored.inline {
            _ if collection.state != State::Created => _ = self.unfinished.insert(id),
            Some(partitions) => self.seen_partitions += partitions.len(),
            None => self.change_partitions(id, |partitions| partitions.seen += 1),
        }
        for channel in physical_channels(collection) {
            match self.channels.get_mut(channel) {
                Some(users) => *users += 1,
                None => _ = self.channels.insert(channel.to_owned(), 1),
            }
        }
    }

    /// A partition with a key of its own is no longer what it was.
    pub(super) fn remove_partition(&mut self, partition: &Partition) {
        let Partition { id, collection, state, .. } = *partition;
        if state == State::Created {
            self.change_partitions(collection, |partitions| partitions.created -= 1);
        } else {
            self.unfinished_partitions.remove(&(collection, id));
        }
    }

    /// A partition with a key of its own is this now.
    pub(super) fn add_partition(&mut self, partition: &Partition) {
        let Partition { id, collection, state, .. } = *partition;
        if state == State::Created {
            self.change_partitions(collection, |partitions| partitions.created += 1);
        } else {
            self.unfinished_partitions.insert((collection, id));
        }
    }

    fn change_partitions(&mut self, collection: CollectionId, change: impl FnOnce(&mut Partitions)) {
        let partitions = self.partitions.entry(collection).or_default();
        let counted = |partitions: &Partitions| if partitions.seen > 0 { partitions.created } else { 0 };
        let before = counted(partitions);
        change(partitions);
        self.seen_partitions = self.seen_partitions - before + counted(partitions);
        if partitions.created == 0 && partitions.seen == 0 {
            self.partitions.remove(&collection);
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

    /// How many collections there are, in whatever state.
    pub(super) fn number(&self) -> usize {
        self.keys.len()
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

    /// The collections that are being made or dropped.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = CollectionId> {
        self.unfinished.iter().copied()
    }

    /// The partitions with keys of their own that are being made or dropped, of any collection.
    pub(super) fn unfinished_partitions(&self) -> impl Iterator<Item = (CollectionId, PartitionId)> {
        self.unfinished_partitions.iter().copied()
    }

    /// How many partitions everybody sees.
    pub(super) fn seen_partitions(&self) -> usize {
        self.seen_partitions
    }

    /// The physical channels, and how many collections use each, in whatever state.
    pub(super) fn channels(&self) -> impl Iterator<Item = (&str, usize)> {
        self.channels.iter().map(|(name, users)| (name.as_str(), *users))
    }

    /// Where each alias of a collection is stored, and its name.
    pub(super) fn aliases(&self, collection: CollectionId) -> impl Iterator<Item = &(AliasHome, String)> {
        self.aliases.get(&collection).into_iter().flatten()
    }
}
