//! Collections, partitions and aliases, and what is left half done.

use milvus_proto::{
    common::{MsgHeader, MsgType},
    milvus::CreateCollectionRequest,
    schema::{CollectionSchema, DataType, FieldSchema},
};
use prost::Message as _;

use super::*;
use crate::{
    etcd::commit::memory::Fault,
    ids::CollectionId,
    rootcoord::{
        catalog::KEPT,
        collections::Rename,
        error::{DdlError, NoCollection, TooManyCollections},
        keys::{DEFAULT_DB, Repeatable, RequestId},
        model::State,
        peers::{
            Forget,
            memory::{Call, CallKind},
        },
    },
    rpc::merr::MilvusError,
};

fn schema(name: &str) -> CollectionSchema {
    let field = |name: &str, data_type: DataType| FieldSchema {
        name: name.to_owned(),
        data_type: data_type.into(),
        is_primary_key: name == "id",
        ..FieldSchema::default()
    };
    CollectionSchema {
        name: name.to_owned(),
        fields: vec![field("id", DataType::Int64), field("vector", DataType::FloatVector)],
        ..CollectionSchema::default()
    }
}

fn create(name: &str) -> Request {
    Request::CreateCollection(Box::new(CreateCollectionRequest {
        collection_name: name.to_owned(),
        schema: schema(name).encode_to_vec(),
        shards_num: 2,
        ..CreateCollectionRequest::default()
    }))
}

fn drop_it(name: &str) -> Request {
    Request::DropCollection { db: String::new(), name: name.to_owned(), replicated: false }
}

fn partition(name: &str) -> Request {
    let (db, collection) = (String::new(), "books".to_owned());
    Request::CreatePartition { db, collection, partition: name.to_owned() }
}

fn create_alias(alias: &str, collection: &str) -> Request {
    Request::CreateAlias { db: String::new(), alias: alias.to_owned(), collection: collection.to_owned() }
}

fn broken() -> MilvusError {
    MilvusError::plain("broken")
}

impl Bed {
    fn names_of_collections(&self) -> Vec<String> {
        let catalog = self.catalog.catalog.lock();
        let mut names: Vec<_> = catalog.collections(DEFAULT_DB).map(|it| it.name.clone()).collect();
        names.sort();
        names
    }

    fn id(&self, name: &str) -> CollectionId {
        self.catalog.catalog.lock().own_name(DEFAULT_DB, name).expect("it is there").id
    }

    fn partitions(&self, name: &str) -> Vec<String> {
        let id = self.id(name);
        let catalog = self.catalog.catalog.lock();
        catalog.visible_partitions(id).map(|it| it.name.clone()).collect()
    }

    fn stored(&self, part: &str) -> Vec<String> {
        let keys = self.store.keys().into_iter();
        let live = keys.filter(|kv| kv.key.contains(part) && kv.value != crate::rootcoord::keys::TOMBSTONE);
        live.map(|kv| kv.key).filter(|key| !key.contains("/snapshots/")).collect()
    }

    fn types(&self, channel: &str) -> Vec<i32> {
        let header =
            |payload: &[u8]| MsgHeader::decode(payload).expect("a header").base.expect("a base").msg_type;
        let all = self.queue.messages(channel).into_iter().map(|message| header(&message.payload));
        all.filter(|kind| *kind != 1200).collect()
    }

