//! What a Milvus before 2.2 wrote: fields and partitions inside the collection's own value, and
//! aliases in the form of collections. Nothing of it may get lost, for Milvus 2.3.5 neither.

use std::collections::BTreeMap;

use milvus_proto::{
    etcd::{AliasInfo, CollectionInfo, PartitionInfo},
    schema::{CollectionSchema, DataType, FieldSchema},
};
use prost::Message as _;

use super::*;
use crate::{
    etcd::commit::memory::Fault,
    ids::{CollectionId, DbId, FieldId, PartitionId},
    rootcoord::{
        collections::Rename,
        error::DdlError,
        keys::{AliasHome, DEFAULT_DB, Key, Object, TOMBSTONE},
    },
};

const OLD: CollectionId = CollectionId(400);
const CREATED: u64 = 7 << 18;

/// Object by object: its value as of the newest snapshot.
type Objects = BTreeMap<Object, Vec<u8>>;

fn old_value(name: &str, fields: i64, partitions: i64) -> CollectionInfo {
    let field = |field_id: i64| FieldSchema {
        field_id,
        name: format!("f{field_id}"),
        is_primary_key: field_id == 100,
        data_type: DataType::Int64.into(),
        ..FieldSchema::default()
    };
    CollectionInfo {
        id: OLD.0,
        schema: Some(CollectionSchema {
            name: name.to_owned(),
            fields: (100..100 + fields).chain([0, 1]).map(field).collect(),
            ..CollectionSchema::default()
        }),
        create_time: CREATED,
        partition_i_ds: (500..500 + partitions).collect(),
        partition_names: (0..partitions)
            .map(|n| if n == 0 { "_default".to_owned() } else { format!("p{n}") })
            .collect(),
        partition_created_timestamps: (0..partitions).map(|n| CREATED + n.unsigned_abs()).collect(),
        virtual_channel_names: vec!["by-dev-rootcoord-dml_0_400v0".to_owned()],
        physical_channel_names: vec!["by-dev-rootcoord-dml_0".to_owned()],
        shards_num: 1,
        ..CollectionInfo::default()
    }
}

fn put(store: &MemoryStore, object: &Object, ts: u64, value: &[u8]) {
    store.put(&keys().plain(object), value);
    store.put(&keys().snapshot(object, Timestamp(ts)), value);
}

fn old_collection() -> Object {
    Object::Collection(DbId(0), OLD)
}

/// A term on what an old release has left.
async fn bed_with(objects: &[(Object, Vec<u8>)]) -> Bed {
    let store: Arc<MemoryStore> = Arc::default();
    for (object, value) in objects {
        put(&store, object, CREATED, value);
    }
    let mut bed = Bed::term(store, NOW);
    (&mut bed.ready).await.expect("ready");
    bed
}

async fn bed(fields: i64, partitions: i64) -> Bed {
    bed_with(&[(old_collection(), old_value("old", fields, partitions).encode_to_vec())]).await
}

impl Bed {
    fn newest(&self) -> Objects {
        let mut newest: BTreeMap<Object, (Timestamp, Vec<u8>)> = BTreeMap::new();
        for kv in self.store.keys() {
            if let Some(Key::Snapshot(object, ts)) = keys().parse(&kv.key) {
                let known = newest.entry(object).or_insert((ts, Vec::new()));
                if ts >= known.0 {
                    *known = (ts, kv.value);
                }
            }
        }
        for (object, (_, value)) in &newest {
            let plain = self.store.get(&keys().plain(object)).expect("a plain key");
            assert_eq!(plain.value, *value, "{object:?}");
        }
        newest.into_iter().map(|(object, (_, value))| (object, value)).collect()
    }

    /// The fields and the partitions of the old collection, read from the keys by the rules of
    /// Milvus 2.3.5.
    fn as_milvus_reads(&self) -> (String, Vec<i64>, Vec<String>) {
        let newest: Objects = self.newest().into_iter().filter(|(_, value)| value != TOMBSTONE).collect();
        let record = newest.iter().find(|(object, _)| matches!(object, Object::Collection(_, OLD)));
        let info = CollectionInfo::decode(&**record.expect("it is there").1).expect("a collection");
        let schema = info.schema.expect("a schema");
        let (mut fields, mut partitions): (Vec<_>, Vec<_>) =
            if schema.fields.is_empty() || info.partition_i_ds.is_empty() {
                let field = |(object, value): (&Object, &Vec<u8>)| {
                    matches!(object, Object::Field(OLD, _))
                        .then(|| FieldSchema::decode(&**value).expect("a field"))
                };
                let partition = |(object, value): (&Object, &Vec<u8>)| {
                    let of = matches!(object, Object::Partition(OLD, _));
                    of.then(|| PartitionInfo::decode(&**value).expect("a partition"))
                };
                let there = newest.iter().filter_map(partition).filter(|partition| partition.state == 0);
                (
                    newest.iter().filter_map(field).map(|field| field.field_id).collect(),
                    there.map(|partition| partition.partition_name).collect(),
                )
            } else {
                (schema.fields.iter().map(|field| field.field_id).collect(), info.partition_names)
            };
        fields.sort_unstable();
        partitions.sort_unstable();
        (schema.name, fields, partitions)
    }

