//! A cluster of toys on a network in memory, so that time can stand still for it.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use milvus_proto::{
    common::Status as Outcome,
    data::{
        AlterCollectionRequest, GcConfirmRequest, GcConfirmResponse, WatchChannelsRequest,
        WatchChannelsResponse,
        data_coord_server::{DataCoord, DataCoordServer},
    },
    index::DropIndexRequest,
    milvus::{GetMetricsRequest, GetMetricsResponse},
    proxy::{
        InvalidateCollMetaCacheRequest, RefreshPolicyInfoCacheRequest, SetRatesRequest,
        proxy_server::{Proxy, ProxyServer},
    },
    query::{
        ReleaseCollectionRequest, ReleasePartitionsRequest, SyncNewCreatedPartitionRequest,
        query_coord_server::{QueryCoord, QueryCoordServer},
    },
};
use parking_lot::Mutex;
use tokio::{
    io::duplex,
    sync::{mpsc, watch},
};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use super::{Clients, Patience, PeerEvents, PeerSettings};
use crate::{
    clock::SystemClock,
    election::{observer::MirrorListener as _, standing::Standing},
    etcd::{keys::Keys, mirror::MirrorEvent, txn::KeyValue},
    ids::{LeaseId, Revision, Role, ServerId},
    net::{Accept, BoxFuture, BoxIo, Dial},
    rpc::{
        Identity,
        clients::{ClientContext, ClientSettings},
        gatehouse::{Gatehouse, GatehouseSettings, NoHooks},
        link::LinkOwner,
        merr::{Kind, MilvusError},
        server::{Server, ServerSettings, Services, Sizes},
    },
    telemetry::{events::Events, metrics::Metrics},
};

pub(super) const OWN: ServerId = ServerId(77);
pub(super) const A: &str = "10.0.0.1:19529";
pub(super) const B: &str = "10.0.0.2:19529";

pub(super) fn refusal(kind: Kind) -> Outcome {
    MilvusError::new(kind).saying("sick").into()
}

/// Connects by address; an address where nobody listens refuses.
#[derive(Debug, Default)]
pub(super) struct Net(Mutex<HashMap<String, mpsc::Sender<BoxIo>>>);

impl Dial for Net {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxIo>> {
        let to = self.0.lock().get(&format!("{host}:{port}")).cloned();
        Box::pin(async move {
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let (ours, theirs) = duplex(1 << 16);
            to.ok_or_else(refused)?.send(Box::new(theirs)).await.map_err(|_| refused())?;
            Ok(Box::new(ours) as BoxIo)
        })
    }
}

#[derive(Debug)]
struct Ear(mpsc::Receiver<BoxIo>, SocketAddr);

impl Accept for Ear {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxIo, SocketAddr)>> {
        Box::pin(async {
            match self.0.recv().await {
                Some(io) => Ok((io, self.1)),
                None => std::future::pending().await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.1)
    }
}

/// How a toy takes calls.
#[derive(Clone, Debug)]
pub(super) enum Mood {
    /// Success.
    Well,
    /// Each call waits for another mood.
    Hanging,
    /// That status.
    Answering(Outcome),
}

/// A member of the cluster that remembers what it was asked.
#[derive(Debug)]
pub(super) struct Toy<T> {
    id: ServerId,
    pub(super) mood: watch::Sender<Mood>,
    /// What it was asked, answered or not.
    pub(super) asked: Mutex<Vec<T>>,
    /// What of it was answered with success.
    pub(super) done: Mutex<Vec<T>>,
    /// The metadata of the last call.
    pub(super) metadata: Mutex<HashMap<String, String>>,
}

impl<T: Clone + Send + Sync> Toy<T> {
    pub(super) fn new(id: i64) -> Arc<Self> {
        Arc::new(Self {
            id: ServerId(id),
            mood: watch::Sender::new(Mood::Well),
            asked: Mutex::default(),
            done: Mutex::default(),
            metadata: Mutex::default(),
        })
    }

    pub(super) fn take_asked(&self) -> Vec<T> {
        std::mem::take(&mut *self.asked.lock())
    }