    /// Until that is so; virtual time passes.
    async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            // Ticks need time to go on.
            self.timestamps.step_to(UnixNanos(self.timestamps.newest().physical().0 + 1_000_000));
        }
        panic!("never: {what}; heard {:?}", self.heard.0.lock());
    }
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_announced_stored_watched_and_then_seen() {
    let bed = Bed::new().await;
    assert_eq!(bed.carry_out(create("books")).await, Ok(()));
    assert_eq!(bed.names_of_collections(), ["books"]);
    let id = bed.id("books");
    let record = {
        let catalog = bed.catalog.catalog.lock();
        catalog.complete(catalog.visible(id).expect("created")).expect("decodable")
    };
    let ids: Vec<_> = record.fields.iter().map(|field| (field.field_id, field.name.as_str())).collect();
    assert_eq!(ids, [(100, "id"), (101, "vector"), (0, "RowID"), (1, "Timestamp")]);
    assert_eq!(record.shards.len(), 2);
    assert_eq!(record.shards[1].virtual_channel, format!("{}_{id}v1", record.shards[1].physical_channel));
    for (channel, position) in &record.start_positions {
        assert_eq!(bed.types(channel), [100]);
        assert_eq!(position, &0_i64.to_le_bytes().to_vec());
    }
    assert_eq!(bed.partitions("books"), ["_default"]);
    let calls = bed.peers.take_calls();
    assert!(matches!(&calls[0], Call::WatchChannels(watched) if *watched == id), "{calls:?}");
    assert!(
        matches!(&calls[1], Call::Invalidate(notice) if notice.what == Forget::Names(vec!["books".to_owned()])),
        "{calls:?}"
    );
    // One snapshot each: the state Created replaced the state Creating.
    let snapshots = |part: &str| bed.store.keys().iter().filter(|kv| kv.key.contains(part)).count();
    assert_eq!(snapshots("snapshots/root-coord/database/collection-info/1/"), 1);
    assert_eq!(snapshots("snapshots/root-coord/fields/"), 4);
    bed.mirror();
    assert_eq!(bed.names_of_collections(), ["books"]);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_creation_is_a_success_also_at_the_successor_and_another_one_is_not() {
    let bed = Bed::new().await;
    assert_eq!(bed.carry_out(create("books")).await, Ok(()));
    let id = bed.id("books");
    assert_eq!(bed.carry_out(create("books")).await, Ok(()));
    let bed = bed.successor(NOW + Duration::from_secs(10)).await;
    assert_eq!(bed.carry_out(create("books")).await, Ok(()));
    assert_eq!(bed.id("books"), id);
    let Request::CreateCollection(mut other) = create("books") else { unreachable!() };
    other.shards_num = 1;
    let refused = bed.carry_out(Request::CreateCollection(other)).await;
    assert_eq!(refused, Err(DdlError::DuplicateCollection("books".to_owned()).into()));
    let messages: usize = (0..4).map(|n| bed.types(&format!("by-dev-rootcoord-dml_{n}")).len()).sum();
    assert_eq!(messages, 2, "nobody is told twice");
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_collection_is_gone_at_once_and_removed_when_its_data_are() {
    let bed = Bed::new().await;
    bed.peers.set_garbage_is_gone(false);
    bed.carry_out(create("books")).await.expect("created");
    let id = bed.id("books");
    bed.carry_out(create_alias("novels", "books")).await.expect("created");
    let by_alias = Err(DdlError::DropByAlias("novels".to_owned()).into());
    assert_eq!(bed.carry_out(drop_it("novels")).await, by_alias);
    bed.peers.take_calls();
    assert_eq!(bed.carry_out(drop_it("books")).await, Ok(()));
    assert_eq!(bed.carry_out(drop_it("books")).await, Ok(()), "again");
    assert_eq!(bed.names_of_collections(), [""; 0]);
    let told = |bed: &Bed| bed.peers.calls().iter().any(|call| matches!(call, Call::GarbageIsGone(..)));
    bed.until("garbage asked for", told).await;
    let calls = bed.peers.calls();
    let place = |wanted: fn(&Call) -> bool| calls.iter().position(wanted).expect("called");
    assert!(
        place(|call| matches!(call, Call::ReleaseCollection(_)))
            < place(|call| matches!(call, Call::DropIndexes(_)))
    );
    assert!(bed.channels.lock().in_use().is_empty());
    assert!(!bed.stored("collection-info").is_empty());
    bed.peers.set_garbage_is_gone(true);
    bed.until("removed", |bed| bed.catalog.catalog.lock().record(id).is_none()).await;
    for part in
        ["collection-info/1/", "root-coord/fields/", "root-coord/partitions/", "root-coord/database/aliases/"]
    {
        assert_eq!(bed.stored(part), [""; 0]);
    }
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_for_a_replica_is_not_said_in_the_channels() {
    let bed = Bed::new().await;
    let said = |kind: MsgType| {
        let channels = (0..4).flat_map(|n| bed.types(&format!("by-dev-rootcoord-dml_{n}")));
        channels.filter(|it| *it == i32::from(kind)).count()
    };
    bed.carry_out(create("books")).await.expect("created");
    bed.carry_out(partition("p")).await.expect("created");
    let drop_partition = Request::DropPartition {
        db: String::new(),
        collection: "books".to_owned(),
        partition: "p".to_owned(),
        replicated: true,
    };
    bed.carry_out(drop_partition).await.expect("dropped");
    bed.until("the partition is removed", |bed| bed.stored("root-coord/partitions/").len() == 1).await;
    let id = bed.id("books");
    let drop_collection =
        Request::DropCollection { db: String::new(), name: "books".to_owned(), replicated: true };
    bed.carry_out(drop_collection).await.expect("dropped");
    bed.until("removed", |bed| bed.catalog.catalog.lock().record(id).is_none()).await;
    assert_eq!(said(MsgType::DropPartition), 0);
    assert_eq!(said(MsgType::DropCollection), 0);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_collection_that_datacoord_does_not_take_is_undone() {
    let bed = Bed::new().await;
    bed.peers.fail(CallKind::WatchChannels, broken());
    assert_eq!(bed.carry_out(create("books")).await, Err(Failure::Peer(broken())));
    assert_eq!(bed.names_of_collections(), [""; 0]);
    bed.until("undone", |bed| bed.stored("collection-info").is_empty()).await;
    assert_eq!(bed.stored("root-coord/fields/"), [""; 0]);
    assert!(bed.channels.lock().in_use().is_empty());
    assert_eq!(bed.carry_out(create("books")).await, Ok(()), "the name is free");
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_etcd_does_not_take_leaves_no_channel_in_use() {
    let bed = Bed::new().await;
    bed.store.fail([Fault::NoSpace]);
    assert!(matches!(bed.carry_out(create("books")).await, Err(Failure::NotWritten(_))));
    assert!(bed.channels.lock().in_use().is_empty());
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn half_a_creation_is_undone_by_the_successor_and_half_a_drop_finished() {
    let bed = Bed::new().await;
    bed.peers.set_garbage_is_gone(false);
    bed.carry_out(create("films")).await.expect("created");
    let films = bed.id("films");
    bed.carry_out(drop_it("films")).await.expect("dropped");
    let hanging = bed.peers.hang(CallKind::WatchChannels);
    let waiting = bed.tasks.spawn({
        let ddl = bed.ddl.clone();
        async move { ddl.carry_out(create("books")).await }
    });
    let half = |bed: &Bed| bed.catalog.catalog.lock().unfinished().any(|it| it.state == State::Creating);
    bed.until("half made", half).await;
    waiting.abort();
    bed.peers.set_garbage_is_gone(true);
    let bed = bed.successor(NOW + Duration::from_secs(100)).await;
    drop(hanging);
    assert_eq!(bed.names_of_collections(), [""; 0]);
    bed.until("both are gone", |bed| bed.catalog.catalog.lock().number_of_collections() == 0).await;
    assert!(bed.catalog.catalog.lock().record(films).is_none());
    assert!(bed.channels.lock().in_use().is_empty());
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn partitions_come_and_go() {
    let bed = Bed::new().await;
    let missing = bed.carry_out(partition("p")).await;
    assert!(
        matches!(missing, Err(Failure::Ddl(DdlError::NoCollection(NoCollection::AsOf { .. })))),
        "{missing:?}"
    );
    bed.carry_out(create("books")).await.expect("created");
    assert_eq!(bed.carry_out(partition("p")).await, Ok(()));
    assert_eq!(bed.carry_out(partition("p")).await, Ok(()));
    assert_eq!(bed.partitions("books"), ["_default", "p"]);
    let drop_partition = |name: &str| Request::DropPartition {
        db: String::new(),
        collection: "books".to_owned(),
        partition: name.to_owned(),
        replicated: false,
    };
    assert_eq!(bed.carry_out(drop_partition("_default")).await, Err(DdlError::DefaultPartition.into()));
    assert_eq!(bed.carry_out(drop_partition("p")).await, Ok(()));
    assert_eq!(bed.carry_out(drop_partition("p")).await, Ok(()));
    assert_eq!(bed.partitions("books"), ["_default"]);
    assert_eq!(bed.carry_out(partition("p")).await, Ok(()), "again, with another id");
    bed.until("the first one is removed", |bed| bed.stored("root-coord/partitions/").len() == 2).await;
    bed.peers.fail(CallKind::PartitionCreated, broken());
    assert_eq!(bed.carry_out(partition("q")).await, Err(Failure::Peer(broken())));
    bed.until("undone", |bed| bed.stored("root-coord/partitions/").len() == 2).await;
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn aliases_are_exact_names() {
    let bed = Bed::new().await;
    bed.carry_out(create("books")).await.expect("created");
    bed.carry_out(create("films")).await.expect("created");
    for alias in ["a", "ab"] {
        assert_eq!(bed.carry_out(create_alias(alias, "books")).await, Ok(()));
        assert_eq!(bed.carry_out(create_alias(alias, "books")).await, Ok(()));
    }
    let taken = bed.carry_out(create_alias("a", "films")).await;
    assert!(matches!(taken, Err(Failure::Ddl(DdlError::AliasTaken { .. }))), "{taken:?}");
    let conflict = bed.carry_out(create_alias("films", "books")).await;
    assert!(matches!(conflict, Err(Failure::Ddl(DdlError::AliasIsCollection { .. }))), "{conflict:?}");
    assert_eq!(bed.carry_out(Request::DropAlias { db: String::new(), alias: "a".to_owned() }).await, Ok(()));
    let id = bed.id("books");
    assert_eq!(bed.catalog.catalog.lock().aliases_of(id).collect::<Vec<_>>(), ["ab"]);
    let alter =
        Request::AlterAlias { db: String::new(), alias: "ab".to_owned(), collection: "films".to_owned() };
    assert_eq!(bed.carry_out(alter).await, Ok(()));
    let films = bed.id("films");
    assert_eq!(bed.catalog.catalog.lock().alias(DEFAULT_DB, "ab").expect("there").collection, films);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn properties_and_names_change_in_etcd_too() {
    let bed = Bed::new().await;
    bed.carry_out(create("books")).await.expect("created");
    let id = bed.id("books");
    let alter = |key: &str, value: &str| Request::AlterCollection {
        db: String::new(),
        name: "books".to_owned(),
        properties: vec![(key.to_owned(), value.to_owned())],
    };
    bed.carry_out(alter("collection.ttl.seconds", "15")).await.expect("altered");
    bed.carry_out(alter("x", "y")).await.expect("altered");
    let request = RequestId { what: Repeatable::RenameCollection, source: 1, message: 2, timestamp: 3 };
    let rename = |request| renaming("books", "novels", request, 1);
    assert_eq!(bed.carry_out(rename(Some(request))).await, Ok(()));
    let bed = bed.successor(NOW + Duration::from_secs(10)).await;
    assert_eq!(bed.carry_out(rename(Some(request))).await, Ok(()), "the repetition");
    let another = bed.carry_out(rename(None)).await;
    assert!(matches!(another, Err(Failure::Ddl(DdlError::RenameTaken { .. }))), "{another:?}");
    assert_eq!(bed.id("novels"), id);
    let properties = bed.catalog.catalog.lock().record(id).expect("there").properties.clone();
    let expected = [("collection.ttl.seconds", "15"), ("x", "y")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(properties, expected.into());
    bed.end().await;
}

fn renaming(old: &str, new: &str, request: Option<RequestId>, source: i64) -> Request {
    let (old, new) = (old.to_owned(), new.to_owned());
    Request::RenameCollection(Rename { db: String::new(), old, new, new_db: String::new(), request, source })
}

#[tokio::test(start_paused = true)]
async fn a_rename_without_a_number_may_be_repeated_after_a_takeover_only() {
    let bed = Bed::new().await;
    bed.carry_out(create("books")).await.expect("created");
    let rename = |source| renaming("books", "novels", None, source);
    assert_eq!(bed.carry_out(rename(1)).await, Ok(()));
    let refused = |answer| assert!(matches!(answer, Err(Failure::Ddl(DdlError::RenameTaken { .. }))));
    refused(bed.carry_out(rename(1)).await);

    let bed = bed.successor(NOW + Duration::from_secs(10)).await;
    bed.peers.take_calls();
    assert_eq!(bed.carry_out(rename(1)).await, Ok(()), "the repetition");
    let told = bed.peers.take_calls();
    assert!(!told.is_empty(), "the first attempt may not have come to tell the proxies");
    refused(bed.carry_out(rename(2)).await);
    // A collection of the old name is another matter.
    bed.carry_out(create("books")).await.expect("created");
    refused(bed.carry_out(rename(1)).await);

    let bed = bed.successor(NOW + Duration::from_secs(100)).await;
    bed.carry_out(Request::DropCollection { db: String::new(), name: "books".to_owned(), replicated: false })
        .await
        .expect("dropped");
    refused(bed.carry_out(rename(1)).await);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_about_different_names_do_not_wait_for_each_other() {
    let bed = Bed::new().await;
    let hanging = bed.peers.hang(CallKind::WatchChannels);
    let slow = bed.tasks.spawn({
        let ddl = bed.ddl.clone();
        async move { ddl.carry_out(create("slow")).await }
    });
    bed.until("the first one waits", |bed| {
        bed.peers.calls().iter().any(|call| matches!(call, Call::WatchChannels(_)))
    })
    .await;
    assert_eq!(bed.carry_out(create("books")).await, Ok(()));
    _ = hanging.send(());
    assert!(slow.await.expect("ends").result.is_ok());
    assert_eq!(bed.names_of_collections(), ["books", "slow"]);
    bed.end().await;
}

/// Whatever is being made has its place, until it is there or certainly won't be.
#[tokio::test(start_paused = true)]
async fn creations_at_a_time_do_not_exceed_the_limit() {
    for limits in [Limits { collections: 2, ..limits() }, Limits { collections_per_database: 2, ..limits() }]
    {
        let too_many = if limits.collections == 2 {
            TooManyCollections::Everywhere(2)
        } else {
            TooManyCollections::InDatabase(2)
        };
        let mut bed = Bed::term_with(Arc::default(), Arc::default(), Arc::default(), NOW, limits);
        (&mut bed.ready).await.expect("ready");
        let begin = |name: &'static str| {
            let (hanging, ddl) = (bed.peers.hang(CallKind::WatchChannels), bed.ddl.clone());
            let creating = bed.tasks.spawn(async move { ddl.carry_out(create(name)).await.result });
            (hanging, creating)
        };
        let (first, first_created) = begin("books");
        bed.until("it is being made", |bed| !bed.peers.calls().is_empty()).await;
        assert_eq!(bed.carry_out(create("films")).await, Ok(()));
        let refused = Err(DdlError::TooManyCollections(too_many).into());
        assert_eq!(bed.carry_out(create("songs")).await, refused);
        _ = first.send(());
        assert!(first_created.await.expect("ends").is_ok());
        assert_eq!(bed.carry_out(create("songs")).await, refused);

        bed.carry_out(drop_it("films")).await.expect("dropped");
        bed.peers.take_calls();
        bed.peers.fail(CallKind::WatchChannels, broken());
        assert_eq!(bed.carry_out(create("songs")).await, Err(Failure::Peer(broken())));
        assert_eq!(bed.carry_out(create("poems")).await, Ok(()), "what failed takes no place");
        bed.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_with_a_collection_stays() {
    let bed = Bed::new().await;
    let make = Request::CreateDatabase { name: "library".to_owned(), id: None };
    bed.carry_out(make).await.expect("created");
    let Request::CreateCollection(mut inside) = create("books") else { unreachable!() };
    inside.db_name = "library".to_owned();
    bed.carry_out(Request::CreateCollection(inside)).await.expect("created");
    let remove = || Request::DropDatabase { name: "library".to_owned() };
    let refused = bed.carry_out(remove()).await;
    assert_eq!(refused, Err(DdlError::DatabaseNotEmpty("library".to_owned()).into()));
    let gone =
        Request::DropCollection { db: "library".to_owned(), name: "books".to_owned(), replicated: false };
    bed.carry_out(gone).await.expect("dropped");
    assert_eq!(bed.carry_out(remove()).await, Ok(()));
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn of_what_is_gone_nothing_is_kept_for_ever() {
    let bed = Bed::new().await;
    bed.carry_out(create("books")).await.expect("created");
    bed.carry_out(create("films")).await.expect("created");
    bed.carry_out(create_alias("novels", "films")).await.expect("created");
    let (books, films) = (bed.id("books"), bed.id("films"));
    bed.carry_out(drop_it("books")).await.expect("dropped");
    bed.until("removed", |bed| bed.catalog.catalog.lock().record(books).is_none()).await;
    let of = |bed: &Bed, id: CollectionId| {
        bed.store.keys().iter().filter(|kv| kv.key.contains(&format!("/{id}"))).count()
    };
    assert!(of(&bed, books) > 0, "tombstones");
    let (before, aliases) = (of(&bed, films), bed.stored("database/aliases/"));
    let bed = bed.successor(NOW + KEPT + Duration::from_secs(60)).await;
    bed.until("nothing is left", |bed| of(bed, books) == 0).await;
    assert_eq!((of(&bed, films), bed.stored("database/aliases/")), (before, aliases));
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_given_again_keeps_its_new_life() {
    let bed = Bed::new().await;
    bed.carry_out(create("films")).await.expect("created");
    let drop_alias = || Request::DropAlias { db: String::new(), alias: "novels".to_owned() };
    bed.carry_out(create_alias("novels", "films")).await.expect("created");
    bed.carry_out(drop_alias()).await.expect("dropped");
    let garbage = {
        let later = Timestamp(bed.timestamps.newest().0 + 1);
        bed.catalog.catalog.lock().garbage(later)
    };
    bed.carry_out(create_alias("novels", "films")).await.expect("created again");
    assert_eq!(garbage.len(), 1);
    let refused = crate::etcd::commit::Commit::commit_settled(&*bed.store, &garbage[0]).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(bed.stored("database/aliases/").len(), 1);
    bed.end().await;
}
