//! Every etcd key that rootcoord reads or writes.
//!
//! | key | value | written by |
//! |---|---|---|
//! | `<kv>/gid/timestamp`, `<kv>/gid/idTimestamp` | 8 bytes: end of the window | the ACTIVE one |
//! | `<meta>/root-coord/database/db-info/<db>` | `DatabaseInfo` or tombstone: the newest | the ACTIVE one |
//! | `<meta>/snapshots/root-coord/database/db-info/<db>_ts<ts>` | the same, its history | the ACTIVE one, in the same transaction |
//! | `<meta>/snapshots/root-coord/database/collection-info/<db>/<collection>_ts<ts>` | `CollectionInfo` or tombstone | the ACTIVE one |
//! | `<meta>/snapshots/root-coord/partitions/<collection>/<partition>_ts<ts>` | `PartitionInfo` or tombstone | the ACTIVE one |
//! | `<meta>/snapshots/root-coord/fields/<collection>/<field>_ts<ts>` | `FieldSchema` or tombstone | the ACTIVE one |
//! | `<meta>/snapshots/root-coord/database/aliases/<db>/<alias>_ts<ts>` | `AliasInfo` or tombstone | the ACTIVE one |
//! | `<meta>/snapshots/root-coord/collection/<collection>_ts<ts>` | `CollectionInfo`, of before there were databases | old releases |
//! | `<meta>/snapshots/root-coord/aliases/<alias>_ts<ts>` | `AliasInfo`, of before there were databases | old releases |
//! | `<meta>/snapshots/root-coord/collection-alias/<alias>_ts<ts>` | `CollectionInfo` with the collection's id and the alias as name | releases older still |
//! | `<kv>/milvus-coord/requests/<what>/<source>/<message>/<ts>` | JSON: name and task timestamp | the ACTIVE one; Milvus ignores it |
//!
//! Each of these but requests also has a plain key, `<meta>/root-coord/…` without the time, that
//! holds the newest value and is put in the same transaction.
//!
//! Builders and parsers are each other's inverse. Nothing else may be put below
//! `<meta>/snapshots/` and `<meta>/root-coord/`: a Milvus coordinator that finds a
//! key there that it can't parse does not start.

use crate::{
    etcd::mirror::KeyRange,
    ids::{CollectionId, DbId, FieldId, PartitionId},
    tso::hybrid::Timestamp,
};

/// The value that says "dropped": U+26FC.
pub const TOMBSTONE: &[u8] = &[0xE2, 0x9B, 0xBC];

/// The database that always exists.
pub const DEFAULT_DB: DbId = DbId(1);

/// Its name.
pub const DEFAULT_DB_NAME: &str = "default";

const SNAPSHOTS: &str = "snapshots/";
const DATABASE: &str = "root-coord/database/db-info/";
const COLLECTION: &str = "root-coord/database/collection-info/";
const OLD_COLLECTION: &str = "root-coord/collection/";
const PARTITION: &str = "root-coord/partitions/";
const FIELD: &str = "root-coord/fields/";
const ALIAS: &str = "root-coord/database/aliases/";
const OLD_ALIAS: &str = "root-coord/aliases/";
const OLDEST_ALIAS: &str = "root-coord/collection-alias/";
const REQUEST: &str = "milvus-coord/requests/";
const SEPARATOR: &str = "_ts";

/// Something with a history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A database.
    Database(DbId),
    /// A collection; in database 0 if it was made before there were databases.
    Collection(DbId, CollectionId),
    /// A partition.
    Partition(CollectionId, PartitionId),
    /// A field of a collection.
    Field(CollectionId, FieldId),
    /// Another name of a collection.
    Alias(AliasHome, String),
}

/// Where an alias is stored. What is in no database belongs to the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AliasHome {
    /// In a database.
    Database(DbId),
    /// Where it was before there were databases.
    NoDatabase,
    /// Where it was in releases older still, in the form of a collection.
    AsCollection,
}

/// What can't be told from its effect that it was carried out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Repeatable {
    /// Creating a database.
    CreateDatabase,
    /// Renaming a collection.
    RenameCollection,
}

impl Repeatable {
    const ALL: [Self; 2] = [Self::CreateDatabase, Self::RenameCollection];

    fn name(self) -> &'static str {
        match self {
            Self::CreateDatabase => "create-database",
            Self::RenameCollection => "rename-collection",
        }
    }
}

/// By what a repetition of a request is known: the proxy gives each request its own
/// message id and timestamp, and repeats them when its client code calls again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// What is asked for.
    pub what: Repeatable,
    /// The proxy.
    pub source: i64,
    /// Its task.
    pub message: i64,
    /// The task's own timestamp.
    pub timestamp: u64,
}

