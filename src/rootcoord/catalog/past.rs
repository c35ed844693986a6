//! What was there at an earlier time, as Milvus 2.3.5 answers it: a collection that is there and
//! was made by then is told as it is *now*; any other by the version that its keys hold for
//! that time. Nothing is kept of what was dropped longer ago than [`KEPT`](super::KEPT).

use milvus_proto::schema::FieldSchema;
use prost::Message as _;

use super::{
    Catalog, Database,
    decode::{Stored, in_order},
};
use crate::{
    ids::{CollectionId, DbId, FieldId, PartitionId},
    rootcoord::{
        error::{DdlError, NoCollection},
        history::{Content, History},
        keys::{DEFAULT_DB, Object},
        model::{Collection, Field, State},
    },
    tso::hybrid::Timestamp,
};

/// A collection at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// With its fields.
    pub collection: Collection,
    /// How many partitions everybody saw, or how many there were.
    pub partitions: usize,
}

impl Catalog {
    /// A collection as it is now. `hidden`: with the partitions that nobody sees.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    pub fn present(&self, record: &Collection, hidden: bool) -> Result<Past, DdlError> {
        let partitions = if hidden {
            self.partitions(record.id).count()
        } else {
            self.visible_partitions(record.id).count()
        };
        Ok(Past { collection: self.complete(record)?, partitions })
    }

    /// What a name stood for at `ts`; what it stands for now comes first.
    ///
    /// # Errors
    /// There was none, or it can't be decoded.
    pub fn past_by_name(&self, db: &str, name: &str, ts: Timestamp) -> Result<Past, DdlError> {
        let unknown = || DdlError::NoDatabase(db.to_owned());
        let database = self.named(db).ok_or_else(unknown)?;
        if let Some(id) = self.named_id(database.id, name) {
            return self.past_by_id(db, id, ts, false);
        }
        let called = |(_, stored): &(DbId, &Stored)| stored.collection.name == name;
        let mut found = None;
        for (key, stored) in self.versions_of(database.id, ts).filter(called) {
            if stored.collection.state == State::Created {
                return self.version(key, stored, ts, false);
            }
            found = Some(stored);
        }
        Err(DdlError::NoCollection(match found {
            Some(_) => NoCollection::Name { db: db.to_owned(), name: name.to_owned() },
            None => NoCollection::AsOf { ts, db: database.id, name: name.to_owned() },
        }))
    }

    /// A collection at `ts`. `hidden`: also one that was half made or half gone.
    ///
    /// # Errors
    /// There was none, or it can't be decoded.
    pub fn past_by_id(
        &self,
        db: &str,
        id: CollectionId,
        ts: Timestamp,
        hidden: bool,
    ) -> Result<Past, DdlError> {
        if let Some(record) = self.visible(id).filter(|record| record.created <= ts) {
            return self.present(record, hidden);
        }
        let database = self.named(db).ok_or_else(|| DdlError::NoDatabase(db.to_owned()))?;
        let older = (database.id == DEFAULT_DB).then_some(DbId(0));
        let mut why = String::new();
        for key in [database.id].into_iter().chain(older) {
            match self.stored_at(key, id, ts) {
                Ok(stored) if hidden || stored.collection.state == State::Created => {
                    return self.version(key, stored, ts, hidden);
                }
                Ok(stored) => {
                    let name = stored.collection.name.clone();
                    return Err(NoCollection::NotSeen { db: db.to_owned(), name }.into());
                }
                Err(missing) => why = missing,
            }
        }
        Err(NoCollection::NotStored { why, id }.into())
    }

    /// The collections of a database that everybody saw at `ts`, by the names that they had.
    ///
    /// # Errors
    /// There is no such database.
    pub fn past_collections(&self, db: &str, ts: Timestamp) -> Result<Vec<&Collection>, DdlError> {
        let database: &Database = self.named(db).ok_or_else(|| DdlError::NoDatabase(db.to_owned()))?;
        let versions = self.versions_of(database.id, ts).map(|(_, stored)| &stored.collection);
        Ok(versions.filter(|collection| collection.state == State::Created).collect())
    }

    /// Milvus looks below the database's own keys only: not at those of before there were databases.
    fn versions_of(&self, db: DbId, ts: Timestamp) -> impl Iterator<Item = (DbId, &Stored)> {
        let all = (db, CollectionId(i64::MIN))..=(db, CollectionId(i64::MAX));
        self.state.collections.range(all).filter_map(move |((db, _), history)| Some((*db, is(history, ts)?)))
    }

    /// Or why there is nothing, in the words of Milvus's storage.
    fn stored_at(&self, db: DbId, id: CollectionId, ts: Timestamp) -> Result<&Stored, String> {
        let Some(history) = self.state.collections.get(&(db, id)) else {
            return Err(format!("key not found[key={}]", self.keys.plain(&Object::Collection(db, id))));
        };
        let newest = history.newest().map(|newest| newest.ts);
        is(history, ts).ok_or_else(|| {
            let dropped_since = history.at(ts).is_some() && newest.is_some_and(|newest| newest > ts);
            if dropped_since { "not value found" } else { "no value found" }.to_owned()
        })
    }

    /// A version of a collection with what belonged to it then.
    fn version(&self, db: DbId, stored: &Stored, ts: Timestamp, hidden: bool) -> Result<Past, DdlError> {
        let collection = &stored.collection;
        let counts = |state: State| hidden || state == State::Created;
        if let Some(inline) = &stored.inline {
            let partitions = inline.iter().filter(|partition| counts(partition.state)).count();
            return Ok(Past { collection: collection.clone(), partitions });
        }
        let id = collection.id;
        let all = (id, PartitionId(i64::MIN))..=(id, PartitionId(i64::MAX));
        let partitions = self.state.partitions.range(all).filter_map(|(_, history)| is(history, ts));
        let partitions = partitions.filter(|partition| counts(partition.state)).count();
        let mut fields: Vec<Field> = Vec::new();
        for ((_, field), history) in
            self.state.fields.range((id, FieldId(i64::MIN))..=(id, FieldId(i64::MAX)))
        {
            let Some(version) = history.at(ts) else { continue };
            match &version.content {
                Content::Is(value) => {
                    // Looked at when it came in.
                    let decoded = FieldSchema::decode(&**value).unwrap_or_default();
                    fields.push(FieldSchema { field_id: field.0, ..decoded });
                }
                Content::Dropped => {}
                Content::Undecodable => {
                    let key = self.keys.snapshot(&Object::Field(id, *field), version.ts);
                    return Err(DdlError::Undecodable { key });
                }
            }
        }
        debug_assert_eq!(collection.db, db, "the database in the key counts");
        let collection = Collection { fields: in_order(fields).into(), ..collection.clone() };
        Ok(Past { collection, partitions })
    }
}

