//! Toy coordinators on loopback.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use milvus_proto::{
    common::{MsgBase, Status as Answered},
    milvus::{
        ComponentInfo, ComponentStates, CreateDatabaseRequest, GetComponentStatesRequest,
        ListDatabasesRequest, ListDatabasesResponse,
    },
    rootcoord::{
        AllocTimestampRequest, AllocTimestampResponse, root_coord_client::RootCoordClient,
        root_coord_server::RootCoord,
    },
};
use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use crate::{
    election::standing::{Peer, Standing},
    ids::{Epoch, ServerId},
    net::Tcp,
    rpc::{
        Identity,
        gatehouse::{Gatehouse, GatehouseSettings, Hooks, NotReady, PushAway},
        link::{Link, LinkOwner, LinkSettings},
        merr::{self, Kind, MilvusError},
        server::{Server, ServerSettings, Services, Sizes},
    },
};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const CLUSTER_NAME: &str = "by-dev";

/// A rootcoord that remembers what it was asked.
#[derive(Debug)]
pub(crate) struct Toy {
    pub(crate) id: ServerId,
    clock: AtomicU64,
    /// Names of databases that were created, in order.
    pub(crate) created: Mutex<Vec<String>>,
    /// The last `create_database`'s base.
    pub(crate) base: Mutex<Option<MsgBase>>,
    calls: AtomicU64,
    /// Metadata of the last call.
    pub(crate) metadata: Mutex<HashMap<String, String>>,
    /// Calls of `create_database` with the name `slow` end when this is notified.
    pub(crate) finish: Notify,
    /// Notified when one has begun.
    pub(crate) begun: Notify,
}

impl Toy {
    /// How many calls have reached it.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn ready<T>(&self, request: &Request<T>) -> Result<(), MilvusError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        *self.metadata.lock() = request
            .metadata()
            .clone()
            .into_headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        if NotReady::asked(request) {
            return Err(MilvusError::not_ready("rootcoord", self.id, "Initializing"));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl RootCoord for Toy {
    async fn get_component_states(
        &self,
        _: Request<GetComponentStatesRequest>,
    ) -> Result<Response<ComponentStates>, Status> {
        let state = ComponentInfo { node_id: self.id.0, role: "rootcoord".into(), ..Default::default() };
        Ok(Response::new(ComponentStates { state: Some(state), ..Default::default() }))
    }

    async fn alloc_timestamp(
        &self,
        request: Request<AllocTimestampRequest>,
    ) -> Result<Response<AllocTimestampResponse>, Status> {
        let status = self.ready(&request).err().map(Answered::from);
        let count = request.into_inner().count;
        let timestamp = self.clock.fetch_add(u64::from(count), Ordering::Relaxed);
        Ok(Response::new(AllocTimestampResponse { status, timestamp, count }))
    }

    async fn create_database(
        &self,
        request: Request<CreateDatabaseRequest>,
    ) -> Result<Response<Answered>, Status> {
        if let Err(error) = self.ready(&request) {
            return Ok(Response::new(error.into()));
        }
        let CreateDatabaseRequest { base, db_name: name } = request.into_inner();
        *self.base.lock() = base;
        match &*name {
            "fail" => {
                let error = MilvusError::new(Kind::DatabaseNotFound).with("database", &name);
                return Ok(Response::new(error.into()));
            }
            "panic" => panic!("as asked"),
            "status" => {
                let mut status = Status::failed_precondition("odd: ä % \n");
                status.metadata_mut().insert("extra", "kept".parse().unwrap());
                return Err(status);
            }
            "slow" => {
                self.begun.notify_one();
                self.finish.notified().await;
            }
            _ => {}
        }
        self.created.lock().push(name);
        Ok(Response::new(merr::success()))
    }

    /// Answers as many bytes as it was asked for in the base's message id.
    async fn list_databases(
        &self,
        request: Request<ListDatabasesRequest>,
    ) -> Result<Response<ListDatabasesResponse>, Status> {
        let status = self.ready(&request).err().map(Answered::from);
        let size = request.into_inner().base.map_or(0, |base| base.msg_id);
        let mut response = Response::new(ListDatabasesResponse {
            status,
            db_names: vec!["x".repeat(usize::try_from(size).unwrap())],
            created_timestamp: Vec::new(),
        });
        response.metadata_mut().insert("served-by", self.id.to_string().parse().unwrap());
        Ok(response)
    }
}

/// What the hooks were told.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) waited: Mutex<Vec<bool>>,
    pub(crate) forwarded: Mutex<Vec<bool>>,
    pub(crate) pushed_away: Mutex<Vec<PushAway>>,
    pub(crate) panicked: Mutex<Vec<String>>,
}

impl Hooks for Counted {
    fn waited(&self, _: &str, _: Duration, in_vain: bool) {
        self.waited.lock().push(in_vain);
    }