    fn as_we_read(&self) -> (String, Vec<i64>, Vec<String>) {
        let catalog = self.catalog.catalog.lock();
        let whole = catalog.complete(catalog.visible(OLD).expect("seen")).expect("decodable");
        let mut fields: Vec<_> = whole.fields.iter().map(|field| field.field_id).collect();
        let mut partitions: Vec<_> = catalog.visible_partitions(OLD).map(|it| it.name.clone()).collect();
        fields.sort_unstable();
        partitions.sort_unstable();
        (whole.name, fields, partitions)
    }

    #[track_caller]
    fn reads(&self, name: &str, fields: i64, partitions: &[&str]) {
        let fields: Vec<i64> = [0, 1].into_iter().chain(100..100 + fields).collect();
        let partitions = partitions.iter().map(|name| (*name).to_owned()).collect();
        let expected = (name.to_owned(), fields, partitions);
        assert_eq!(self.as_we_read(), expected);
        assert_eq!(self.as_milvus_reads(), expected);
    }

    /// The same after a restart, from the keys alone.
    async fn again(self) -> Self {
        self.successor(NOW + Duration::from_secs(10)).await
    }
}

fn rename(new: &str, new_db: &str) -> Request {
    Request::RenameCollection(Rename {
        db: String::new(),
        old: "old".to_owned(),
        new: new.to_owned(),
        new_db: new_db.to_owned(),
        request: None,
        source: 1,
    })
}

fn alter() -> Request {
    Request::AlterCollection {
        db: String::new(),
        name: "old".to_owned(),
        properties: vec![("collection.ttl.seconds".to_owned(), "15".to_owned())],
    }
}

fn create_partition(partition: &str) -> Request {
    Request::CreatePartition {
        db: String::new(),
        collection: "old".to_owned(),
        partition: partition.to_owned(),
    }
}

