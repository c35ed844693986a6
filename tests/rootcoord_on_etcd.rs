//! Rootcoord in one process on a real etcd: what it writes, and what a successor finds.

use std::{sync::Arc, time::Duration};

use milvus_coord::{
    clock::{BootInstant, Clock, SystemClock},
    election::{
        death_watch::{DeathWatch, NoDeathWatch},
        gate::GateSettings,
        history::Course,
        instance::{DeathWatchOf, Handles, Instance, InstanceSettings, World},
        life::Exit,
        notes::{Note, Witness},
        rules::Rules,
        standing::Standing,
    },
    etcd::{Etcd, keys::Keys, mirror::KeyRange, settings::EtcdSettings, txn::KeyValue},
    ids::{Epoch, Role},
    net::Tcp,
    rootcoord::{
        access::Defaults,
        collections::Rename,
        core::{Caller, Reach, RootCoord, RootCoordSettings},
        ddl::Request,
        error::DdlError,
        events::RootCoordEvents,
        failure::Failure,
        keys::{Repeatable, RequestId},
        tick::TickEvents,
    },
    rpc::{
        Identity,
        gatehouse::{Gatehouse, GatehouseSettings, NoHooks},
        server::{Server, ServerSettings, Services, Sizes},
    },
    telemetry::{events::Events, metrics::Metrics},
};
use milvus_coord_testbed::etcd::Etcd as EtcdServers;
use milvus_proto::{
    etcd::{CollectionInfo, DatabaseInfo},
    schema::{CollectionSchema, FieldSchema},
};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const PATIENCE: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_secs(5);
const TOMBSTONE: &[u8] = "\u{26fc}".as_bytes();

#[derive(Debug)]
struct Silent;

impl Witness for Silent {
    fn note(&self, _at: BootInstant, _note: &Note) {}

    fn course(&self, _: Epoch) -> Option<Course> {
        None
    }
}

struct Running {
    handles: Handles,
    core: Arc<RootCoord>,
    stop: CancellationToken,
    task: JoinHandle<Exit>,
    _server: Server,
}

struct Ground {
    servers: EtcdServers,
    tasks: TaskTracker,
}

fn etcd(servers: &EtcdServers) -> Etcd {
    let dial = Arc::new(Tcp { connect_timeout: Duration::from_millis(200) });
    Etcd::new(EtcdSettings::new(servers.endpoints()), dial, Arc::new(SystemClock))
        .expect("settings are right")
}

impl Ground {
    async fn new() -> Self {
        Self { servers: EtcdServers::single().await.expect("etcd starts"), tasks: TaskTracker::new() }
    }

    async fn start(&self) -> Running {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let dial = Arc::new(Tcp { connect_timeout: Duration::from_millis(200) });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let events = Events::new(Role::RootCoord, Metrics::new(Role::RootCoord, &*clock));
        let core = Arc::new(RootCoord::new(
            RootCoordSettings {
                // Only what the test itself writes is there.
                defaults: Arc::new(Defaults::none()),
                ..RootCoordSettings::new("by-dev/meta".to_owned(), "by-dev/kv".to_owned(), LEASE)
            },
            Arc::clone(&clock),
            Reach::nobody(Arc::new(TickEvents::new(events.clone(), Arc::clone(&clock)))),
            RootCoordEvents::new(events.clone()),
        ));
        let rules = Rules::default();
        let settings = InstanceSettings {
            role: Role::RootCoord,
            address,
            host_name: "test".to_owned(),
            keys: Keys::new("by-dev", "meta", "kv"),
            active_standby: true,
            lease_ttl: LEASE,
            gate: GateSettings { proof_window: Duration::from_millis(100), strict: false, rules },
            fast_takeover: true,
            foreign_wait: Duration::ZERO,
            priority: 0,
            failback: None,
            exit_on_loss: false,
            rounds: 30,
            write_timeout: Duration::from_secs(1),
            rules,
        };
        let death_watch: Arc<dyn DeathWatch> = Arc::new(NoDeathWatch);
        let death_watch = DeathWatchOf(Arc::new(move |_| Arc::clone(&death_watch)));
        let world = World { etcd: etcd(&self.servers), dial: dial.clone(), clock, death_watch };
        let (instance, handles) =
            Instance::new(settings, world, Arc::clone(&core) as _, Arc::new(Silent), vec![]);
        let gatehouse = Arc::new(Gatehouse::new(
            Arc::new(Identity::new("by-dev")),
            handles.standing.clone(),
            GatehouseSettings::default(),
            dial,
            self.tasks.clone(),
            Arc::new(NoHooks),
        ));
        let services = Services::new(Sizes::default()).peer(Arc::new(handles.peer_service.clone()));
        let server = Server::start(Box::new(listener), services, gatehouse, ServerSettings::default())
            .expect("it can serve");
        let stop = CancellationToken::new();
        let task = self.tasks.spawn(instance.run(stop.clone(), Arc::new(|| Box::pin(async {}))));
        Running { handles, core, stop, task, _server: server }
    }

