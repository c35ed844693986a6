//! Calls to one rootcoord at one address, as a Milvus component makes them.

use std::time::Duration;

use milvus_proto::{
    common::{self, StateCode},
    milvus::{
        ComponentInfo, CreateDatabaseRequest, DropDatabaseRequest, GetComponentStatesRequest,
        ListDatabasesRequest,
    },
    rootcoord::{AllocIdRequest, AllocTimestampRequest, root_coord_client::RootCoordClient},
};
use tonic::{
    Request,
    metadata::{AsciiMetadataValue, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// How long a connection may take (`grpc.client.dialTimeout`).
const DIAL: Duration = Duration::from_millis(200);

/// The largest answer that is taken (`grpc.clientMaxRecvSize`).
const LARGEST_ANSWER: usize = 512 << 20;

/// `@@milvus-member@@` in base64: how components identify themselves to each other.
const MEMBER: &str = "QEBtaWx2dXMtbWVtYmVyQEA=";

/// Consecutive timestamps or ids: `first`, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The smallest one.
    pub first: u64,
    /// How many.
    pub count: u32,
}

impl Span {
    /// The largest one.
    pub fn last(self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody holds the ACTIVE key, or etcd doesn't say.
    #[error("no available rootcoord: {0}")]
    Nobody(String),
    /// The connection could not be made.
    #[error("failed to connect {address}: {reason}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// An error of gRPC itself.
    #[error("grpc {:?}: {}", .0.code(), .0.message())]
    Grpc(Box<tonic::Status>),
    /// An answer that carries an error.
    #[error("answer with code {} ({}{})", .0.code, .0.reason, if .0.retriable { "; retriable" } else { "" })]
    Answer(common::Status),
}

impl Failure {
    /// Whether it says that the process there is another one than expected.
    pub fn is_node_not_match(&self) -> bool {
        matches!(self, Self::Grpc(status) if status.message().contains("node not match"))
    }
}

/// The headers that every component sends.
#[derive(Clone, Debug)]
pub struct Headers {
    cluster: AsciiMetadataValue,
    server_id: Option<AsciiMetadataValue>,
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
        let headers = request.metadata_mut();
        headers.insert("cluster", self.cluster.clone());
        headers.insert("sourceid", MetadataValue::from_static(MEMBER));
        if let Some(id) = &self.server_id {
            headers.insert("serverid", id.clone());
        }
        Ok(request)
    }
}

/// A connection to one instance. Clones share it.
#[derive(Clone, Debug)]
pub struct Direct {
    address: String,
    server_id: Option<i64>,
    client: RootCoordClient<InterceptedService<Channel, Headers>>,
}

impl Direct {
    /// Connects to `host:port`, and will send `server_id` (if any) as the one it expects there.
    ///
    /// # Errors
    /// [`Failure::Connect`], also when it takes longer than 200 ms.
    pub async fn connect(address: &str, server_id: Option<i64>) -> Result<Self, Failure> {
        let endpoint = Self::endpoint(address)?;
        let channel = match tokio::time::timeout(DIAL, endpoint.connect()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(e)) => return Err(Failure::Connect { address: address.to_owned(), reason: chain(&e) }),
            Err(_) => {
                return Err(Failure::Connect {
                    address: address.to_owned(),
                    reason: format!("nothing within {DIAL:?}"),
                });
            }
        };
        Ok(Self::over(channel, address, server_id))
    }

    /// The same, connecting at the first call and again whenever the connection is lost.
    ///
    /// # Errors
    /// [`Failure::Connect`] for an address that is none.
    pub fn lazily(address: &str, server_id: Option<i64>) -> Result<Self, Failure> {
        Ok(Self::over(Self::endpoint(address)?.connect_lazy(), address, server_id))
    }

    fn endpoint(address: &str) -> Result<Endpoint, Failure> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|e| Failure::Connect { address: address.to_owned(), reason: chain(&e) })?;
        Ok(endpoint
            .connect_timeout(DIAL)
            // The deadline that Milvus's proxies set for a timestamp.
            .timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(20))
            .keep_alive_while_idle(true))
    }

    fn over(channel: Channel, address: &str, server_id: Option<i64>) -> Self {
        let headers = Headers {
            cluster: AsciiMetadataValue::from_static("by-dev"),
            server_id: server_id.map(AsciiMetadataValue::from),
        };
        let client =
            RootCoordClient::with_interceptor(channel, headers).max_decoding_message_size(LARGEST_ANSWER);
        Self { address: address.to_owned(), server_id, client }
    }

    /// Where it is connected to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The server id that it sends.
    pub fn server_id(&self) -> Option<i64> {
        self.server_id
    }

    /// Every method that this test bed does not wrap.
    pub fn raw(&self) -> RootCoordClient<InterceptedService<Channel, Headers>> {
        self.client.clone()
    }

    /// `AllocTimestamp`.
    ///
    /// # Errors
    /// [`Failure::Grpc`], [`Failure::Answer`].
    pub async fn alloc_timestamp(&self, count: u32) -> Result<Span, Failure> {
        let answer = self.raw().alloc_timestamp(AllocTimestampRequest { base: None, count }).await;
        let answer = answer.map_err(grpc)?.into_inner();
        success(answer.status)?;
        Ok(Span { first: answer.timestamp, count: answer.count })
    }

    /// `AllocID`.
    ///
    /// # Errors
    /// [`Failure::Grpc`], [`Failure::Answer`].
    pub async fn alloc_id(&self, count: u32) -> Result<Span, Failure> {
        let answer = self.raw().alloc_id(AllocIdRequest { base: None, count }).await;
        let answer = answer.map_err(grpc)?.into_inner();
        success(answer.status)?;
        Ok(Span { first: answer.id.cast_unsigned(), count: answer.count })
    }

    /// `CreateDatabase`.
    ///
    /// # Errors
    /// [`Failure::Grpc`], [`Failure::Answer`].
    pub async fn create_database(&self, name: &str) -> Result<(), Failure> {
        let request = CreateDatabaseRequest { base: None, db_name: name.to_owned() };
        success(Some(self.raw().create_database(request).await.map_err(grpc)?.into_inner()))
    }

    /// `DropDatabase`.
    ///
    /// # Errors
    /// [`Failure::Grpc`], [`Failure::Answer`].
    pub async fn drop_database(&self, name: &str) -> Result<(), Failure> {
        let request = DropDatabaseRequest { base: None, db_name: name.to_owned() };
        success(Some(self.raw().drop_database(request).await.map_err(grpc)?.into_inner()))
    }

    /// `ListDatabases`: the names, sorted.
    ///
    /// # Errors
    /// [`Failure::Grpc`], [`Failure::Answer`].
    pub async fn list_databases(&self) -> Result<Vec<String>, Failure> {
        let answer = self.raw().list_databases(ListDatabasesRequest { base: None }).await;
        let answer = answer.map_err(grpc)?.into_inner();
        success(answer.status)?;
        let mut names = answer.db_names;
        names.sort();
        Ok(names)
    }

    /// `GetComponentStates`: the component's own state.
    ///
    /// # Errors
    /// [`Failure::Grpc`], [`Failure::Answer`].
    pub async fn states(&self) -> Result<ComponentInfo, Failure> {
        let answer = self.raw().get_component_states(GetComponentStatesRequest {}).await;
        let answer = answer.map_err(grpc)?.into_inner();
        success(answer.status)?;
        Ok(answer.state.unwrap_or_default())
    }

    /// `GetComponentStates`: the state code alone.
    ///
    /// # Errors
    /// As [`states`](Self::states).
    pub async fn state_code(&self) -> Result<StateCode, Failure> {
        Ok(self.states().await?.state_code())
    }
}

/// As Milvus decides it: an answer succeeded if both codes are zero.
#[expect(deprecated, reason = "2.3 components still read the old code")]
pub(crate) fn success(status: Option<common::Status>) -> Result<(), Failure> {
    match status {
        Some(status) if status.code != 0 || status.error_code != 0 => Err(Failure::Answer(status)),
        _ => Ok(()),
    }
}

pub(crate) fn grpc(status: tonic::Status) -> Failure {
    Failure::Grpc(Box::new(status))
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