fn drop_partition(partition: &str) -> Request {
    Request::DropPartition {
        db: String::new(),
        collection: "old".to_owned(),
        partition: partition.to_owned(),
        replicated: false,
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_collection_is_whole_and_nothing_of_it_is_written_for_nothing() {
    let bed = bed(3, 2).await;
    bed.reads("old", 3, &["_default", "p1"]);
    assert_eq!(bed.catalog.catalog.lock().created_partitions(), 2);
    let bed = bed.again().await;
    let collection = bed.store.get(&keys().plain(&old_collection())).expect("there");
    assert_eq!(collection.value, old_value("old", 3, 2).encode_to_vec());
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn every_change_keeps_fields_and_partitions() {
    let library = Request::CreateDatabase { name: "library".to_owned(), id: None };
    for (change, name, partitions) in [
        (alter(), "old", &["_default", "p1", "p2"][..]),
        (rename("new", ""), "new", &["_default", "p1", "p2"]),
        (rename("new", "library"), "new", &["_default", "p1", "p2"]),
        (create_partition("p3"), "old", &["_default", "p1", "p2", "p3"]),
        (drop_partition("p1"), "old", &["_default", "p2"]),
    ] {
        let bed = bed(3, 3).await;
        bed.carry_out(library.clone()).await.expect("created");
        assert_eq!(bed.carry_out(change).await, Ok(()));
        bed.reads(name, 3, partitions);
        let bed = bed.again().await;
        bed.reads(name, 3, partitions);
        bed.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_etcd_takes_at_once_is_moved_piece_by_piece_and_counts_at_the_end() {
    let mut all: Vec<String> = (1..150).map(|n| format!("p{n}")).chain(["_default".to_owned()]).collect();
    all.sort();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let bed = bed(70, 150).await;
    // The first piece gets through, the second does not.
    bed.store.fail([Fault::Hang, Fault::NotSent]);
    let renaming = bed.tasks.spawn({
        let ddl = bed.ddl.clone();
        async move { ddl.carry_out(rename("new", "")).await }
    });
    bed.store.wait_hanging().await;
    bed.store.release();
    assert!(renaming.await.expect("ends").result.is_err());
    bed.reads("old", 70, &all);
    let bed = bed.again().await;
    bed.reads("old", 70, &all);
    assert_eq!(bed.carry_out(rename("new", "")).await, Ok(()));
    bed.reads("new", 70, &all);
    let bed = bed.again().await;
    bed.reads("new", 70, &all);
    bed.end().await;
}

/// Milvus 2.3.5 writes the state of such a partition into a key that does not count.
#[tokio::test(start_paused = true)]
async fn what_did_not_count_does_not_count_afterwards() {
    let partition = |id: i64, name: &str, state: i32| {
        let info = PartitionInfo {
            partition_id: id,
            partition_name: name.to_owned(),
            collection_id: OLD.0,
            state,
            ..PartitionInfo::default()
        };
        (Object::Partition(OLD, PartitionId(id)), info.encode_to_vec())
    };
    let field = FieldSchema { field_id: 150, name: "f150".to_owned(), ..FieldSchema::default() };
    let bed = bed_with(&[
        (old_collection(), old_value("old", 2, 2).encode_to_vec()),
        // Listed, and dropped beside the list; and one that was never listed.
        partition(501, "p1", 2),
        partition(600, "gone", 0),
        (Object::Field(OLD, FieldId(150)), field.encode_to_vec()),
    ])
    .await;
    bed.reads("old", 2, &["_default", "p1"]);
    assert_eq!(bed.carry_out(rename("new", "")).await, Ok(()));
    bed.reads("new", 2, &["_default", "p1"]);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_collection_is_dropped_and_removed() {
    let bed = bed(3, 2).await;
    let drop = Request::DropCollection { db: String::new(), name: "old".to_owned(), replicated: false };
    assert_eq!(bed.carry_out(drop).await, Ok(()));
    for _ in 0..100_000 {
        if bed.catalog.catalog.lock().record(OLD).is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        bed.timestamps.step_to(UnixNanos(bed.timestamps.newest().physical().0 + 1_000_000));
    }
    assert!(bed.catalog.catalog.lock().record(OLD).is_none());
    let live: Vec<_> = bed.newest().into_iter().filter(|(_, value)| value != TOMBSTONE).collect();
    assert_eq!(live.len(), 1, "the default database: {live:?}");
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn aliases_of_all_releases_are_found_altered_and_dropped() {
    let home = |home: AliasHome, name: &str| Object::Alias(home, name.to_owned());
    let alias_info = |name: &str| {
        AliasInfo { alias_name: name.to_owned(), collection_id: OLD.0, ..AliasInfo::default() }
            .encode_to_vec()
    };
    let oldest = |name: &str| {
        let schema = CollectionSchema { name: name.to_owned(), ..CollectionSchema::default() };
        CollectionInfo { id: OLD.0, schema: Some(schema), ..CollectionInfo::default() }.encode_to_vec()
    };
    let bed = bed_with(&[
        (old_collection(), old_value("old", 1, 1).encode_to_vec()),
        (home(AliasHome::NoDatabase, "a"), alias_info("a")),
        (home(AliasHome::AsCollection, "b"), oldest("b")),
        (home(AliasHome::AsCollection, "bb"), oldest("bb")),
        (home(AliasHome::AsCollection, "c"), oldest("c")),
    ])
    .await;
    let aliases = |bed: &Bed| {
        let catalog = bed.catalog.catalog.lock();
        let mut aliases: Vec<_> = catalog.aliases_of(OLD).map(str::to_owned).collect();
        aliases.sort();
        aliases
    };
    assert_eq!(aliases(&bed), ["a", "b", "bb", "c"]);
    {
        let catalog = bed.catalog.catalog.lock();
        let found = catalog.lookup(catalog.named("").expect("default"), "b").expect("found");
        assert_eq!(
            (found.id, catalog.collections(DEFAULT_DB).count()),
            (OLD, 1),
            "aliases are no collections"
        );
    }
    let by_alias = Request::DropCollection { db: String::new(), name: "b".to_owned(), replicated: false };
    assert_eq!(bed.carry_out(by_alias).await, Err(DdlError::DropByAlias("b".to_owned()).into()));
    let drop = |alias: &str| Request::DropAlias { db: String::new(), alias: alias.to_owned() };
    assert_eq!(bed.carry_out(drop("a")).await, Ok(()));
    assert_eq!(bed.carry_out(drop("b")).await, Ok(()));
    // A creation again writes it where it is written today.
    let create = |alias: &str, collection: &str| Request::CreateAlias {
        db: String::new(),
        alias: alias.to_owned(),
        collection: collection.to_owned(),
    };
    assert_eq!(bed.carry_out(create("a", "old")).await, Ok(()));
    assert_eq!(bed.carry_out(create("bb", "old")).await, Ok(()), "it is so already");
    let bed = bed.again().await;
    assert_eq!(aliases(&bed), ["a", "bb", "c"]);
    let live = bed.newest().into_iter().filter(|(_, value)| value != TOMBSTONE);
    let homes = live.filter_map(|(object, _)| match object {
        Object::Alias(home, name) => Some((home, name)),
        _ => None,
    });
    let stored: Vec<_> = homes.collect();
    let expected = [
        (AliasHome::Database(DEFAULT_DB), "a"),
        (AliasHome::AsCollection, "bb"),
        (AliasHome::AsCollection, "c"),
    ];
    assert_eq!(stored, expected.map(|(home, name)| (home, name.to_owned())));
    bed.end().await;
}
