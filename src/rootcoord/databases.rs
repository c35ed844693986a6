//! What creating, dropping and listing databases comes to: decisions only.
//!
//! Each takes the catalog as it is and a task, and returns the transaction that
//! does it, or nothing if it is done already, or why not. A transaction puts the
//! plain key and the snapshot key together, with equal values, and compares both
//! with what the catalog knows; the dropped state is a value, not a deletion.

use std::time::Duration;

use crate::{
    etcd::{
        store::Write,
        txn::{Guard, Op},
    },
    ids::{DbId, Revision},
    rootcoord::{
        catalog::{Catalog, Remembered, encode_database},
        error::{DdlError, Decision, Task},
        keys::{DEFAULT_DB, DEFAULT_DB_NAME, Object, RequestId, TOMBSTONE},
    },
    tso::hybrid::Timestamp,
};

/// How long a request is remembered: longer than Milvus's clients go on repeating one (52.6 s).
pub const REMEMBER: Duration = Duration::from_secs(60);

/// How many requests are forgotten in one transaction: etcd takes 128 operations.
const SWEPT_AT_ONCE: usize = 100;

/// Creates a database with the fresh id `id`.
///
/// The repetition of a request that was carried out is a success.
///
/// # Errors
/// [`DdlError`]
pub fn create(
    catalog: &Catalog,
    name: &str,
    request: Option<RequestId>,
    id: DbId,
    limit: usize,
    task: Task,
) -> Result<Decision, DdlError> {
    if name.is_empty() {
        return Err(DdlError::NoDatabaseName);
    }
    if was_carried_out(catalog, request, name, task) {
        return Ok(Decision::Done);
    }
    if catalog.databases().count() > limit {
        return Err(DdlError::TooManyDatabases { limit });
    }
    if catalog.database(name).is_some() {
        return Err(DdlError::DatabaseExists(name.to_owned()));
    }
    if let Some(key) = catalog.undecodable_database(name) {
        return Err(DdlError::Undecodable { key });
    }
    let guard = Guard::Absent(catalog.keys().plain(&Object::Database(id)));
    let mut write = put(catalog, id, vec![guard], encode_database(id, name, task.now), task.ts);
    if let Some(request) = request {
        remember(catalog, request, name.to_owned(), task, &mut write);
    }
    Ok(Decision::Write(write))
}

/// Creates `default` if there is none.
///
/// # Errors
/// [`DdlError`]
pub fn ensure_default(catalog: &Catalog, task: Task) -> Result<Decision, DdlError> {
    if catalog.database(DEFAULT_DB_NAME).is_some() {
        return Ok(Decision::Done);
    }
    if let Some(taken) = catalog.databases().find(|database| database.id == DEFAULT_DB) {
        return Err(DdlError::DatabaseExists(taken.name.clone()));
    }
    let guards = replaceable(catalog, DEFAULT_DB, task.ts)?;
    let value = encode_database(DEFAULT_DB, DEFAULT_DB_NAME, task.now);
    Ok(Decision::Write(put(catalog, DEFAULT_DB, guards, value, task.ts)))
}

/// Drops a database. One that doesn't exist is dropped already.
///
/// # Errors
/// [`DdlError`]
pub fn drop(catalog: &Catalog, name: &str, task: Task) -> Result<Decision, DdlError> {
    // No name means `default`, as everywhere in Milvus.
    if name == DEFAULT_DB_NAME || name.is_empty() {
        return Err(DdlError::IsDefaultDatabase);
    }
    let Some(database) = catalog.database(name) else {
        return match catalog.undecodable_database(name).or_else(|| catalog.nameless_database()) {
            Some(key) => Err(DdlError::Undecodable { key }),
            None => Ok(Decision::Done),
        };
    };
    match catalog.holds_created(database.id) {
        Ok(false) => {}
        Ok(true) => return Err(DdlError::DatabaseNotEmpty(name.to_owned())),
        Err(key) => return Err(DdlError::Undecodable { key }),
    }
    let guards = replaceable(catalog, database.id, task.ts)?;
    Ok(Decision::Write(put(catalog, database.id, guards, TOMBSTONE.to_vec(), task.ts)))
}

/// Forgets requests that nobody repeats any more. `None`: there are none.
pub fn sweep(catalog: &Catalog, now: Timestamp) -> Option<Write> {
    let mut write = Write::default();
    for (request, at) in catalog.requests_before(before(now)).into_iter().take(SWEPT_AT_ONCE) {
        let key = catalog.keys().request(request);
        write.guards.push(Guard::ModIs(key.clone(), at));
        write.ops.push(Op::delete(key));
    }
    (!write.ops.is_empty()).then_some(write)
}