/// A key taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The end of the timestamp window.
    TimestampWindow,
    /// The end of the id window.
    IdWindow,
    /// The newest value of an object.
    Plain(Object),
    /// The value that an object got at that time.
    Snapshot(Object, Timestamp),
    /// A request that was carried out lately.
    Request(RequestId),
}

/// The keys below one pair of prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// With a slash at the end.
    meta: String,
    kv: String,
}

impl Keys {
    /// `meta` and `kv` are the full paths without a slash at the end: `by-dev/meta`, `by-dev/kv`.
    pub fn new(meta: &str, kv: &str) -> Self {
        Self { meta: format!("{meta}/"), kv: format!("{kv}/") }
    }

    /// The end of the timestamp window.
    pub fn timestamp_window(&self) -> String {
        format!("{}gid/timestamp", self.kv)
    }

    /// The end of the id window.
    pub fn id_window(&self) -> String {
        format!("{}gid/idTimestamp", self.kv)
    }

    /// The newest value of an object.
    pub fn plain(&self, object: &Object) -> String {
        format!("{}{}", self.meta, path(object))
    }

    /// The value that an object got at `ts`.
    pub fn snapshot(&self, object: &Object, ts: Timestamp) -> String {
        format!("{}{SNAPSHOTS}{}{SEPARATOR}{ts}", self.meta, path(object))
    }

    /// The memory of a request.
    pub fn request(&self, id: RequestId) -> String {
        let RequestId { what, source, message, timestamp } = id;
        format!("{}{REQUEST}{}/{source}/{message}/{timestamp}", self.kv, what.name())
    }

    /// What a key means; `None` if it isn't one of these.
    pub fn parse(&self, key: &str) -> Option<Key> {
        if let Some(rest) = key.strip_prefix(&self.meta) {
            return match rest.strip_prefix(SNAPSHOTS) {
                Some(rest) => {
                    let (path, ts) = rest.rsplit_once(SEPARATOR)?;
                    Some(Key::Snapshot(object(path)?, Timestamp(number(ts)?)))
                }
                None => object(rest).map(Key::Plain),
            };
        }
        match key.strip_prefix(&self.kv)? {
            "gid/timestamp" => Some(Key::TimestampWindow),
            "gid/idTimestamp" => Some(Key::IdWindow),
            rest => {
                let mut parts = rest.strip_prefix(REQUEST)?.split('/');
                let what = parts.next()?;
                let id = RequestId {
                    what: Repeatable::ALL.into_iter().find(|known| known.name() == what)?,
                    source: number(parts.next()?)?,
                    message: number(parts.next()?)?,
                    timestamp: number(parts.next()?)?,
                };
                parts.next().is_none().then_some(Key::Request(id))
            }
        }
    }

    /// What the mirror shall keep. Plain keys but those of databases are left out: a load
    /// reads histories only, as Milvus's own does.
    pub fn ranges(&self) -> Vec<KeyRange> {
        let (meta, kv) = (&self.meta, &self.kv);
        let mut ranges: Vec<_> = [
            format!("{meta}{DATABASE}"),
            format!("{meta}{SNAPSHOTS}{DATABASE}"),
            format!("{meta}{SNAPSHOTS}{COLLECTION}"),
            format!("{meta}{SNAPSHOTS}{OLD_COLLECTION}"),
            format!("{meta}{SNAPSHOTS}{PARTITION}"),
            format!("{meta}{SNAPSHOTS}{FIELD}"),
            format!("{meta}{SNAPSHOTS}{ALIAS}"),
            format!("{meta}{SNAPSHOTS}{OLD_ALIAS}"),
            format!("{meta}{SNAPSHOTS}{OLDEST_ALIAS}"),
            format!("{kv}{REQUEST}"),
        ]
        .iter()
        .map(|prefix| KeyRange::prefix(prefix))
        .collect();
        ranges.push(KeyRange::key(&self.timestamp_window()));
        ranges.push(KeyRange::key(&self.id_window()));
        ranges
    }
}

fn path(object: &Object) -> String {
    match object {
        Object::Database(db) => format!("{DATABASE}{db}"),
        Object::Collection(DbId(0), collection) => format!("{OLD_COLLECTION}{collection}"),
        Object::Collection(db, collection) => format!("{COLLECTION}{db}/{collection}"),
        Object::Partition(collection, partition) => format!("{PARTITION}{collection}/{partition}"),
        Object::Field(collection, field) => format!("{FIELD}{collection}/{field}"),
        Object::Alias(AliasHome::Database(db), alias) => format!("{ALIAS}{db}/{alias}"),
        Object::Alias(AliasHome::NoDatabase, alias) => format!("{OLD_ALIAS}{alias}"),
        Object::Alias(AliasHome::AsCollection, alias) => format!("{OLDEST_ALIAS}{alias}"),
    }
}