    async fn take<Q: Send>(
        &self,
        request: Request<Q>,
        told: impl Fn(Q) -> T + Send,
    ) -> Result<Outcome, Status> {
        let metadata: HashMap<_, _> = request
            .metadata()
            .clone()
            .into_headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let wanted = metadata["serverid"].clone();
        if wanted != self.id.to_string() {
            return Err(MilvusError::node_not_match(wanted, self.id).to_grpc());
        }
        *self.metadata.lock() = metadata;
        let told = told(request.into_inner());
        self.asked.lock().push(told.clone());
        let mut mood = self.mood.subscribe();
        let mood = mood.wait_for(|mood| !matches!(mood, Mood::Hanging)).await.expect("it has a mood").clone();
        match mood {
            Mood::Answering(outcome) => Ok(outcome),
            Mood::Well | Mood::Hanging => {
                self.done.lock().push(told);
                Ok(Outcome::default())
            }
        }
    }
}

/// What a proxy was told, or asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    Invalidate(InvalidateCollMetaCacheRequest),
    Refresh(RefreshPolicyInfoCacheRequest),
    Metrics(GetMetricsRequest),
    Rates(SetRatesRequest),
}

#[tonic::async_trait]
impl Proxy for Toy<Told> {
    async fn invalidate_collection_meta_cache(
        &self,
        request: Request<InvalidateCollMetaCacheRequest>,
    ) -> Result<Response<Outcome>, Status> {
        self.take(request, Told::Invalidate).await.map(Response::new)
    }

    async fn refresh_policy_info_cache(
        &self,
        request: Request<RefreshPolicyInfoCacheRequest>,
    ) -> Result<Response<Outcome>, Status> {
        self.take(request, Told::Refresh).await.map(Response::new)
    }

    async fn get_proxy_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        self.take(request, Told::Metrics).await.map(metrics)
    }

    async fn set_rates(&self, request: Request<SetRatesRequest>) -> Result<Response<Outcome>, Status> {
        self.take(request, Told::Rates).await.map(Response::new)
    }
}

/// What a toy tells of itself.
pub(super) const FIGURES: &str = r#"{"figures": "some"}"#;

fn metrics(status: Outcome) -> Response<GetMetricsResponse> {
    let (response, component_name) = (FIGURES.to_owned(), "toy".to_owned());
    Response::new(GetMetricsResponse { status: Some(status), response, component_name })
}

/// What a coordinator was asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    WatchChannels(WatchChannelsRequest),
    DropIndex(DropIndexRequest),
    Altered(AlterCollectionRequest),
    GcConfirm(GcConfirmRequest),
    ReleaseCollection(ReleaseCollectionRequest),
    ReleasePartitions(ReleasePartitionsRequest),
    PartitionCreated(SyncNewCreatedPartitionRequest),
    Metrics(GetMetricsRequest),
}

#[tonic::async_trait]
impl DataCoord for Toy<Asked> {
    async fn watch_channels(
        &self,
        request: Request<WatchChannelsRequest>,
    ) -> Result<Response<WatchChannelsResponse>, Status> {
        let status = self.take(request, Asked::WatchChannels).await?;
        Ok(Response::new(WatchChannelsResponse { status: Some(status) }))
    }

    async fn drop_index(&self, request: Request<DropIndexRequest>) -> Result<Response<Outcome>, Status> {
        self.take(request, Asked::DropIndex).await.map(Response::new)
    }

    async fn broadcast_altered_collection(
        &self,
        request: Request<AlterCollectionRequest>,
    ) -> Result<Response<Outcome>, Status> {
        self.take(request, Asked::Altered).await.map(Response::new)
    }

    /// Only all of a collection is ever gone.
    async fn gc_confirm(
        &self,
        request: Request<GcConfirmRequest>,
    ) -> Result<Response<GcConfirmResponse>, Status> {
        let gc_finished = request.get_ref().partition_id == -1;
        let status = self.take(request, Asked::GcConfirm).await?;
        Ok(Response::new(GcConfirmResponse { status: Some(status), gc_finished }))
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        self.take(request, Asked::Metrics).await.map(metrics)
    }
}

#[tonic::async_trait]
impl QueryCoord for Toy<Asked> {
    async fn release_collection(
        &self,
        request: Request<ReleaseCollectionRequest>,
    ) -> Result<Response<Outcome>, Status> {
        self.take(request, Asked::ReleaseCollection).await.map(Response::new)
    }

    async fn release_partitions(
        &self,
        request: Request<ReleasePartitionsRequest>,
    ) -> Result<Response<Outcome>, Status> {
        self.take(request, Asked::ReleasePartitions).await.map(Response::new)
    }

