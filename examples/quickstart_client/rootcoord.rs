//! Finding rootcoord and calling it, the way Milvus's proxies do.
//!
//! The ACTIVE instance stands in etcd under `<root>/meta/session/rootcoord`, every
//! registered one under `rootcoord-<id>`. Each call carries the server id that it
//! is meant for, so an instance that is not the one looked for says so.

use std::time::Duration;

use etcd_client::{ConnectOptions, GetOptions};
use milvus_proto::{
    common, milvus,
    rootcoord::{AllocTimestampRequest, root_coord_client::RootCoordClient},
};
use serde::Deserialize;
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("etcd: {0}")]
    Etcd(#[from] etcd_client::Error),
    #[error("no rootcoord is ACTIVE")]
    NoActive,
    #[error("session key {key}: {source}")]
    Session { key: String, source: serde_json::Error },
    #[error("{address}: {source}")]
    Unreachable { address: String, source: tonic::transport::Error },
    #[error("{} ({:?})", .0.message(), .0.code())]
    Call(#[from] tonic::Status),
    #[error("code {code}: {reason}")]
    Refused { code: i32, reason: String },
}

impl CallError {
    /// An answer about the request itself, as opposed to "ask another instance" or "ask later".
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// One registered rootcoord.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Instance {
    #[serde(rename = "ServerID")]
    pub(crate) server_id: i64,
    pub(crate) address: String,
}

/// The address book: etcd.
pub(crate) struct Sessions {
    etcd: etcd_client::Client,
    active_key: String,
}

impl Sessions {
    pub(crate) async fn open(endpoint: &str, root: &str) -> Result<Self, CallError> {
        let options = ConnectOptions::new().with_connect_timeout(CONNECT_WITHIN).with_timeout(ANSWER_WITHIN);
        let etcd = etcd_client::Client::connect([endpoint], Some(options)).await?;
        Ok(Self { etcd, active_key: format!("{root}/meta/session/rootcoord") })
    }

    /// The ACTIVE instance, if there is one, and all others.
    pub(crate) async fn list(&self) -> Result<(Option<Instance>, Vec<Instance>), CallError> {
        let options = GetOptions::new().with_prefix();
        let answer = self.etcd.kv_client().get(self.active_key.as_str(), Some(options)).await?;
        let mut active = None;
        let mut all = Vec::new();
        for pair in answer.kvs() {
            let key = String::from_utf8_lossy(pair.key()).into_owned();
            let instance: Instance = serde_json::from_slice(pair.value())
                .map_err(|source| CallError::Session { key: key.clone(), source })?;
            if key == self.active_key { active = Some(instance) } else { all.push(instance) }
        }
        all.retain(|instance| active.as_ref() != Some(instance));
        Ok((active, all))
    }

    /// Connects to the ACTIVE instance.
    pub(crate) async fn active(&self) -> Result<RootCoord, CallError> {
        let active = self.list().await?.0.ok_or(CallError::NoActive)?;
        RootCoord::connect(&active).await
    }
}

/// A connection to one instance.
pub(crate) struct RootCoord {
    client: RootCoordClient<Channel>,
    server_id: MetadataValue<Ascii>,
}

impl RootCoord {
    pub(crate) async fn connect(instance: &Instance) -> Result<Self, CallError> {
        let unreachable = |source| CallError::Unreachable { address: instance.address.clone(), source };
        let channel = Endpoint::from_shared(format!("http://{}", instance.address))
            .map_err(unreachable)?
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(unreachable)?;
        Ok(Self { client: RootCoordClient::new(channel), server_id: instance.server_id.into() })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("serverid", self.server_id.clone());
        request
    }

    pub(crate) async fn databases(&self) -> Result<Vec<String>, CallError> {
        let request = self.request(milvus::ListDatabasesRequest::default());
        let answer = self.client.clone().list_databases(request).await?.into_inner();
        check(answer.status)?;
        Ok(answer.db_names)
    }

    pub(crate) async fn create_database(&self, name: &str) -> Result<(), CallError> {
        let request = milvus::CreateDatabaseRequest { db_name: name.to_owned(), ..Default::default() };
        check(Some(self.client.clone().create_database(self.request(request)).await?.into_inner()))
    }

    pub(crate) async fn timestamp(&self) -> Result<u64, CallError> {
        let request = AllocTimestampRequest { count: 1, ..Default::default() };
        let answer = self.client.clone().alloc_timestamp(self.request(request)).await?.into_inner();
        check(answer.status)?;
        Ok(answer.timestamp)
    }
}

/// Milvus answers most failures within a successful call. A missing status means success;
/// a retriable one is treated as "ask later".
#[expect(deprecated, reason = "peers older than the field `code` set only this one")]
fn check(status: Option<common::Status>) -> Result<(), CallError> {
    match status {
        Some(status) if status.code != 0 || status.error_code != 0 => {
            if status.retriable {
                Err(CallError::Call(tonic::Status::unavailable(status.reason)))
            } else {
                Err(CallError::Refused { code: status.code, reason: status.reason })
            }
        }
        _ => Ok(()),
    }
}