fn object(path: &str) -> Option<Object> {
    if let Some(db) = path.strip_prefix(DATABASE) {
        return Some(Object::Database(DbId(number(db)?)));
    }
    if let Some(collection) = path.strip_prefix(OLD_COLLECTION) {
        return Some(Object::Collection(DbId(0), CollectionId(number(collection)?)));
    }
    if let Some(partition) = path.strip_prefix(PARTITION) {
        let (collection, partition) = partition.split_once('/')?;
        return Some(Object::Partition(CollectionId(number(collection)?), PartitionId(number(partition)?)));
    }
    if let Some(field) = path.strip_prefix(FIELD) {
        let (collection, field) = field.split_once('/')?;
        return Some(Object::Field(CollectionId(number(collection)?), FieldId(number(field)?)));
    }
    if let Some(alias) = path.strip_prefix(OLD_ALIAS) {
        return Some(Object::Alias(AliasHome::NoDatabase, alias.to_owned()));
    }
    if let Some(alias) = path.strip_prefix(OLDEST_ALIAS) {
        return Some(Object::Alias(AliasHome::AsCollection, alias.to_owned()));
    }
    if let Some(alias) = path.strip_prefix(ALIAS) {
        let (db, alias) = alias.split_once('/')?;
        return Some(Object::Alias(AliasHome::Database(DbId(number(db)?)), alias.to_owned()));
    }
    let (db, collection) = path.strip_prefix(COLLECTION)?.split_once('/')?;
    let db = number(db).filter(|&db: &i64| db != 0)?;
    Some(Object::Collection(DbId(db), CollectionId(number(collection)?)))
}

