//! The other members of the cluster, played: they write down what they are asked, and answer
//! with success unless told otherwise.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use milvus_proto::{
    common::{StateCode, Status as Outcome},
    data::WatchChannelsRequest,
    milvus::{ComponentInfo, ComponentStates, GetMetricsResponse},
    query::SyncNewCreatedPartitionRequest,
};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tonic::{Status, metadata::MetadataMap};

use crate::{
    fields::{self, Field},
    transcript::Names,
    wire::{self, Answers},
};

/// How long something may take that needs no lease to run out.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Who is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    DataCoord,
    QueryCoord,
    Proxy,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::DataCoord, Self::QueryCoord, Self::Proxy];

    pub(crate) fn id(self) -> i64 {
        match self {
            Self::DataCoord => 101,
            Self::QueryCoord => 102,
            Self::Proxy => 103,
        }
    }

    /// Below `session/`.
    fn key(self) -> &'static str {
        match self {
            Self::DataCoord => "datacoord",
            Self::QueryCoord => "querycoord",
            Self::Proxy => "proxy-103",
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::DataCoord => "milvus.proto.data.DataCoord",
            Self::QueryCoord => "milvus.proto.query.QueryCoord",
            Self::Proxy => "milvus.proto.proxy.Proxy",
        }
    }
}

/// What is answered instead of success.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// A gRPC error.
    Grpc(tonic::Code, &'static str),
    /// This message, encoded.
    Message(Bytes),
}

/// A question to a peer.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) peer: Peer,
    pub(crate) method: String,
    headers: Vec<Field>,
    request: Bytes,
}

/// Asked at any time, whatever the test does, or later than the call that leads to it.
const IN_BACKGROUND: [&str; 8] = [
    "GetMetrics",
    "GetProxyMetrics",
    "SetRates",
    "RefreshPolicyInfoCache",
    "ReleaseCollection",
    "ReleasePartitions",
    "DropIndex",
    "GcConfirm",
];

impl Heard {
    /// `Proxy/SetRates`
    pub(crate) fn name(&self) -> String {
        format!("{:?}/{}", self.peer, self.method)
    }

    pub(crate) fn is_in_background(&self) -> bool {
        IN_BACKGROUND.contains(&self.method.as_str())
    }

    /// `Proxy/InvalidateCollectionMetaCache of books`: what it is about, too.
    pub(crate) fn title(&self) -> String {
        let fields = self.fields();
        let about =
            |name: &&str| fields.iter().find(|(path, _)| path == *name).map(|(_, value)| value.as_str());
        let about: Vec<&str> = ABOUT.iter().filter_map(about).collect();
        if about.is_empty() { self.name() } else { format!("{} of {}", self.name(), about.join(" ")) }
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        let method = fields::method(self.peer.service(), &self.method);
        let mut all: Vec<Field> = fields::below("header", self.headers.clone()).collect();
        all.extend(fields::of_type(method.input(), &self.request));
        for (path, value) in &mut all {
            // Where a timestamp is left open, clients put the seconds since 1970.
            if path == "base.timestamp" && value.len() == 10 {
                "now".clone_into(value);
            }
        }
        all
    }
}

/// Fields that name what a question is about.
const ABOUT: [&str; 5] = ["collection_name", "collectionID", "collection_id", "partitionID", "partition_id"];

/// What a collection is known by to those who play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) id: i64,
    pub(crate) created: u64,
}

/// What the others tell of themselves when they are asked for metrics.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) data_coord: serde_json::Value,
    pub(crate) query_coord: serde_json::Value,
    pub(crate) proxy: serde_json::Value,
}

#[derive(Debug, Default)]
struct Memory {
    heard: Vec<Heard>,
    collections: BTreeMap<String, Known>,
    partitions: Vec<i64>,
    refusals: BTreeMap<&'static str, Refusal>,
    figures: Option<Figures>,
}

/// The peers of one side. Dropping them ends them.
#[derive(Debug)]
pub(crate) struct Peers {
    memory: Arc<Mutex<Memory>>,
    heard: watch::Sender<usize>,
    addresses: Vec<(Peer, String)>,
    _servers: JoinSet<()>,
}

#[derive(Debug)]
struct Player {
    peer: Peer,
    memory: Arc<Mutex<Memory>>,
    heard: watch::Sender<usize>,
}

impl Answers for Player {
    fn answer(&self, method: &str, headers: &MetadataMap, message: Bytes) -> Result<Bytes, Status> {
        let header = |name: &&str| {
            let value = headers.get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), value.to_owned()))
        };
        let heard = Heard {
            peer: self.peer,
            method: method.to_owned(),
            headers: ["cluster", "serverid", "sourceid"].iter().filter_map(header).collect(),
            request: message.clone(),
        };
        let refusal = {
            let mut memory = self.memory.lock();
            memory.heard.push(heard);
            memory.learn(method, &message);
            memory.refusals.get(method).cloned()
        };
        self.heard.send_modify(|number| *number += 1);
        match refusal {
            Some(Refusal::Grpc(code, text)) => Err(Status::new(code, text)),
            Some(Refusal::Message(message)) => Ok(message),
            None => Ok(self.usual(method)),
        }
    }
}

