//! Questions to the catalog about collections, partitions and aliases.

use milvus_proto::schema::FieldSchema;
use prost::Message as _;

use super::{Catalog, Database, decode::in_order, index::home, state::live};
use crate::{
    ids::{CollectionId, DbId, FieldId, PartitionId},
    rootcoord::{
        error::{DdlError, NoCollection},
        history::Content,
        keys::{DEFAULT_DB_NAME, Object},
        model::{Alias, Collection, Partition, State},
    },
};

impl Catalog {
    /// The database that a request names; no name means the default one.
    pub fn named(&self, name: &str) -> Option<&Database> {
        self.database(if name.is_empty() { DEFAULT_DB_NAME } else { name })
    }

    /// A collection in whatever state, without its fields unless an old release wrote it.
    pub fn record(&self, id: CollectionId) -> Option<&Collection> {
        let db = self.state.index.database_of(id)?;
        live(self.state.collections.get(&(db, id))?).map(|stored| &stored.collection)
    }

    /// A collection that everybody sees, as [`record`](Self::record).
    pub fn visible(&self, id: CollectionId) -> Option<&Collection> {
        self.record(id).filter(|collection| collection.state == State::Created)
    }

    /// What a name stands for in a database, an alias before a collection; as [`record`](Self::record).
    ///
    /// # Errors
    /// [`NoCollection`], worded for readers.
    pub fn lookup(&self, db: &Database, name: &str) -> Result<&Collection, NoCollection> {
        let id = self
            .alias(db.id, name)
            .map(|alias| alias.collection)
            .or_else(|| self.state.index.created(db.id, name))
            .or_else(|| self.state.index.dropping(db.id, name));
        match id {
            Some(id) => self.visible(id).ok_or(NoCollection::Id(id)),
            None => Err(NoCollection::Name { db: db.name.clone(), name: name.to_owned() }),
        }
    }

    /// The collection that has that name itself and is seen by everybody.
    pub fn own_name(&self, db: DbId, name: &str) -> Option<&Collection> {
        self.visible(self.state.index.created(db, name)?)
    }

    /// With its fields.
    ///
    /// # Errors
    /// The key of a field that can't be decoded.
    pub fn complete(&self, record: &Collection) -> Result<Collection, DdlError> {
        let first = (record.id, FieldId(i64::MIN));
        let last = (record.id, FieldId(i64::MAX));
        let mut fields = Vec::new();
        for ((collection, field), history) in self.state.fields.range(first..=last) {
            let Some(newest) = history.newest() else { continue };
            match &newest.content {
                Content::Is(value) => {
                    // Looked at when it came in.
                    let decoded = FieldSchema::decode(&**value).unwrap_or_default();
                    fields.push(FieldSchema { field_id: field.0, ..decoded });
                }
                Content::Dropped => {}
                Content::Undecodable => {
                    let key = self.keys.snapshot(&Object::Field(*collection, *field), newest.ts);
                    return Err(DdlError::Undecodable { key });
                }
            }
        }
        let fields = if fields.is_empty() { record.fields.clone() } else { in_order(fields).into() };
        Ok(Collection { fields, ..record.clone() })
    }

    /// The fields that lie in keys of their own.
    pub fn stored_fields(&self, collection: CollectionId) -> impl Iterator<Item = FieldId> {
        let (first, last) = ((collection, FieldId(i64::MIN)), (collection, FieldId(i64::MAX)));
        let stored = self.state.fields.range(first..=last);
        stored.filter(|(_, history)| live(history).is_some()).map(|((_, field), _)| *field)
    }

    /// All partitions of a collection in whatever state, by id.
    pub fn partitions(&self, collection: CollectionId) -> impl Iterator<Item = &Partition> {
        let (first, last) = ((collection, PartitionId(i64::MIN)), (collection, PartitionId(i64::MAX)));
        let stored = self.state.partitions.range(first..=last);
        let inline = self.inline_partitions(collection);
        let replaced =
            move |partition: &&Partition| !self.state.partitions.contains_key(&(collection, partition.id));
        inline.iter().filter(replaced).chain(stored.filter_map(|(_, history)| live(history)))
    }

    /// Those that everybody sees.
    pub fn visible_partitions(&self, collection: CollectionId) -> impl Iterator<Item = &Partition> {
        self.partitions(collection).filter(|partition| partition.state == State::Created)
    }

    /// What old releases put into the collection's own value.
    fn inline_partitions(&self, collection: CollectionId) -> &[Partition] {
        let stored = self.state.index.database_of(collection);
        let stored = stored.and_then(|db| live(self.state.collections.get(&(db, collection))?));
        stored.map_or(&[], |stored| &stored.partitions)
    }

    /// An alias of a database.
    pub fn alias(&self, db: DbId, name: &str) -> Option<&Alias> {
        self.alias_keys(db, name).find_map(|(db, name)| live(self.state.aliases.get(&(db, name))?))
    }

    /// Where an alias of a database may be stored: in the default one, two places.
    pub fn alias_keys(&self, db: DbId, name: &str) -> impl Iterator<Item = (DbId, String)> + use<> {
        let old = (home(DbId(0)) == db).then_some(DbId(0));
        let name = name.to_owned();
        std::iter::once(db).chain(old).map(move |db| (db, name.clone()))
    }

    /// Whether there is something under that key of an alias.
    pub fn alias_is_stored(&self, db: DbId, name: &str) -> bool {
        self.state.aliases.get(&(db, name.to_owned())).and_then(live).is_some()
    }

    /// All aliases of a collection, by name.
    pub fn aliases_of(&self, collection: CollectionId) -> impl Iterator<Item = &str> {
        self.state.index.aliases(collection).map(|(_, name)| name.as_str())
    }

    /// The keys of all aliases of a collection: database and name.
    pub fn alias_keys_of(&self, collection: CollectionId) -> impl Iterator<Item = &(DbId, String)> {
        self.state.index.aliases(collection)
    }

    /// The collections of a database that everybody sees.
    pub fn collections(&self, db: DbId) -> impl Iterator<Item = &Collection> {
        self.state.index.all_created(db).filter_map(|id| self.visible(id))
    }

    /// All collections in whatever state.
    pub fn all_collections(&self) -> impl Iterator<Item = &Collection> {
        self.state.collections.values().filter_map(|history| Some(&live(history)?.collection))
    }

    /// Whether a collection that everybody sees is in the database.
    ///
    /// # Errors
    /// The key of a collection there whose state is not known.
    pub fn holds_created(&self, database: DbId) -> Result<bool, String> {
        if self.state.index.created_in(database) > 0 {
            return Ok(true);
        }
        for ((db, collection), history) in &self.state.collections {
            let Some(newest) = history.newest().filter(|_| home(*db) == database) else { continue };
            if newest.content == Content::Undecodable {
                return Err(self.keys.snapshot(&Object::Collection(*db, *collection), newest.ts));
            }
        }
        Ok(false)
    }

    /// How many collections of a database everybody sees.
    pub fn created_in(&self, database: DbId) -> usize {
        self.state.index.created_in(database)
    }

    /// How many collections everybody sees.
    pub fn created_collections(&self) -> usize {
        self.state.index.created_everywhere()
    }

    /// How many partitions everybody sees.
    pub fn created_partitions(&self) -> usize {
        let stored = self.state.partitions.values().filter_map(live);
        stored.filter(|partition| partition.state == State::Created).count()
    }
}