    async fn sync_new_created_partition(
        &self,
        request: Request<SyncNewCreatedPartitionRequest>,
    ) -> Result<Response<Outcome>, Status> {
        self.take(request, Asked::PartitionCreated).await.map(Response::new)
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        self.take(request, Asked::Metrics).await.map(metrics)
    }
}

/// Clients, and what they see.
pub(super) struct Bed {
    pub(super) clients: Arc<Clients>,
    net: Arc<Net>,
    servers: BTreeMap<String, Server>,
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::with(Patience::default())
    }

    pub(super) fn with(proxies: Patience) -> Self {
        let net = Arc::new(Net::default());
        let identity = Identity::new("by-dev");
        identity.set_server_id(OWN);
        let context = ClientContext {
            identity: Arc::new(identity),
            dial: net.clone(),
            clock: Arc::new(SystemClock),
            links: LinkOwner::default(),
            settings: ClientSettings::default(),
        };
        let events = Events::new(Role::RootCoord, Metrics::new(Role::RootCoord, &SystemClock));
        let settings = PeerSettings { proxies, ..PeerSettings::default() };
        let clients =
            Clients::new(Keys::new("by-dev", "meta", "kv"), context, settings, PeerEvents::new(events));
        Self { clients: Arc::new(clients), net, servers: BTreeMap::new() }
    }

    /// A session appears.
    pub(super) fn register(&self, name: &str, id: i64, address: &str) {
        let kv = KeyValue {
            key: format!("by-dev/meta/session/{name}"),
            value: format!(r#"{{"ServerID":{id},"Address":"{address}"}}"#).into_bytes(),
            create_revision: Revision(5),
            mod_revision: Revision(5),
            lease: LeaseId(1),
        };
        self.clients.hear(&MirrorEvent::Put(kv));
        self.clients.hear(&MirrorEvent::UpTo(Revision(5)));
    }

    /// A session is gone.
    pub(super) fn unregister(&self, name: &str) {
        let key = format!("by-dev/meta/session/{name}");
        self.clients.hear(&MirrorEvent::Deleted(key, Revision(6)));
        self.clients.hear(&MirrorEvent::UpTo(Revision(6)));
    }

    fn serve(&mut self, address: &str, add: impl FnOnce(Services) -> Services) {
        let (sender, receiver) = mpsc::channel(16);
        self.net.0.lock().insert(address.to_owned(), sender);
        let ear = Ear(receiver, address.parse().expect("an address"));
        let (_, standing) = watch::channel(Standing::Starting);
        let gatehouse = Gatehouse::new(
            Arc::new(Identity::new("by-dev")),
            standing,
            GatehouseSettings::default(),
            self.net.clone(),
            TaskTracker::new(),
            Arc::new(NoHooks),
        );
        let services = add(Services::new(Sizes::default()));
        let server = Server::start(Box::new(ear), services, Arc::new(gatehouse), ServerSettings::default());
        self.servers.insert(address.to_owned(), server.expect("a server"));
    }

    /// A proxy with a session.
    pub(super) fn proxy(&mut self, id: i64, address: &str) -> Arc<Toy<Told>> {
        let toy = Toy::new(id);
        let server = ProxyServer::from_arc(toy.clone());
        self.serve(address, |services| services.add(server, false));
        self.register(&format!("proxy-{id}"), id, address);
        toy
    }

    /// A datacoord that is ACTIVE.
    pub(super) fn data_coord(&mut self, id: i64, address: &str) -> Arc<Toy<Asked>> {
        let toy = Toy::new(id);
        let server = DataCoordServer::from_arc(toy.clone());
        self.serve(address, |services| services.add(server, false));
        self.register("datacoord", id, address);
        toy
    }

    /// A querycoord that is ACTIVE.
    pub(super) fn query_coord(&mut self, id: i64, address: &str) -> Arc<Toy<Asked>> {
        let toy = Toy::new(id);
        let server = QueryCoordServer::from_arc(toy.clone());
        self.serve(address, |services| services.add(server, false));
        self.register("querycoord", id, address);
        toy
    }

    /// The process at that address dies, and its session stays for now.
    pub(super) async fn kill(&mut self, address: &str) {
        self.net.0.lock().remove(address);
        self.servers.remove(address).expect("a server").stop(Duration::ZERO).await;
    }
}

/// Waits until it is so. Time that stands still goes on meanwhile.
pub(super) async fn until(mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), wait).await.expect("happens in time");
}