    /// Every key of rootcoord's metadata.
    async fn metadata(&self) -> Vec<KeyValue> {
        let etcd = etcd(&self.servers);
        let mut found = Vec::new();
        for prefix in ["by-dev/meta/root-coord/", "by-dev/meta/snapshots/"] {
            let answer = etcd.list(&KeyRange::prefix(prefix), PATIENCE).await.expect("etcd answers");
            found.extend(answer.value);
        }
        found
    }

    async fn read(&self, key: &str) -> Option<KeyValue> {
        etcd(&self.servers).read(key, PATIENCE).await.expect("etcd answers").value
    }
}

impl Running {
    async fn until(&self, what: impl Fn(&Standing) -> bool) {
        let mut standing = self.handles.standing.clone();
        tokio::time::timeout(PATIENCE, standing.wait_for(what)).await.expect("in time").expect("alive");
    }

    async fn active(&self) {
        self.until(|standing| matches!(standing, Standing::Active { .. })).await;
    }

    async fn standby(&self) {
        self.until(|standing| matches!(standing, Standing::Standby { active: Some(_) })).await;
    }

    async fn end(self) {
        self.stop.cancel();
        assert_eq!(self.task.await.expect("no panic"), Exit::Done);
    }

    async fn names(&self) -> Vec<String> {
        let listed = self.core.list_databases(caller()).await.expect("serves");
        listed.into_iter().map(|database| database.name).collect()
    }

    async fn create(&self, name: &str, request: Option<RequestId>) -> Result<(), Failure> {
        let request = Request::CreateDatabase { name: name.to_owned(), id: request };
        self.core.change(caller(), request).await
    }
}

