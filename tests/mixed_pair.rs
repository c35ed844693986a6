//! A real Milvus 2.3.5 rootcoord and milvus-coord as one pair on one etcd: the way in,
//! and the way back.

#![expect(clippy::disallowed_methods, reason = "a test has the machine's clock")]

use std::time::{Duration, Instant};

use milvus_coord_testbed::{
    bed::{Bed, ROOT},
    grpc::Direct,
    instance::{Instance, Plan, SOON},
    load::Load,
    or_skip,
    oracle::{Oracle, RealCluster},
};
use milvus_proto::{
    common::{MsgBase, MsgType},
    etcd::CollectionInfo,
    milvus::{DescribeCollectionRequest, RenameCollectionRequest, ShowPartitionsRequest},
    schema::{CollectionSchema, DataType, FieldSchema},
};
use prost::Message as _;

const PROGRAM: &str = env!("CARGO_BIN_EXE_milvus-coord");

/// A lease, in seconds, that no test waits for.
const LONG: u32 = 60;

/// A lease, in seconds, whose end is waited for.
const SHORT: u32 = 3;

/// Bound of a takeover that waits for no lease, by the real one, too: it loads its
/// metadata and makes its producers first.
const FAST: Duration = Duration::from_secs(15);

/// Bound of a takeover for which a [`SHORT`] lease ends.
const LEASE_END: Duration = Duration::from_secs(30);

/// The real one stops slowly: it waits for its own calls to absent peers.
const REAL_STOP: Duration = Duration::from_secs(40);

struct Mixed {
    bed: Bed,
    cluster: RealCluster,
}

impl Mixed {
    async fn new() -> Result<Self, String> {
        let oracle = Oracle::find()?;
        Ok(Self { bed: Bed::new(PROGRAM).await, cluster: RealCluster::start(&oracle).await })
    }

    fn real(&self, ttl: u32) -> Plan {
        self.cluster.rootcoord(&self.bed.etcd.endpoints(), ROOT).named("real").set("common.session.ttl", ttl)
    }

    fn ours(&self, lease: u32) -> Plan {
        self.bed.plan("ours").set("common.activeStandby.leaseSeconds", lease)
    }