/// The time that lies [`REMEMBER`] before `now`.
fn before(now: Timestamp) -> Timestamp {
    let remember = u64::try_from(REMEMBER.as_millis()).unwrap_or(u64::MAX);
    Timestamp::at_milli(now.physical_millis().saturating_sub(remember))
}

/// Whether that very request was carried out lately.
pub fn was_carried_out(catalog: &Catalog, request: Option<RequestId>, name: &str, task: Task) -> bool {
    request.is_some_and(|request| when_carried_out(catalog, request, name, task).is_some())
}

/// At which revision it was, if it was lately.
pub fn when_carried_out(catalog: &Catalog, request: RequestId, name: &str, task: Task) -> Option<Revision> {
    let (known, at) = catalog.request(request)?;
    (known.name == name && !is_over(Timestamp(known.ts), task.ts)).then_some(at)
}

/// Lets the repetition of a request be known, in the transaction that carries it out.
pub fn remember(catalog: &Catalog, request: RequestId, name: String, task: Task, write: &mut Write) {
    let remembered = Remembered { name, ts: task.ts.0 };
    let value = serde_json::to_vec(&remembered).expect("a name and a number have a JSON form");
    write.guards.push(catalog.request_unchanged(request));
    write.ops.push(Op::put(catalog.keys().request(request), value));
}

fn is_over(carried_out: Timestamp, now: Timestamp) -> bool {
    carried_out < before(now)
}

/// The guards for replacing a database's value, if that may be done at `ts`.
fn replaceable(catalog: &Catalog, id: DbId, ts: Timestamp) -> Result<Vec<Guard>, DdlError> {
    let guards = catalog.unchanged(id).map_err(|key| DdlError::Undecodable { key })?;
    match catalog.latest(id) {
        Some(stored) if stored >= ts => {
            let key = catalog.keys().plain(&Object::Database(id));
            Err(DdlError::Behind { key, stored, task: ts })
        }
        _ => Ok(guards),
    }
}

fn put(catalog: &Catalog, id: DbId, mut guards: Vec<Guard>, value: Vec<u8>, ts: Timestamp) -> Write {
    let object = Object::Database(id);
    let snapshot = catalog.keys().snapshot(&object, ts);
    guards.push(Guard::Absent(snapshot.clone()));
    Write {
        guards,
        ops: vec![Op::put(catalog.keys().plain(&object), value.clone()), Op::put(snapshot, value)],
    }
}

#[cfg(test)]
mod tests {
    use milvus_proto::etcd::DatabaseInfo;
    use prost::Message as _;

    use super::*;
    use crate::{
        clock::UnixNanos,
        etcd::{mirror::MirrorEvent, txn::KeyValue},
        ids::{CollectionId, Epoch, LeaseId, Revision},
        rootcoord::keys::{Keys, Repeatable},
    };

    const LIMIT: usize = 64;
    const NOW: UnixNanos = UnixNanos(1_800_000_000_123_456_789);
    const REQUEST: RequestId =
        RequestId { what: Repeatable::CreateDatabase, source: 3, message: 4, timestamp: 5 };

    fn task(millis: u64) -> Task {
        Task {
            ts: Timestamp(Timestamp::at_milli(1_800_000_000_000 + millis).0 + 1),
            now: NOW,
            term: Epoch(1),
        }
    }

    fn keys() -> Keys {
        Keys::new("by-dev/meta", "by-dev/kv")
    }

    struct Bed {
        catalog: Catalog,
        revision: i64,
    }

    impl Bed {
        fn new() -> Self {
            let mut bed = Self { catalog: Catalog::new(keys()), revision: 100 };
            bed.carry_out(ensure_default(&bed.catalog, task(0)));
            bed
        }

        fn put(&mut self, key: String, value: impl Into<Vec<u8>>) {
            self.revision += 1;
            let at = Revision(self.revision);
            let value = value.into();
            let kv = KeyValue { key, value, create_revision: at, mod_revision: at, lease: LeaseId(0) };
            self.catalog.event(&MirrorEvent::Put(kv));
        }

        #[track_caller]
        fn carry_out(&mut self, decision: Result<Decision, DdlError>) -> Write {
            let Ok(Decision::Write(write)) = decision else { panic!("nothing to write: {decision:?}") };
            self.revision += 1;
            let id = self.catalog.writing(&write.ops);
            self.catalog.written(id, Revision(self.revision));
            write
        }