/// What an object was at `ts`, if it was there and can be decoded.
fn is<T>(history: &History<T>, ts: Timestamp) -> Option<&T> {
    match &history.at(ts)?.content {
        Content::Is(value) => Some(value),
        Content::Dropped | Content::Undecodable => None,
    }
}

#[cfg(test)]
mod tests {
    use milvus_proto::{
        etcd::{CollectionInfo, CollectionState, PartitionInfo},
        schema::CollectionSchema,
    };

    use super::*;
    use crate::{
        etcd::{mirror::MirrorEvent, txn::KeyValue},
        ids::Revision,
        rootcoord::keys::{Keys, TOMBSTONE},
    };

    struct Bed {
        catalog: Catalog,
        revision: i64,
    }

    impl Bed {
        /// With the default database.
        fn new() -> Self {
            let mut bed = Self { catalog: Catalog::new(Keys::new("by-dev/meta", "by-dev/kv")), revision: 0 };
            let default =
                crate::rootcoord::catalog::encode_database(DEFAULT_DB, "default", crate::clock::UnixNanos(1));
            bed.put(&Object::Database(DEFAULT_DB), 1, default);
            bed
        }

        fn put(&mut self, object: &Object, ts: u64, value: impl Into<Vec<u8>>) {
            self.revision += 1;
            let key = self.catalog.keys().snapshot(object, Timestamp(ts));
            let mod_revision = Revision(self.revision);
            let kv = KeyValue { key, value: value.into(), mod_revision, ..KeyValue::default() };
            self.catalog.event(&MirrorEvent::Put(kv));
        }

        /// Collection 5, created at 10, at `ts`.
        fn is(&mut self, ts: u64, name: &str, state: CollectionState) {
            let info = CollectionInfo {
                id: 5,
                schema: Some(CollectionSchema { name: name.to_owned(), ..CollectionSchema::default() }),
                create_time: 10,
                state: state.into(),
                ..CollectionInfo::default()
            };
            self.put(&Object::Collection(DEFAULT_DB, CollectionId(5)), ts, info.encode_to_vec());
        }

