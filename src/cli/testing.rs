//! Instances for tests: gRPC servers that say what they are told to.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use milvus_coord_testbed::etcd::Etcd as EtcdServer;
use milvus_proto::{
    common::StateCode,
    milvus::{ComponentInfo, ComponentStates, GetComponentStatesRequest},
    peer::{
        Phase, StatusRequest, StatusResponse, SwitchoverRequest, SwitchoverResponse,
        peer_server::{Peer, PeerServer},
    },
    rootcoord::root_coord_server::{RootCoord, RootCoordServer},
};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    clock::SystemClock,
    election::session::Session,
    etcd::{
        Etcd,
        keys::Keys,
        settings::EtcdSettings,
        txn::{Op, Txn},
    },
    ids::{LeaseId, Role, ServerId},
    net::{Dial, Tcp},
};

pub(super) const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn dial() -> Arc<dyn Dial> {
    Arc::new(Tcp { connect_timeout: LIMIT })
}

pub(super) fn keys() -> Keys {
    Keys::new("by-dev", "meta", "kv")
}

/// What an instance answers. Where there is nothing, the call is unknown to it.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) component: Option<ComponentInfo>,
    pub(super) status: Option<StatusResponse>,
    pub(super) switchover: Option<SwitchoverResponse>,
    /// Takes calls to Switchover and never answers: tells here that one has come.
    pub(super) silent: Mutex<Option<oneshot::Sender<()>>>,
    pub(super) asked: Mutex<Vec<i64>>,
    /// The first call to Status tells here that it has come, and is answered when it is let go.
    pub(super) held: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

impl Script {
    /// A real rootcoord.
    pub(super) fn milvus(id: i64, code: StateCode) -> Self {
        Self { component: Some(component(id, code)), ..Self::default() }
    }

    /// A rootcoord of our kind.
    pub(super) fn own(status: StatusResponse) -> Self {
        let code = match status.phase() {
            Phase::Active => StateCode::Healthy,
            Phase::Standby => StateCode::StandBy,
            _ => StateCode::Initializing,
        };
        Self { component: Some(component(status.server_id, code)), status: Some(status), ..Self::default() }
    }
}

pub(super) fn component(id: i64, code: StateCode) -> ComponentInfo {
    ComponentInfo { node_id: id, role: "rootcoord".to_owned(), state_code: code.into(), ..Default::default() }
}

pub(super) fn status(id: i64, phase: Phase) -> StatusResponse {
    StatusResponse {
        role: "rootcoord".to_owned(),
        server_id: id,
        phase: phase.into(),
        mirror_revision: 90,
        etcd_revision: 93,
        version: "0.1.0".to_owned(),
        ..Default::default()
    }
}

/// An instance that listens until it is dropped.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    pub(super) script: Arc<Script>,
    _stop: DropGuard,
}

#[derive(Clone, Debug)]
struct Served(Arc<Script>);

impl Fake {
    pub(super) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let script = Arc::new(script);
        let served = Served(Arc::clone(&script));
        let mut routes = Server::builder().add_service(RootCoordServer::new(served.clone()));
        if script.status.is_some() {
            routes = routes.add_service(PeerServer::new(served));
        }
        let serving = routes
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        let tasks = TaskTracker::new();
        tasks.spawn(async move { serving.await.unwrap() });
        Self { address, script, _stop: stop.drop_guard() }
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }
}

#[tonic::async_trait]
impl RootCoord for Served {
    async fn get_component_states(
        &self,
        _: Request<GetComponentStatesRequest>,
    ) -> Result<Response<ComponentStates>, Status> {
        Ok(Response::new(ComponentStates { state: self.0.component.clone(), ..Default::default() }))
    }
}

#[tonic::async_trait]
impl Peer for Served {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let held = self.0.held.lock().take();
        if let Some((arrived, go)) = held {
            let _ = arrived.send(());
            let _ = go.await;
        }
        self.0.status.clone().map(Response::new).ok_or_else(|| Status::unimplemented("no status"))
    }

    async fn switchover(
        &self,
        request: Request<SwitchoverRequest>,
    ) -> Result<Response<SwitchoverResponse>, Status> {
        self.0.asked.lock().push(request.into_inner().to_server_id);
        let silent = self.0.silent.lock().take();
        if let Some(arrived) = silent {
            let _ = arrived.send(());
            std::future::pending::<()>().await;
        }
        self.0.switchover.clone().map(Response::new).ok_or_else(|| Status::internal("no answer is planned"))
    }
}

/// A port on which nothing listens, and which nobody else is given while the socket lives.
pub(super) fn closed_port() -> (String, TcpSocket) {
    let bound = TcpSocket::new_v4().unwrap();
    bound.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    (bound.local_addr().unwrap().to_string(), bound)
}

/// Sessions in a real etcd.
pub(super) struct Cluster {
    pub(super) etcd: Etcd,
    _server: EtcdServer,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let server = EtcdServer::single().await.unwrap();
        let settings = EtcdSettings::new(server.endpoints());
        Self { etcd: Etcd::new(settings, dial(), Arc::new(SystemClock)).unwrap(), _server: server }
    }

    pub(super) async fn put(&self, name: &str, value: Vec<u8>, lease: Option<LeaseId>) {
        let key = format!("{}{name}", keys().sessions().start);
        let txn = Txn { guards: vec![], then: vec![Op::Put { key, value, lease }], otherwise: vec![] };
        self.etcd.txn(txn, LIMIT).await.unwrap();
    }

    /// Registers an instance under a lease of 30 s; with the ACTIVE key, if it is that.
    pub(super) async fn register(&self, session: &Session, active: bool) {
        let lease = self.etcd.grant(Duration::from_secs(30), LIMIT).await.unwrap().value.lease;
        let value = session.with_lease(lease).encode();
        let name = format!("{}-{}", session.server_name, session.server_id);
        self.put(&name, value.clone(), Some(lease)).await;
        if active {
            self.put(&session.server_name, value, Some(lease)).await;
        }
    }
}

pub(super) fn own_session(id: i64, address: String) -> Session {
    Session::coordinator(Role::RootCoord, ServerId(id), address, "host".to_owned())
}

pub(super) fn milvus_session(id: i64, address: String) -> Session {
    Session { coord: String::new(), ..own_session(id, address) }
}