        fn create(&self, name: &str, id: i64, at: u64) -> Result<Decision, DdlError> {
            create(&self.catalog, name, Some(REQUEST), DbId(id), LIMIT, task(at))
        }

        fn drop(&self, name: &str, at: u64) -> Result<Decision, DdlError> {
            drop(&self.catalog, name, task(at))
        }

        fn names(&self) -> Vec<&str> {
            self.catalog.databases().map(|database| database.name.as_str()).collect()
        }
    }

    #[test]
    fn a_new_cluster_gets_the_default_database() {
        let bed = Bed::new();
        assert_eq!(bed.names(), ["default"]);
        assert_eq!(ensure_default(&bed.catalog, task(1)), Ok(Decision::Done));
    }

    #[test]
    fn what_is_written_is_byte_for_byte_what_milvus_writes() {
        let mut bed = Bed::new();
        let write = bed.carry_out(create(&bed.catalog, "books", None, DbId(470), LIMIT, task(10)));
        // name = 2, id = 3, state = 4, created_time = 5; an empty tenant is left out.
        let mut value = b"\x12\x05books\x18\xd6\x03\x20\x01\x28".to_vec();
        prost::encoding::encode_varint(NOW.0, &mut value);
        let plain = "by-dev/meta/root-coord/database/db-info/470";
        let snapshot = format!("by-dev/meta/snapshots/root-coord/database/db-info/470_ts{}", task(10).ts);
        assert_eq!(write.ops, [Op::put(plain, value.clone()), Op::put(&snapshot, value)]);
        assert_eq!(write.guards, [Guard::Absent(plain.to_owned()), Guard::Absent(snapshot)]);
    }

    #[test]
    fn dropping_puts_tombstones_over_what_was_read() {
        let mut bed = Bed::new();
        bed.carry_out(bed.create("books", 470, 10));
        let created_at = Revision(bed.revision);
        let write = bed.carry_out(bed.drop("books", 20));
        let object = Object::Database(DbId(470));
        let (plain, old) = (keys().plain(&object), keys().snapshot(&object, task(10).ts));
        let new = keys().snapshot(&object, task(20).ts);
        assert_eq!(write.ops, [Op::put(&plain, TOMBSTONE), Op::put(&new, TOMBSTONE)]);
        assert_eq!(
            write.guards,
            [Guard::ModIs(plain, created_at), Guard::ModIs(old, created_at), Guard::Absent(new)]
        );
        assert_eq!(bed.names(), ["default"]);
    }

    #[test]
    fn each_error_has_its_words() {
        let mut bed = Bed::new();
        bed.carry_out(bed.create("books", 470, 10));
        let of = |result: Result<Decision, DdlError>| result.expect_err("refused").to_string();
        assert_eq!(
            of(create(&bed.catalog, "books", None, DbId(1), LIMIT, task(20))),
            "database already exist: books"
        );
        assert_eq!(
            of(bed.create("", 471, 20)),
            "the database name must not be empty: invalid database name[database=]"
        );
        assert_eq!(of(bed.drop("default", 20)), "can not drop default database");
        assert_eq!(of(bed.drop("", 20)), "can not drop default database");
        let collection = Object::Collection(DbId(470), CollectionId(1));
        bed.put(
            keys().snapshot(&collection, Timestamp(1)),
            milvus_proto::etcd::CollectionInfo::default().encode_to_vec(),
        );
        bed.put(keys().snapshot(&collection, Timestamp(2)), [0x68, 0x00]);
        assert_eq!(
            bed.drop("books", 20).expect_err("not empty").to_string(),
            "database:books not empty, must drop all collections before drop database"
        );
        assert_eq!(bed.drop("nobody's", 20), Ok(Decision::Done));
    }

    #[test]
    fn one_more_than_the_limit_fits() {
        let mut bed = Bed::new();
        for id in 2..=65 {
            bed.carry_out(create(&bed.catalog, &format!("db{id}"), None, DbId(id), LIMIT, task(10)));
        }
        assert_eq!(bed.names().len(), 65);
        let refused = create(&bed.catalog, "one more", None, DbId(66), LIMIT, task(20));
        assert_eq!(refused, Err(DdlError::TooManyDatabases { limit: LIMIT }));
        let words = "exceeded the limit number of database[limit=64]";
        assert_eq!(DdlError::TooManyDatabases { limit: LIMIT }.to_string(), words);
    }