impl Player {
    fn usual(&self, method: &str) -> Bytes {
        match method {
            "GetComponentStates" => states(self.peer, StateCode::Healthy),
            "GetMetrics" | "GetProxyMetrics" => {
                let answer = GetMetricsResponse {
                    status: Some(Outcome::default()),
                    response: self.figures(),
                    component_name: format!("{:?}", self.peer),
                };
                answer.encode_to_vec().into()
            }
            // Success, and whatever else is asked for: no.
            _ => Bytes::new(),
        }
    }
}

impl Player {
    /// At first so much that rates are sent.
    fn figures(&self) -> String {
        let memory = self.memory.lock();
        let Some(figures) = &memory.figures else {
            return format!(r#"{{"cluster":{{"self":{{"id":{}}}}}}}"#, self.peer.id());
        };
        let figures = match self.peer {
            Peer::DataCoord => &figures.data_coord,
            Peer::QueryCoord => &figures.query_coord,
            Peer::Proxy => &figures.proxy,
        };
        figures.to_string()
    }
}

impl Memory {
    fn learn(&mut self, method: &str, request: &Bytes) {
        if method == "WatchChannels"
            && let Ok(request) = WatchChannelsRequest::decode(request.clone())
        {
            let known = Known { id: request.collection_id, created: request.create_timestamp };
            self.collections.insert(request.schema.unwrap_or_default().name, known);
        }
        if method == "SyncNewCreatedPartition"
            && let Ok(request) = SyncNewCreatedPartitionRequest::decode(request.clone())
        {
            self.partitions.push(request.partition_id);
        }
    }
}

/// The answer of a component in that state.
pub(crate) fn states(peer: Peer, code: StateCode) -> Bytes {
    let state = ComponentInfo {
        node_id: peer.id(),
        role: format!("{peer:?}").to_lowercase(),
        state_code: code.into(),
        extra_info: Vec::new(),
    };
    let answer = ComponentStates {
        state: Some(state.clone()),
        subcomponent_states: vec![state],
        status: Some(Outcome::default()),
    };
    answer.encode_to_vec().into()
}

impl Peers {
    pub(crate) async fn start() -> Self {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let heard = watch::Sender::new(0);
        let (mut servers, mut addresses) = (JoinSet::new(), Vec::new());
        for peer in Peer::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            addresses.push((peer, listener.local_addr().expect("it is bound").to_string()));
            let player = Player { peer, memory: Arc::clone(&memory), heard: heard.clone() };
            servers.spawn(async move { wire::serve(listener, Arc::new(player)).await.expect("it serves") });
        }
        Self { memory, heard, addresses, _servers: servers }
    }

    /// Their sessions: keys below `session/`, and values.
    pub(crate) fn sessions(&self) -> Vec<(&'static str, String)> {
        let session = |(peer, address): &(Peer, String)| {
            let role = format!("{peer:?}").to_lowercase();
            let value = serde_json::json!({
                "ServerID": peer.id(),
                "ServerName": role,
                "Address": address,
                "TriggerKill": true,
                "Version": "2.3.5",
                "IndexEngineVersion": {},
            });
            (peer.key(), value.to_string())
        };
        self.addresses.iter().map(session).collect()
    }

    /// What they were asked since this was asked last.
    pub(crate) fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut self.memory.lock().heard)
    }

    /// Until told otherwise, the others tell that of themselves.
    pub(crate) fn figures(&self, figures: Figures) {
        self.memory.lock().figures = Some(figures);
    }

    /// Until told otherwise, that method is answered so by everybody.
    pub(crate) fn refuse(&self, method: &'static str, refusal: Refusal) {
        self.memory.lock().refusals.insert(method, refusal);
    }

    /// All is well again.
    pub(crate) fn relent(&self) {
        self.memory.lock().refusals.clear();
    }

    /// The collection that was created last under that name.
    ///
    /// # Panics
    /// When there was none.
    #[track_caller]
    pub(crate) fn collection(&self, name: &str) -> Known {
        let memory = self.memory.lock();
        *memory.collections.get(name).unwrap_or_else(|| panic!("no collection {name} was created"))
    }

    /// Names for what peers were asked about, also for what was undone then.
    pub(crate) fn name(&self, names: &mut Names) {
        let memory = self.memory.lock();
        for (name, known) in &memory.collections {
            names.name(&known.id.to_string(), || format!("<collection {name}>"));
            names.name(&known.created.to_string(), || format!("<creation of {name}>"));
        }
        for (number, id) in memory.partitions.iter().enumerate() {
            names.name(&id.to_string(), || format!("<synced partition {number}>"));
        }
    }

    /// Waits until something that is so has been asked, and not yet [taken](Self::take).
    ///
    /// # Panics
    /// When it isn't in time.
    pub(crate) async fn hear(&self, what: &str, is_it: impl Fn(&Heard) -> bool) {
        let mut changed = self.heard.subscribe();
        let heard = async {
            while !self.memory.lock().heard.iter().any(&is_it) {
                changed.changed().await.expect("the peers live");
            }
        };
        tokio::time::timeout(SOON, heard).await.unwrap_or_else(|_| panic!("{what} was not asked in time"));
    }
}