        fn part(&mut self, ts: u64, partition: i64, value: Option<&str>) {
            let info = value.map(|name| PartitionInfo {
                partition_id: partition,
                partition_name: name.to_owned(),
                collection_id: 5,
                ..PartitionInfo::default()
            });
            let value = info.map_or_else(|| TOMBSTONE.to_vec(), |info| info.encode_to_vec());
            self.put(&Object::Partition(CollectionId(5), PartitionId(partition)), ts, value);
        }

        fn field(&mut self, ts: u64, field_id: i64) {
            let field = FieldSchema { field_id, name: format!("f{field_id}"), ..FieldSchema::default() };
            self.put(&Object::Field(CollectionId(5), FieldId(field_id)), ts, field.encode_to_vec());
        }

        /// Its name, fields and partitions then, or the words.
        fn by_name(&self, name: &str, ts: u64) -> Result<(String, usize, usize), String> {
            let found = self.catalog.past_by_name("", name, Timestamp(ts));
            let told = |past: Past| (past.collection.name, past.collection.fields.len(), past.partitions);
            found.map(told).map_err(|error| error.to_string())
        }

        fn shown(&self, ts: u64) -> Vec<&str> {
            let shown = self.catalog.past_collections("", Timestamp(ts)).expect("default is there");
            shown.iter().map(|collection| collection.name.as_str()).collect()
        }
    }

    use CollectionState::{CollectionCreated as Created, CollectionDropping as Dropping};

    #[test]
    fn what_is_there_is_told_as_it_is_now_and_not_before_it_was() {
        let mut bed = Bed::new();
        bed.is(10, "a", Created);
        bed.part(10, 50, Some("_default"));
        bed.field(10, 100);
        bed.is(30, "b", Created);
        bed.part(30, 51, Some("p"));
        assert_eq!(bed.by_name("b", 20), Ok(("b".to_owned(), 1, 2)));
        assert_eq!(bed.by_name("a", 20), Ok(("a".to_owned(), 1, 1)), "by its old name as it was");
        let missing = "key not found[key=by-dev/meta/root-coord/collection/5]: \
                       collection not found[collection=5]";
        assert_eq!(bed.by_name("b", 9), Err(missing.to_owned()));
        let never = "timestamp = 20: collection not found[database=1][collection=c]";
        assert_eq!(bed.by_name("c", 20), Err(never.to_owned()));
        assert_eq!((bed.shown(9), bed.shown(20), bed.shown(30)), (vec![], vec!["a"], vec!["b"]));
    }

    #[test]
    fn what_was_dropped_is_told_as_it_was() {
        let mut bed = Bed::new();
        bed.is(10, "a", Created);
        bed.part(10, 50, Some("_default"));
        bed.part(20, 51, Some("p"));
        bed.field(10, 100);
        bed.is(30, "a", Dropping);
        assert_eq!(bed.by_name("a", 15), Ok(("a".to_owned(), 1, 1)), "while it is being dropped");
        let half_gone = "a: collection not found[collection=]".to_owned();
        assert_eq!(bed.by_name("a", 30), Err(half_gone));
        bed.put(&Object::Collection(DEFAULT_DB, CollectionId(5)), 30, TOMBSTONE);
        bed.part(30, 50, None);
        bed.part(30, 51, None);
        bed.put(&Object::Field(CollectionId(5), FieldId(100)), 30, TOMBSTONE);
        assert_eq!(bed.by_name("a", 29), Ok(("a".to_owned(), 1, 2)), "and afterwards");
        let gone = "timestamp = 30: collection not found[database=1][collection=a]".to_owned();
        assert_eq!(bed.by_name("a", 30), Err(gone));
        let by_id = |ts| bed.catalog.past_by_id("", CollectionId(5), Timestamp(ts), false);
        assert_eq!(by_id(29).expect("there").collection.name, "a");
        assert_eq!(
            by_id(30).expect_err("gone").to_string(),
            "key not found[key=by-dev/meta/root-coord/collection/5]: collection not found[collection=5]"
        );
        assert_eq!((bed.shown(29), bed.shown(30)), (vec!["a"], vec![]));
        let nowhere = bed.catalog.past_collections("nowhere", Timestamp(5)).expect_err("unknown");
        assert_eq!(nowhere.to_string(), "database:nowhere not found");
    }
}
