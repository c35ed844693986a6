//! Databases, and what holds for all DDL.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    etcd::commit::memory::Fault,
    ids::Revision,
    rootcoord::{
        databases::REMEMBER,
        error::DdlError,
        keys::{DEFAULT_DB, Object, Repeatable, RequestId},
    },
};

const ID: RequestId = RequestId { what: Repeatable::CreateDatabase, source: 1, message: 2, timestamp: 3 };

impl Bed {
    async fn create(&self, name: &str, id: Option<RequestId>) -> Result<(), Failure> {
        self.carry_out(Request::CreateDatabase { name: name.to_owned(), id }).await
    }

    async fn drop(&self, name: &str) -> Result<(), Failure> {
        self.carry_out(Request::DropDatabase { name: name.to_owned() }).await
    }

    fn names(&self) -> Vec<String> {
        self.catalog.catalog.lock().databases().map(|database| database.name.clone()).collect()
    }
}

fn exists(name: &str) -> Result<(), Failure> {
    Err(DdlError::DatabaseExists(name.to_owned()).into())
}

#[tokio::test(start_paused = true)]
async fn databases_come_and_go_and_etcd_holds_them() {
    let bed = Bed::new().await;
    assert_eq!(bed.names(), ["default"]);
    assert!(bed.store.get("by-dev/meta/root-coord/database/db-info/1").is_some());
    assert_eq!(bed.create("books", Some(ID)).await, Ok(()));
    assert_eq!(bed.create("books", None).await, exists("books"));
    assert_eq!(bed.names(), ["default", "books"]);
    assert_eq!(bed.drop("books").await, Ok(()));
    assert_eq!(bed.drop("books").await, Ok(()));
    assert_eq!(bed.names(), ["default"]);
    bed.mirror();
    assert_eq!(bed.names(), ["default"]);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_repeated_at_the_successor_succeeds_once() {
    let bed = Bed::new().await;
    bed.create("books", Some(ID)).await.expect("new");
    let store = bed.end().await;
    let bed = Bed::term(store, NOW + Duration::from_secs(9));
    assert_eq!(bed.create("books", Some(ID)).await, Ok(()));
    assert_eq!(bed.create("books", Some(RequestId { message: 9, ..ID })).await, exists("books"));
    assert_eq!(bed.names(), ["default", "books"]);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_memory_of_a_request_is_gone_after_a_minute() {
    let bed = Bed::new().await;
    bed.create("books", Some(ID)).await.expect("new");
    assert!(bed.store.get(&keys().request(ID)).is_some());
    tokio::time::sleep(REMEMBER).await;
    bed.timestamps.step_to(NOW + Duration::from_secs(8));
    assert!(bed.store.get(&keys().request(ID)).is_some(), "by the clock of the timestamps it is too early");
    // The window is extended while time passes.
    let later = NOW + REMEMBER + Duration::from_secs(5);
    crate::tso::keeper::Reserve::counter(&*bed.timestamps).raise(later + Duration::from_secs(9));
    bed.timestamps.step_to(later);
    tokio::time::sleep(REMEMBER).await;
    assert!(bed.store.get(&keys().request(ID)).is_none());
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_settled_before_the_next_request() {
    let bed = Bed::new().await;
    bed.store.fail([Fault::Hang]);
    let clients = TaskTracker::new();
    let first = clients.spawn({
        let ddl = bed.ddl.clone();
        async move { ddl.carry_out(Request::CreateDatabase { name: "books".to_owned(), id: Some(ID) }).await }
    });
    bed.store.wait_hanging().await;
    let second = bed.create("films", None).await;
    assert_eq!(first.await.expect("ends").result, Err(Failure::NoAnswer));
    assert_eq!(second, Err(Failure::NoAnswer));
    bed.store.release();
    assert_eq!(bed.create("books", Some(ID)).await, Ok(()), "the repetition finds the first one");
    assert_eq!(bed.names(), ["default", "books"], "and what nobody waited for was not begun");
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_has_changed_nothing() {
    let bed = Bed::new().await;
    bed.store.fail([Fault::NotSent, Fault::NoSpace]);
    for _ in 0..2 {
        assert!(matches!(bed.create("books", None).await, Err(Failure::NotWritten(_))));
        assert_eq!(bed.names(), ["default"]);
    }
    assert_eq!(bed.create("books", None).await, Ok(()));
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_changed_is_looked_at_anew() {
    let bed = Bed::new().await;
    bed.create("books", None).await.expect("new");
    bed.mirror();
    let id = bed.catalog.catalog.lock().database("books").expect("created").id;
    let plain = keys().plain(&Object::Database(id));
    let foreign = bed.store.get(&plain).expect("created").value;
    bed.store.put(&plain, foreign);
    let dropping = bed.drop("books");
    let mirror = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        bed.mirror();
    };
    let (dropped, ()) = tokio::join!(dropping, mirror);
    assert_eq!(dropped, Ok(()));
    assert_eq!(bed.names(), ["default"]);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_change_that_the_mirror_never_shows_is_an_error_and_is_not_overwritten() {
    let bed = Bed::new().await;
    bed.create("books", None).await.expect("new");
    let id = bed.catalog.catalog.lock().database("books").expect("created").id;
    let plain = keys().plain(&Object::Database(id));
    bed.store.put(&plain, "theirs");
    assert!(matches!(bed.drop("books").await, Err(Failure::Disturbed(_))));
    assert_eq!(bed.store.get(&plain).expect("there").value, b"theirs");
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn deposed_it_neither_writes_nor_answers_from_memory() {
    let bed = Bed::new().await;
    bed.store.depose();
    assert_eq!(bed.create("books", None).await, Err(Failure::NoTerm));
    assert_eq!(bed.drop("books").await, Ok(()), "what writes nothing is for the gate to hold back");
    assert_eq!(bed.names(), ["default"]);
}

#[tokio::test(start_paused = true)]
async fn on_the_way_out_what_runs_is_finished_and_nothing_new_begins() {
    let bed = Bed::new().await;
    bed.store.fail([Fault::Hang]);
    let clients = TaskTracker::new();
    let waiting: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let ddl = bed.ddl.clone();
            clients.spawn(async move {
                ddl.carry_out(Request::CreateDatabase { name: name.to_owned(), id: None }).await
            })
        })
        .into();
    bed.store.wait_hanging().await;
    bed.finish.cancel();
    bed.store.release();
    let mut ended = Vec::new();
    for outcome in waiting {
        ended.push(outcome.await.expect("ends").result.map(|_| ()));
    }
    let unbegun = Err(Failure::NoTerm);
    assert_eq!(ended, [Ok(()), unbegun.clone(), unbegun.clone()]);
    assert_eq!(bed.create("d", None).await, unbegun);
    assert_eq!(bed.names(), ["default", "a"]);
}

#[tokio::test(start_paused = true)]
async fn without_etcd_the_default_database_is_made_as_soon_as_it_is_back() {
    let store = Arc::new(MemoryStore::default());
    store.fail([Fault::NotSent, Fault::NoSpace]);
    let mut bed = Bed::term(store, NOW);
    (&mut bed.ready).await.expect("ready");
    assert_eq!(bed.names(), ["default"]);
    assert_eq!(bed.heard.0.lock().len(), 2);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn garbage_in_place_of_the_default_database_stays_and_the_rest_is_served() {
    let store = Arc::new(MemoryStore::default());
    let key = keys().snapshot(&Object::Database(DEFAULT_DB), Timestamp(5));
    store.put(&key, "\u{1}garbage");
    let mut bed = Bed::term(store, NOW);
    (&mut bed.ready).await.expect("ready");
    assert!(bed.heard.0.lock()[0].contains(&key));
    assert_eq!(bed.create("books", None).await, Ok(()));
    assert_eq!(bed.store.get(&key).expect("there").value, b"\x01garbage");
    bed.end().await;
}

#[derive(Clone, Debug)]
enum Deed {
    Create(u8),
    Drop(u8),
    Fail(Fault),
    Mirror,
    Takeover,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => (0u8..5).prop_map(Deed::Create),
        4 => (0u8..5).prop_map(Deed::Drop),
        1 => Just(Deed::Fail(Fault::NotSent)),
        1 => Just(Deed::Fail(Fault::NoSpace)),
        2 => Just(Deed::Mirror),
        1 => Just(Deed::Takeover),
    ];
    proptest::collection::vec(deed, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_acknowledged_is_what_a_successor_finds(deeds in deeds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("builds");
        runtime.block_on(async move {
            let mut start = NOW;
            let mut bed = Bed::new().await;
            let mut model = BTreeSet::from(["default".to_owned()]);
            for deed in deeds {
                match deed {
                    Deed::Create(which) => {
                        let name = format!("db{which}");
                        match bed.create(&name, None).await {
                            Ok(()) => assert!(model.insert(name)),
                            Err(Failure::Ddl(DdlError::DatabaseExists(_))) => assert!(model.contains(&name)),
                            Err(Failure::NotWritten(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                    Deed::Drop(which) => {
                        let name = format!("db{which}");
                        match bed.drop(&name).await {
                            Ok(()) => _ = model.remove(&name),
                            Err(Failure::NotWritten(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                    Deed::Fail(fault) => bed.store.fail([fault]),
                    Deed::Mirror => bed.mirror(),
                    Deed::Takeover => {
                        start = start + Duration::from_secs(10);
                        let store = bed.end().await;
                        bed = Bed::term(store, start);
                    }
                }
                let names: BTreeSet<String> = bed.names().into_iter().collect();
                assert_eq!(names, model);
            }
            // Plain and snapshot keys agree, and no revision was used for half of a change.
            let store = bed.end().await;
            let all = store.keys();
            for kv in all.iter().filter(|kv| kv.key.starts_with("by-dev/meta/root-coord/")) {
                let path = kv.key.strip_prefix("by-dev/meta/").expect("filtered");
                let prefix = format!("by-dev/meta/snapshots/{path}_ts");
                let newest = all
                    .iter()
                    .filter(|snapshot| snapshot.key.starts_with(&prefix))
                    .max_by_key(|snapshot| snapshot.key[prefix.len()..].parse::<u64>().expect("a ts"))
                    .expect("a snapshot");
                assert_eq!(newest.value, kv.value);
                assert_eq!(newest.mod_revision, kv.mod_revision);
                assert_ne!(kv.mod_revision, Revision(0));
            }
        });
    }
}