    fn forwarded(&self, _: &str, answered: bool) {
        self.forwarded.lock().push(answered);
    }

    fn pushed_away(&self, _: &str, why: PushAway) {
        self.pushed_away.lock().push(why);
    }

    fn panicked(&self, path: &str) {
        self.panicked.lock().push(path.to_owned());
    }
}

/// A toy coordinator that listens.
pub(crate) struct Node {
    pub(crate) toy: Arc<Toy>,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) gatehouse: Arc<Gatehouse>,
    pub(crate) hooks: Arc<Counted>,
    pub(crate) server: Server,
    /// Of the gatehouse.
    pub(crate) tasks: TaskTracker,
}

pub(crate) struct Wishes {
    pub(crate) gatehouse: GatehouseSettings,
    pub(crate) server: ServerSettings,
    pub(crate) sizes: Sizes,
}

impl Default for Wishes {
    fn default() -> Self {
        let gatehouse = GatehouseSettings { link: link_settings(), ..GatehouseSettings::default() };
        Self { gatehouse, server: ServerSettings::default(), sizes: Sizes::default() }
    }
}

/// Patient enough for a busy machine.
pub(crate) fn link_settings() -> LinkSettings {
    LinkSettings { connect_timeout: PATIENCE, ..LinkSettings::default() }
}

/// Calls wait as long as it takes.
pub(crate) fn patient() -> Wishes {
    let mut wishes = Wishes::default();
    wishes.gatehouse.patience = PATIENCE;
    wishes
}

/// Waits until it is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("happens in time");
}

impl Node {
    pub(crate) async fn start(id: i64, standing: Standing) -> Self {
        Self::start_with(id, standing, Wishes::default()).await
    }

    pub(crate) async fn start_with(id: i64, standing: Standing, wishes: Wishes) -> Self {
        let toy = Arc::new(Toy {
            id: ServerId(id),
            clock: AtomicU64::new(1),
            created: Mutex::default(),
            base: Mutex::default(),
            calls: AtomicU64::new(0),
            metadata: Mutex::default(),
            finish: Notify::new(),
            begun: Notify::new(),
        });
        let identity = Arc::new(Identity::new(CLUSTER_NAME));
        identity.set_server_id(ServerId(id));
        let (standing, shown) = watch::channel(standing);
        let hooks = Arc::new(Counted::default());
        let tasks = TaskTracker::new();
        let gatehouse = Arc::new(Gatehouse::new(
            identity,
            shown,
            wishes.gatehouse,
            Arc::new(Tcp { connect_timeout: PATIENCE }),
            tasks.clone(),
            hooks.clone(),
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let services = Services::new(wishes.sizes).root_coord(toy.clone());
        let server = Server::start(Box::new(listener), services, gatehouse.clone(), wishes.server).unwrap();
        Self { toy, standing, gatehouse, hooks, server, tasks }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer { server_id: self.toy.id, address: self.address().to_string() }
    }

    pub(crate) async fn link(&self) -> Link {
        connect(self.address()).await
    }

    pub(crate) async fn client(&self) -> RootCoordClient<Link> {
        let size = 512 << 20;
        RootCoordClient::new(self.link().await)
            .max_decoding_message_size(size)
            .max_encoding_message_size(size)
    }

    /// Whether the ACTIVE one is elsewhere.
    pub(crate) fn follow(&self, active: &Self, epoch: i64) {
        self.standing.send_replace(Standing::Standby { active: Some((active.peer(), Epoch(epoch))) });
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Link {
    let dial = Tcp { connect_timeout: PATIENCE };
    Link::connect(&dial, &address.to_string(), link_settings(), &LinkOwner::default()).await.unwrap()
}

/// A request as Milvus's components send it.
pub(crate) fn to<T>(id: Option<i64>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("cluster", CLUSTER_NAME.parse().unwrap());
    if let Some(id) = id {
        request.metadata_mut().insert("serverid", id.into());
    }
    request
}

pub(crate) fn create(name: &str) -> CreateDatabaseRequest {
    CreateDatabaseRequest { db_name: name.into(), ..Default::default() }
}

/// A request for an answer of that size.
pub(crate) fn list(size: usize) -> ListDatabasesRequest {
    let msg_id = i64::try_from(size).unwrap();
    let base = MsgBase { msg_id, ..Default::default() };
    ListDatabasesRequest { base: Some(base) }
}