    /// `active` is ended by `end`; `standby` must then serve within `limit`, with all
    /// timestamps in order and all databases there, and can make another one.
    async fn passes_on(
        &self,
        active: Plan,
        standby: Plan,
        limit: Duration,
        end: impl AsyncFnOnce(&Instance),
    ) {
        let (active, standby) = self.bed.pair_of(active, standby).await;
        let client = self.bed.client().await;
        client.create_database("before").await.unwrap();
        let load = Load::under_way(&client, 100, SOON).await;

        end(&active).await;
        let next = self.bed.wait_active(&standby, limit).await;
        standby.serves(limit).await;
        load.success_since(Instant::now(), limit).await;

        let history = load.stop().await;
        history.assert_ordered();
        assert!(history.servers().contains(&next.server_id), "the new one has answered");
        client.create_database("after").await.unwrap();
        assert_eq!(client.list_databases().await.unwrap(), ["after", "before", "default"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_takes_over_from_a_killed_real_one_without_waiting_for_its_lease() {
    let mixed = or_skip!(Mixed::new().await);
    mixed
        .passes_on(mixed.real(LONG), mixed.ours(LONG), FAST, async |real| {
            real.kill().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_takes_over_from_a_stopped_real_one_although_it_keeps_its_key() {
    let mixed = or_skip!(Mixed::new().await);
    mixed
        .passes_on(mixed.real(LONG), mixed.ours(LONG), FAST, async |real| {
            real.terminate();
            real.process.exit(REAL_STOP).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_one_takes_over_from_a_killed_one_of_ours_when_the_lease_ends() {
    let mixed = or_skip!(Mixed::new().await);
    mixed
        .passes_on(mixed.ours(SHORT), mixed.real(SHORT), LEASE_END, async |ours| {
            ours.kill().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_one_takes_over_at_once_when_ours_is_asked_to_end() {
    let mixed = or_skip!(Mixed::new().await);
    mixed
        .passes_on(mixed.ours(LONG), mixed.real(LONG), FAST, async |ours| {
            ours.terminate();
            assert_eq!(ours.process.exit(SOON).await.code, Some(0));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_one_that_was_frozen_does_not_set_the_clock_back_when_it_wakes() {
    let mixed = or_skip!(Mixed::new().await);
    let (real, ours) = mixed.bed.pair_of(mixed.real(SHORT), mixed.ours(SHORT)).await;
    let client = mixed.bed.client().await;
    let before = client.alloc_timestamp(10).await.unwrap();
    real.process.freeze().await;
    ours.serves(LEASE_END).await;
    let client = client.separate();
    let load = Load::under_way(&client, 100, SOON).await;
    real.process.thaw();
    // It notices that it has lost its key, and ends; until then it may write.
    real.process.exit(REAL_STOP).await;
    load.successes(100, SOON).await;
    let history = load.stop().await;
    history.assert_ordered();
    assert!(history.successes().all(|(_, span)| span.first > before.last()));
    // What it may have written over is stored again: the next one starts above.
    let last = history.successes().map(|(_, span)| span.last()).max().unwrap();
    ours.kill().await;
    let again = ours.plan().start();
    again.serves(FAST).await;
    let after = client.separate().alloc_timestamp(1).await.unwrap();
    assert!(after.first > last, "{after:?} after {last}");
}

/// The fields and the partitions that an instance tells of a collection, each with its id.
async fn told(instance: &Instance, collection: &str) -> (Vec<(i64, String)>, Vec<(i64, String)>) {
    let mut client = Direct::connect(&instance.address(), None).await.unwrap().raw();
    let base = |kind: MsgType| Some(MsgBase { msg_type: kind.into(), ..MsgBase::default() });
    let request = DescribeCollectionRequest {
        base: base(MsgType::DescribeCollection),
        collection_name: collection.to_owned(),
        ..DescribeCollectionRequest::default()
    };
    let described = client.describe_collection(request).await.unwrap().into_inner();
    assert_eq!(described.status.unwrap_or_default().code, 0, "{collection}");
    let fields = described.schema.unwrap_or_default().fields.into_iter();
    let mut fields: Vec<_> = fields.map(|field| (field.field_id, field.name)).collect();
    let request = ShowPartitionsRequest {
        base: base(MsgType::ShowPartitions),
        collection_name: collection.to_owned(),
        ..ShowPartitionsRequest::default()
    };
    let shown = client.show_partitions(request).await.unwrap().into_inner();
    let mut partitions: Vec<_> = shown.partition_i_ds.into_iter().zip(shown.partition_names).collect();
    fields.sort();
    partitions.sort();
    (fields, partitions)
}

/// In the form of releases before 2.2: fields and partitions inside the collection's value. The
/// real one loses them when it changes such a collection, and must find them after ours did.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_release_wrote_is_the_same_for_both_before_and_after_a_change() {
    let mixed = or_skip!(Mixed::new().await);
    let field = |field_id: i64| FieldSchema {
        field_id,
        name: format!("f{field_id}"),
        is_primary_key: field_id == 100,
        data_type: DataType::Int64.into(),
        ..FieldSchema::default()
    };
    let old = CollectionInfo {
        id: 400,
        schema: Some(CollectionSchema {
            name: "old".to_owned(),
            fields: [100, 101, 102, 0, 1].map(field).into(),
            ..CollectionSchema::default()
        }),
        create_time: 7,
        partition_i_ds: vec![500, 501],
        partition_names: vec!["_default".to_owned(), "p".to_owned()],
        partition_created_timestamps: vec![7, 8],
        virtual_channel_names: vec!["by-dev-rootcoord-dml_0_400v0".to_owned()],
        physical_channel_names: vec!["by-dev-rootcoord-dml_0".to_owned()],
        shards_num: 1,
        ..CollectionInfo::default()
    };
    let alias = CollectionInfo {
        id: 400,
        schema: Some(CollectionSchema { name: "nick".to_owned(), ..CollectionSchema::default() }),
        ..CollectionInfo::default()
    };
    let mut store = mixed.bed.store().await;
    for (key, value) in [("collection/400", &old), ("collection-alias/nick", &alias)] {
        let value = value.encode_to_vec();
        store.put(format!("{ROOT}/meta/root-coord/{key}"), value.clone(), None).await.unwrap();
        store.put(format!("{ROOT}/meta/snapshots/root-coord/{key}_ts7"), value, None).await.unwrap();
    }

    let (real, ours) = mixed.bed.pair_of(mixed.real(LONG), mixed.ours(LONG)).await;
    let before = told(&real, "old").await;
    assert_eq!((before.0.len(), before.1.len()), (5, 2));
    assert_eq!(told(&real, "nick").await, before);
    real.kill().await;
    ours.serves(FAST).await;
    assert_eq!(told(&ours, "old").await, before);
    assert_eq!(told(&ours, "nick").await, before);
    let rename = RenameCollectionRequest {
        base: Some(MsgBase { msg_type: MsgType::RenameCollection.into(), ..MsgBase::default() }),
        old_name: "old".to_owned(),
        new_name: "new".to_owned(),
        ..RenameCollectionRequest::default()
    };
    let mut client = Direct::connect(&ours.address(), None).await.unwrap().raw();
    assert_eq!(client.rename_collection(rename).await.unwrap().into_inner().code, 0);
    assert_eq!(told(&ours, "new").await, before);

    let again = mixed.real(LONG).start();
    again.standby().await;
    ours.terminate();
    assert_eq!(ours.process.exit(SOON).await.code, Some(0));
    again.serves(FAST).await;
    assert_eq!(told(&again, "new").await, before);
    assert_eq!(told(&again, "nick").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_both_kinds() {
    let mixed = or_skip!(Mixed::new().await);
    let (real, ours) = mixed.bed.pair_of(mixed.real(LONG), mixed.ours(LONG)).await;
    let endpoint = mixed.bed.etcd.endpoint(0).replace("http://", "");
    let output = tokio::process::Command::new(PROGRAM)
        .args(["status", "--json"])
        .env_clear()
        .env("ETCD_ENDPOINTS", endpoint)
        .current_dir(ours.folder())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SOON, output).await.expect("status ends").unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let row = |instance: &Instance| rows.iter().find(|row| row["address"] == instance.address()).unwrap();
    assert_eq!((&row(&real)["state"], &row(&real)["software"]), (&"ACTIVE".into(), &"milvus/2.3.5".into()));
    assert!(row(&real)["lag_revisions"].is_null(), "a real one does not tell: {rows:#?}");
    assert_eq!(row(&ours)["state"], "STANDBY");
}
