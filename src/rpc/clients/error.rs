//! Why a call to another component brought no answer.

use std::{sync::Arc, time::Duration};

use tonic::{Code, Status};

use super::retry;
use crate::{
    ids::{Role, ServerId},
    rpc::{
        link::LinkError,
        merr::{Kind, MilvusError},
    },
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody holds the role's ACTIVE key.
    #[error("find no available {0}, check {0} state")]
    NoCoordinator(Role),
    /// The node's session is gone.
    #[error("session not found->{session}: node not found[node={id}]")]
    NoNode {
        /// Its key's last element.
        session: String,
        /// Its id.
        id: ServerId,
    },
    /// No connection.
    #[error("failed to connect {address}, reason: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// Why.
        source: Arc<LinkError>,
    },
    /// A gRPC error.
    #[error("{0}")]
    Grpc(#[source] Box<Status>),
    /// The caller's time was over first.
    #[error("no answer from {whom} within {within:?}")]
    Late {
        /// Who was asked.
        whom: String,
        /// For how long.
        within: Duration,
    },
}

impl From<ClientError> for MilvusError {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::NoNode { session, id } => {
                Self::new(Kind::NodeNotFound).with("node", id).wrap(format!("session not found->{session}"))
            }
            ClientError::Grpc(status) if retry::is_cross_cluster(status) => {
                Self::new(Kind::ServiceUnavailable)
            }
            ClientError::Grpc(status) if status.code() == Code::DeadlineExceeded => {
                Self::new(Kind::DeadlineExceeded)
            }
            ClientError::Grpc(status) => Self::from_grpc(status),
            ClientError::Late { .. } => Self::new(Kind::DeadlineExceeded).wrap(error.to_string()),
            ClientError::NoCoordinator(_) => Self::traced(error.to_string()),
            ClientError::Connect { .. } => Self::plain(error.to_string()),
        }
    }
}