    #[test]
    fn the_repetition_of_a_request_succeeds_for_a_minute() {
        let mut bed = Bed::new();
        bed.carry_out(bed.create("books", 470, 10));
        assert_eq!(bed.create("books", 471, 59_000), Ok(Decision::Done));
        let exists = Err(DdlError::DatabaseExists("books".to_owned()));
        assert_eq!(bed.create("books", 471, 60_020), exists, "over a minute ago");
        let other = RequestId { message: 9, ..REQUEST };
        assert_eq!(create(&bed.catalog, "books", Some(other), DbId(471), LIMIT, task(20)), exists);
        assert_eq!(create(&bed.catalog, "books", None, DbId(471), LIMIT, task(20)), exists);
        assert!(matches!(bed.create("films", 471, 20), Ok(Decision::Write(_))), "another name");
        bed.carry_out(bed.drop("books", 30));
        assert_eq!(
            bed.create("books", 471, 40),
            Ok(Decision::Done),
            "it was carried out, and is no new request"
        );
    }

    #[test]
    fn the_memory_of_a_request_is_in_the_same_transaction_and_swept_later() {
        let mut bed = Bed::new();
        let write = bed.carry_out(bed.create("books", 470, 10));
        let key = "by-dev/kv/milvus-coord/requests/create-database/3/4/5";
        assert_eq!(write.guards.last(), Some(&Guard::Absent(key.to_owned())));
        assert!(write.ops.iter().any(|op| op.key() == key));
        assert_eq!(sweep(&bed.catalog, task(60_000).ts), None);
        let swept = sweep(&bed.catalog, task(60_020).ts).expect("old enough");
        assert_eq!(swept.guards, [Guard::ModIs(key.to_owned(), Revision(bed.revision))]);
        assert_eq!(swept.ops, [Op::delete(key)]);
    }

    #[test]
    fn garbage_is_named_and_stays() {
        let mut bed = Bed::new();
        bed.carry_out(bed.create("books", 470, 10));
        bed.carry_out(bed.create("films", 471, 11));
        let garbage = keys().snapshot(&Object::Database(DbId(470)), task(20).ts);
        bed.put(garbage.clone(), "\u{1}garbage");
        let named = Err(DdlError::Undecodable { key: garbage });
        assert_eq!(bed.drop("books", 30), named);
        assert_eq!(create(&bed.catalog, "books", None, DbId(472), LIMIT, task(30)), named);
        assert!(matches!(bed.drop("films", 30), Ok(Decision::Write(_))), "the rest is served");

        let nameless = keys().snapshot(&Object::Database(DbId(480)), task(20).ts);
        bed.put(nameless.clone(), "\u{1}garbage");
        let named = Err(DdlError::Undecodable { key: nameless });
        assert_eq!(bed.drop("perhaps this one", 30), named, "success might be a lie");
        assert!(matches!(bed.create("music", 473, 30), Ok(Decision::Write(_))));

        let plain = keys().plain(&Object::Database(DbId(471)));
        bed.put(plain.clone(), "\u{1}garbage");
        assert_eq!(bed.drop("films", 30), Err(DdlError::Undecodable { key: plain }));

        let inside = keys().snapshot(&Object::Collection(DbId(471), CollectionId(5)), task(20).ts);
        bed.put(inside.clone(), "\u{1}garbage");
        assert_eq!(bed.drop("films", 30), Err(DdlError::Undecodable { key: inside }));
    }

    #[test]
    fn the_default_database_is_not_put_over_another_or_over_garbage() {
        let mut bed = Bed { catalog: Catalog::new(keys()), revision: 100 };
        bed.put(keys().snapshot(&Object::Database(DEFAULT_DB), Timestamp(5)), "\u{1}garbage");
        assert!(matches!(ensure_default(&bed.catalog, task(0)), Err(DdlError::Undecodable { .. })));
        let another = DatabaseInfo { id: 1, name: "another".to_owned(), ..DatabaseInfo::default() };
        bed.put(keys().snapshot(&Object::Database(DEFAULT_DB), Timestamp(5)), another.encode_to_vec());
        let taken = Err(DdlError::DatabaseExists("another".to_owned()));
        assert_eq!(ensure_default(&bed.catalog, task(0)), taken);
    }

    #[test]
    fn versions_never_go_back_in_time() {
        let mut bed = Bed::new();
        bed.carry_out(bed.create("books", 470, 1_000));
        assert!(matches!(bed.drop("books", 999), Err(DdlError::Behind { .. })));
        assert!(matches!(bed.drop("books", 1_000), Err(DdlError::Behind { .. })));
        assert!(matches!(bed.drop("books", 1_001), Ok(Decision::Write(_))));
    }
}
