//! Questions to one instance of a coordinator, each answered within a limit or not at all.

use std::{error::Error as _, sync::Arc, time::Duration};

use milvus_proto::{
    data::data_coord_client::DataCoordClient,
    index::index_coord_client::IndexCoordClient,
    milvus::{ComponentInfo, ComponentStates, GetComponentStatesRequest},
    peer::{StatusRequest, StatusResponse, peer_client::PeerClient},
    query::query_coord_client::QueryCoordClient,
    rootcoord::root_coord_client::RootCoordClient,
};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Response, Status};

use crate::{
    election::session::Kind,
    net::Dial,
    rpc::{
        clients::Caller,
        link::{Ended, Link, LinkError, LinkOwner, LinkSettings, Silence},
    },
    telemetry::log::Chain,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Nobody listens.
    #[error("connection refused: nothing listens there")]
    Refused,
    /// No connection for another reason.
    #[error("{}", Chain(.0))]
    NotConnected(LinkError),
    /// Connected or not: it takes too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// Another kind of server.
    #[error("it does not know {0}")]
    UnknownCall(&'static str),
    /// An error of gRPC, or the connection was lost.
    #[error("{0}")]
    Failed(String),
    /// An answer that says nothing.
    #[error("its answer to {0} is empty")]
    Empty(&'static str),
}

/// What an instance says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Our own kind.
    Own(StatusResponse),
    /// A real coordinator of Milvus.
    Foreign(ComponentInfo),
}

/// Asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// How it is reached.
    pub(super) dial: Arc<dyn Dial>,
    /// For one question, the connection included.
    pub(super) limit: Duration,
}

impl Asker {
    /// Asks an instance for what it knows of itself, in the way that its kind understands.
    pub(super) async fn about_itself(
        &self,
        role: &str,
        kind: Kind,
        address: &str,
    ) -> Result<Answer, NoAnswer> {
        let deadline = self.deadline();
        let caller = self.connect(address, deadline).await?;
        match kind {
            Kind::Own => self.status(caller, deadline).await.map(Answer::Own),
            Kind::Foreign => self.component_states(role, caller, deadline).await.map(Answer::Foreign),
        }
    }

    /// When a question that is asked now is given up.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    /// Connects to `host:port`.
    pub(super) async fn connect(&self, address: &str, deadline: Instant) -> Result<Caller, NoAnswer> {
        let settings = LinkSettings { connect_timeout: self.limit, ..LinkSettings::default() };
        let owner = LinkOwner::default();
        let connecting = Link::connect(&*self.dial, address, settings, &owner);
        match timeout_at(deadline, connecting).await {
            Ok(Ok(link)) => Ok(Caller::of_anybody(link)),
            Ok(Err(error)) => Err(match error.ended() {
                Some(Ended::Refused) => NoAnswer::Refused,
                Some(Ended::Silent(Silence::Timeout)) => NoAnswer::Late(self.limit),
                _ => NoAnswer::NotConnected(error),
            }),
            Err(_) => Err(NoAnswer::Late(self.limit)),
        }
    }

    /// `Peer.Status`.
    pub(super) async fn status(&self, caller: Caller, deadline: Instant) -> Result<StatusResponse, NoAnswer> {
        let mut client = PeerClient::new(caller);
        self.answer("Peer.Status", deadline, client.status(StatusRequest {})).await
    }

    /// `GetComponentStates` of the role's own service: the component's state.
    pub(super) async fn component_states(
        &self,
        role: &str,
        caller: Caller,
        deadline: Instant,
    ) -> Result<ComponentInfo, NoAnswer> {
        const CALL: &str = "GetComponentStates";
        let states: ComponentStates = match role {
            "datacoord" => {
                let mut client = DataCoordClient::new(caller);
                let asking = client.get_component_states(GetComponentStatesRequest {});
                self.answer(CALL, deadline, asking).await?
            }
            "querycoord" => {
                let mut client = QueryCoordClient::new(caller);
                let asking = client.get_component_states(GetComponentStatesRequest {});
                self.answer(CALL, deadline, asking).await?
            }
            "indexcoord" => {
                let mut client = IndexCoordClient::new(caller);
                let asking = client.get_component_states(GetComponentStatesRequest {});
                self.answer(CALL, deadline, asking).await?
            }
            _ => {
                let mut client = RootCoordClient::new(caller);
                let asking = client.get_component_states(GetComponentStatesRequest {});
                self.answer(CALL, deadline, asking).await?
            }
        };
        states.state.ok_or(NoAnswer::Empty(CALL))
    }

    /// Waits for the answer to a call.
    pub(super) async fn answer<T>(
        &self,
        call: &'static str,
        deadline: Instant,
        asking: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, NoAnswer> {
        match timeout_at(deadline, asking).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) if status.code() == Code::Unimplemented => Err(NoAnswer::UnknownCall(call)),
            Ok(Err(status)) => Err(NoAnswer::Failed(text(&status))),
            Err(_) => Err(NoAnswer::Late(self.limit)),
        }
    }
}

/// A status in one line, without what tonic says of every one.
fn text(status: &Status) -> String {
    let said = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    match status.source() {
        Some(cause) if cause.to_string() == said => Chain(cause).to_string(),
        Some(cause) => format!("{said}: {}", Chain(cause)),
        None => said.to_owned(),
    }
}