fn caller() -> Caller {
    Caller { arrived: SystemClock.boot(), message: 1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_what_milvus_reads() {
    let ground = Ground::new().await;
    let rootcoord = ground.start().await;
    rootcoord.active().await;
    rootcoord.create("books", None).await.expect("new");
    let metadata = ground.metadata().await;
    let plain: Vec<_> = metadata.iter().filter(|kv| !kv.key.contains("/snapshots/")).collect();
    assert_eq!((plain.len(), metadata.len()), (2, 4), "default and books, each twice");
    for kv in &plain {
        let info = DatabaseInfo::decode(&*kv.value).expect("a database");
        assert_eq!(kv.key, format!("by-dev/meta/root-coord/database/db-info/{}", info.id));
        assert_eq!((info.state, info.tenant_id.as_str()), (1, ""));
        let prefix = format!("by-dev/meta/snapshots/root-coord/database/db-info/{}_ts", info.id);
        let snapshot = metadata.iter().find(|kv| kv.key.starts_with(&prefix)).expect("its history");
        assert_eq!((&snapshot.value, snapshot.mod_revision), (&kv.value, kv.mod_revision));
    }

    rootcoord.core.change(caller(), Request::DropDatabase { name: "books".to_owned() }).await.expect("empty");
    let metadata = ground.metadata().await;
    let tombstones = metadata.iter().filter(|kv| kv.value == TOMBSTONE).count();
    assert_eq!((tombstones, metadata.len()), (2, 5));
    for key in ["by-dev/kv/gid/timestamp", "by-dev/kv/gid/idTimestamp"] {
        assert_eq!(ground.read(key).await.expect("stored").value.len(), 8);
    }
    rootcoord.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn successors_go_on_where_their_predecessors_were() {
    let ground = Ground::new().await;
    let mut active = ground.start().await;
    active.active().await;
    let request = RequestId { what: Repeatable::CreateDatabase, source: 1, message: 2, timestamp: 3 };
    active.create("books", Some(request)).await.expect("new");
    let (mut last_ts, mut last_id) = (0, 0);
    for round in 0..4 {
        for _ in 0..100 {
            let ts = active.core.alloc_timestamps(SystemClock.boot(), 1_000).await.expect("serves");
            let id = active.core.alloc_ids(SystemClock.boot(), 200_000).await.expect("serves");
            assert!(ts.0 > last_ts && id > last_id);
            (last_ts, last_id) = (ts.0 + 999, id + 199_999);
        }
        active.create(&format!("db{round}"), None).await.expect("new");
        let successor = ground.start().await;
        successor.standby().await;
        active.end().await;
        successor.active().await;
        active = successor;
        assert_eq!(active.create("books", Some(request)).await, Ok(()), "it was carried out already");
    }
    assert_eq!(active.names().await, ["default", "books", "db0", "db1", "db2", "db3"]);
    let exists = Failure::Ddl(DdlError::DatabaseExists("books".to_owned()));
    assert_eq!(active.create("books", None).await, Err(exists));
    active.end().await;
}

/// More fields and partitions than fit into one transaction, inside the collection's own value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_milvus_before_2_2_wrote_is_moved_whole() {
    const FIELDS: i64 = 100;
    const PARTITIONS: i64 = 200;
    let ground = Ground::new().await;
    let field = |field_id| FieldSchema { field_id, name: format!("f{field_id}"), ..FieldSchema::default() };
    let old = CollectionInfo {
        id: 400,
        schema: Some(CollectionSchema {
            name: "old".to_owned(),
            fields: (100..100 + FIELDS).map(field).collect(),
            ..CollectionSchema::default()
        }),
        partition_i_ds: (500..500 + PARTITIONS).collect(),
        partition_names: (0..PARTITIONS).map(|number| format!("p{number}")).collect(),
        partition_created_timestamps: (1..=PARTITIONS.unsigned_abs()).collect(),
        create_time: 7,
        ..CollectionInfo::default()
    };
    let keys = ["root-coord/collection/400", "snapshots/root-coord/collection/400_ts7"];
    let put = |key| milvus_coord::etcd::txn::Op::put(format!("by-dev/meta/{key}"), old.encode_to_vec());
    let seed = milvus_coord::etcd::txn::Txn {
        then: keys.map(put).into(),
        ..milvus_coord::etcd::txn::Txn::default()
    };
    etcd(&ground.servers).txn(seed, PATIENCE).await.expect("nobody forbids it");
    let rootcoord = ground.start().await;
    rootcoord.active().await;

    let rename = Rename {
        db: String::new(),
        old: "old".to_owned(),
        new: "new".to_owned(),
        new_db: String::new(),
        request: None,
        source: 1,
    };
    rootcoord.core.change(caller(), Request::RenameCollection(rename)).await.expect("renamed");
    let metadata = ground.metadata().await;
    let below = |prefix: &str| metadata.iter().filter(|kv| kv.key.starts_with(prefix)).count();
    for place in ["by-dev/meta/", "by-dev/meta/snapshots/"] {
        assert_eq!(below(&format!("{place}root-coord/fields/400/")), 100);
        assert_eq!(below(&format!("{place}root-coord/partitions/400/")), 200);
    }
    let record = ground.read("by-dev/meta/root-coord/collection/400").await.expect("stays where it was");
    let record = CollectionInfo::decode(&*record.value).expect("a collection");
    assert_eq!(record.schema.map(|schema| (schema.name, schema.fields.len())), Some(("new".to_owned(), 0)));
    assert!(record.partition_i_ds.is_empty() && record.partition_names.is_empty());
    rootcoord.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_put_of_a_window_is_answered_at_once() {
    let ground = Ground::new().await;
    let rootcoord = ground.start().await;
    rootcoord.active().await;
    let key = "by-dev/kv/gid/timestamp";
    let ours = ground.read(key).await.expect("stored");
    let smaller = milvus_coord::etcd::txn::Txn {
        then: vec![milvus_coord::etcd::txn::Op::put(key, 1_u64.to_be_bytes())],
        ..Default::default()
    };
    etcd(&ground.servers).txn(smaller, PATIENCE).await.expect("nobody forbids it");
    let restored = async {
        loop {
            let now = ground.read(key).await.expect("stored");
            if now.value >= ours.value {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), restored).await.expect("answered");
    rootcoord.core.alloc_timestamps(SystemClock.boot(), 1).await.expect("goes on");
    rootcoord.end().await;
}
