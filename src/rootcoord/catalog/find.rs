//! Questions to the catalog about collections, partitions and aliases.

use milvus_proto::schema::FieldSchema;
use prost::Message as _;

use super::{Catalog, Database, decode::in_order, index::home, state::live};
use crate::{
    ids::{CollectionId, DbId, FieldId, PartitionId},
    rootcoord::{
        error::{DdlError, NoCollection},
        history::Content,
        keys::{AliasHome, DEFAULT_DB, DEFAULT_DB_NAME, Object},
        model::{Alias, Collection, Partition, State},
    },
};

impl Catalog {
    /// The database that a request names; no name means the default one.
    pub fn named(&self, name: &str) -> Option<&Database> {
        self.database(if name.is_empty() { DEFAULT_DB_NAME } else { name })
    }

    /// A collection in whatever state, perhaps without its fields: see [`complete`](Self::complete).
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
        match self.named_id(db.id, name) {
            Some(id) => self.visible(id).ok_or(NoCollection::Id(id)),
            None => Err(NoCollection::Name { db: db.name.clone(), name: name.to_owned() }),
        }
    }

    /// The collection that a name leads to, perhaps to one that is being dropped.
    pub(super) fn named_id(&self, db: DbId, name: &str) -> Option<CollectionId> {
        self.alias(db, name)
            .map(|alias| alias.collection)
            .or_else(|| self.state.index.created(db, name))
            .or_else(|| self.state.index.dropping(db, name))
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
        if self.inline_partitions(record.id).is_some() {
            return Ok(record.clone());
        }
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
        Ok(Collection { fields: in_order(fields).into(), ..record.clone() })
    }

    /// The fields that lie in keys of their own.
    pub fn stored_fields(&self, collection: CollectionId) -> impl Iterator<Item = FieldId> {
        let (first, last) = ((collection, FieldId(i64::MIN)), (collection, FieldId(i64::MAX)));
        let stored = self.state.fields.range(first..=last);
        stored.filter(|(_, history)| live(history).is_some()).map(|((_, field), _)| *field)
    }

    /// All partitions of a collection in whatever state, by id.
    pub fn partitions(&self, collection: CollectionId) -> impl Iterator<Item = &Partition> {
        let inline = self.inline_partitions(collection);
        let stored = inline.is_none().then(|| self.stored_partitions(collection));
        inline.unwrap_or_default().iter().chain(stored.into_iter().flatten())
    }

    /// The partitions that lie in keys of their own, by id.
    pub fn stored_partitions(&self, collection: CollectionId) -> impl Iterator<Item = &Partition> {
        let (first, last) = ((collection, PartitionId(i64::MIN)), (collection, PartitionId(i64::MAX)));
        self.state.partitions.range(first..=last).filter_map(|(_, history)| live(history))
    }

    /// Those that everybody sees.
    pub fn visible_partitions(&self, collection: CollectionId) -> impl Iterator<Item = &Partition> {
        self.partitions(collection).filter(|partition| partition.state == State::Created)
    }

    /// The partitions of a collection whose own value holds them and its fields, as a Milvus
    /// before 2.2 wrote it.
    pub fn inline_partitions(&self, collection: CollectionId) -> Option<&[Partition]> {
        let db = self.state.index.database_of(collection)?;
        live(self.state.collections.get(&(db, collection))?)?.inline.as_deref()
    }

    /// An alias of a database.
    pub fn alias(&self, db: DbId, name: &str) -> Option<&Alias> {
        Self::alias_homes(db).find_map(|home| self.alias_stored_in(home, name))
    }

    /// Where an alias of a database may be stored. In the default one there are three places: of
    /// several that have it, the first counts, as in Milvus.
    pub fn alias_homes(db: DbId) -> impl Iterator<Item = AliasHome> {
        let is_default = db == DEFAULT_DB;
        let older = is_default.then_some(AliasHome::NoDatabase);
        let oldest = is_default.then_some(AliasHome::AsCollection);
        older.into_iter().chain([AliasHome::Database(db)]).chain(oldest)
    }

    /// What is stored of an alias in one place.
    pub fn alias_stored_in(&self, home: AliasHome, name: &str) -> Option<&Alias> {
        live(self.state.aliases.get(&(home, name.to_owned()))?)
    }

    /// All aliases of a collection, by name.
    pub fn aliases_of(&self, collection: CollectionId) -> impl Iterator<Item = &str> {
        self.state.index.aliases(collection).map(|(_, name)| name.as_str())
    }

    /// Where each alias of a collection is stored, and its name.
    pub fn alias_keys_of(&self, collection: CollectionId) -> impl Iterator<Item = &(AliasHome, String)> {
        self.state.index.aliases(collection)
    }

    /// The collections of a database that everybody sees.
    pub fn collections(&self, db: DbId) -> impl Iterator<Item = &Collection> {
        self.state.index.all_created(db).filter_map(|id| self.visible(id))
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
        self.state.index.seen_partitions()
    }

    /// The collections that are being made or dropped.
    pub fn unfinished(&self) -> impl Iterator<Item = &Collection> {
        self.state.index.unfinished().filter_map(|id| self.record(id))
    }

    /// The partitions that are being made or dropped in collections that everybody sees.
    pub fn unfinished_partitions(&self) -> impl Iterator<Item = &Partition> {
        let seen = self.state.index.unfinished_partitions().filter(|(collection, _)| {
            self.visible(*collection).is_some() && self.inline_partitions(*collection).is_none()
        });
        seen.filter_map(|key| live(self.state.partitions.get(&key)?))
    }

    /// The physical channels, and how many collections in whatever state use each.
    pub fn channels(&self) -> impl Iterator<Item = (&str, usize)> {
        self.state.index.channels()
    }

    /// How many collections there are in whatever state.
    pub fn number_of_collections(&self) -> usize {
        self.state.index.number()
    }
}