/// A number in the one form in which it is written.
fn number<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        Keys::new("by-dev/meta", "by-dev/kv")
    }

    fn build(keys: &Keys, key: &Key) -> String {
        match key {
            Key::TimestampWindow => keys.timestamp_window(),
            Key::IdWindow => keys.id_window(),
            Key::Plain(object) => keys.plain(object),
            Key::Snapshot(object, ts) => keys.snapshot(object, *ts),
            Key::Request(id) => keys.request(*id),
        }
    }

    #[track_caller]
    fn check(key: Key, text: &str) {
        let keys = keys();
        let built = build(&keys, &key);
        assert_eq!(built, text);
        assert_eq!(keys.parse(text), Some(key));
    }

    #[test]
    fn keys_are_spelled_as_milvus_spells_them() {
        check(Key::TimestampWindow, "by-dev/kv/gid/timestamp");
        check(Key::IdWindow, "by-dev/kv/gid/idTimestamp");
        check(Key::Plain(Object::Database(DEFAULT_DB)), "by-dev/meta/root-coord/database/db-info/1");
        check(
            Key::Snapshot(Object::Database(DbId(470)), Timestamp(470_607_366_129_451_020)),
            "by-dev/meta/snapshots/root-coord/database/db-info/470_ts470607366129451020",
        );
        check(
            Key::Snapshot(Object::Collection(DEFAULT_DB, CollectionId(77)), Timestamp(5)),
            "by-dev/meta/snapshots/root-coord/database/collection-info/1/77_ts5",
        );
        check(
            Key::Snapshot(Object::Collection(DbId(0), CollectionId(77)), Timestamp(5)),
            "by-dev/meta/snapshots/root-coord/collection/77_ts5",
        );
        check(
            Key::Snapshot(Object::Partition(CollectionId(77), PartitionId(78)), Timestamp(5)),
            "by-dev/meta/snapshots/root-coord/partitions/77/78_ts5",
        );
        check(
            Key::Snapshot(Object::Field(CollectionId(77), FieldId(100)), Timestamp(5)),
            "by-dev/meta/snapshots/root-coord/fields/77/100_ts5",
        );
        check(
            Key::Snapshot(Object::Alias(AliasHome::Database(DEFAULT_DB), "a_ts/b".to_owned()), Timestamp(5)),
            "by-dev/meta/snapshots/root-coord/database/aliases/1/a_ts/b_ts5",
        );
        let old = |home| Key::Plain(Object::Alias(home, "old".to_owned()));
        check(old(AliasHome::NoDatabase), "by-dev/meta/root-coord/aliases/old");
        check(old(AliasHome::AsCollection), "by-dev/meta/root-coord/collection-alias/old");
        check(
            Key::Request(RequestId {
                what: Repeatable::CreateDatabase,
                source: 4,
                message: -1,
                timestamp: u64::MAX,
            }),
            "by-dev/kv/milvus-coord/requests/create-database/4/-1/18446744073709551615",
        );
    }

    #[test]
    fn other_keys_are_none_of_these() {
        for key in [
            "by-dev2/kv/gid/timestamp",
            "by-dev/kv/gid/timestamp2",
            "by-dev/meta/root-coord/database/db-info",
            "by-dev/meta/root-coord/database/db-info/",
            "by-dev/meta/root-coord/database/db-info/x",
            "by-dev/meta/root-coord/database/db-info/+1",
            "by-dev/meta/root-coord/database/db-info/01",
            "by-dev/meta/root-coord/database/db-info/1/2",
            "by-dev/meta/root-coord/collection-aliases/1",
            "by-dev/meta/snapshots/root-coord/database/db-info/1",
            "by-dev/meta/snapshots/root-coord/database/db-info/1_ts",
            "by-dev/meta/snapshots/root-coord/database/db-info/1_ts5_ts",
            "by-dev/meta/snapshots/root-coord/database/db-info/1_ts99999999999999999999",
            "by-dev/meta/snapshots/root-coord/database/collection-info/0/5_ts1",
            "by-dev/kv/milvus-coord/requests/create-database/1/2",
            "by-dev/kv/milvus-coord/requests/create-database/1/2/3/4",
            "by-dev/kv/milvus-coord/requests/something/1/2/3",
        ] {
            assert_eq!(keys().parse(key), None, "{key}");
        }
    }

    #[test]
    fn the_mirror_keeps_what_can_be_parsed_but_plain_keys_of_collections() {
        let keys = keys();
        let kept = |key: &str| keys.ranges().iter().any(|range| range.contains(key));
        let collection = Object::Collection(DbId(2), CollectionId(3));
        assert!(kept(&keys.timestamp_window()) && kept(&keys.id_window()));
        assert!(kept(&keys.plain(&Object::Database(DbId(2)))));
        assert!(kept(&keys.snapshot(&Object::Database(DbId(2)), Timestamp(9))));
        let alias = |home| Object::Alias(home, "other".to_owned());
        for object in [
            collection,
            Object::Field(CollectionId(3), FieldId(100)),
            alias(AliasHome::Database(DbId(2))),
            alias(AliasHome::NoDatabase),
            alias(AliasHome::AsCollection),
        ] {
            assert!(kept(&keys.snapshot(&object, Timestamp(9))) && !kept(&keys.plain(&object)));
        }
        assert!(kept(&keys.request(RequestId {
            what: Repeatable::RenameCollection,
            source: 1,
            message: 2,
            timestamp: 3
        })));
        assert!(!kept("by-dev/kv/gid/timestamps") && !kept("by-dev/meta/session/rootcoord"));
    }

    fn any_home() -> impl Strategy<Value = AliasHome> {
        prop_oneof![
            any::<i64>().prop_map(|db| AliasHome::Database(DbId(db))),
            Just(AliasHome::NoDatabase),
            Just(AliasHome::AsCollection),
        ]
    }

    fn any_object() -> impl Strategy<Value = Object> {
        prop_oneof![
            any::<i64>().prop_map(|db| Object::Database(DbId(db))),
            (any::<i64>(), any::<i64>()).prop_map(|(db, id)| Object::Collection(DbId(db), CollectionId(id))),
            any::<i64>().prop_map(|id| Object::Collection(DbId(0), CollectionId(id))),
            (any::<i64>(), any::<i64>())
                .prop_map(|(id, part)| Object::Partition(CollectionId(id), PartitionId(part))),
            (any::<i64>(), any::<i64>())
                .prop_map(|(id, field)| Object::Field(CollectionId(id), FieldId(field))),
            (any_home(), "[a-z_ts/]{0,8}").prop_map(|(home, name)| Object::Alias(home, name)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_built_parses_back(
            object in any_object(),
            ts in any::<u64>(),
            request in any::<(i64, i64, u64)>(),
        ) {
            let keys = keys();
            let id = RequestId { what: Repeatable::CreateDatabase, source: request.0, message: request.1, timestamp: request.2 };
            prop_assert_eq!(keys.parse(&keys.plain(&object)), Some(Key::Plain(object.clone())));
            let snapshot = keys.snapshot(&object, Timestamp(ts));
            prop_assert_eq!(keys.parse(&snapshot), Some(Key::Snapshot(object, Timestamp(ts))));
            prop_assert_eq!(keys.parse(&keys.request(id)), Some(Key::Request(id)));
        }

        #[test]
        fn no_key_panics(key in "(by-dev/(meta|kv)/)?(snapshots/)?(root-coord/database/(db|collection)-info/|milvus-coord/requests/create-database/)?[0-9_ts/+-]{0,20}") {
            if let Some(parsed) = keys().parse(&key) {
                prop_assert_eq!(build(&keys(), &parsed), key);
            }
        }
    }
}
