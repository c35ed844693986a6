//! All proxies: each has a client of its own, so that one that hangs holds up nobody else.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use milvus_proto::{
    common::StateCode,
    milvus::{ComponentStates, GetComponentStatesRequest},
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    ClientContext, ClientError, ProxyClient,
    target::{Nodes, Target},
};
use crate::{
    ids::ServerId,
    rpc::merr::{self, MilvusError},
};

/// Clients of the proxies that have a session.
#[derive(Debug)]
pub struct Proxies {
    nodes: watch::Receiver<Nodes>,
    context: ClientContext,
    clients: Mutex<BTreeMap<ServerId, ProxyClient>>,
}

/// What a look at all proxies has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHealth {
    /// Every proxy has answered that it is healthy.
    pub healthy: bool,
    /// One text for each that answered something else. One that did not answer has
    /// none, as in the original.
    pub reasons: Vec<String>,
}

impl Proxies {
    /// Follows the proxies' sessions.
    pub fn new(nodes: watch::Receiver<Nodes>, context: ClientContext) -> Self {
        Self { nodes, context, clients: Mutex::default() }
    }

    /// A client for each proxy that has a session now, by rising id.
    pub fn all(&self) -> Vec<(ServerId, ProxyClient)> {
        let nodes = self.nodes.borrow().clone();
        let mut clients = self.clients.lock();
        clients.retain(|id, _| nodes.contains_key(id));
        for &id in nodes.keys() {
            clients.entry(id).or_insert_with(|| {
                let target = Target::Node { kind: "proxy", id, nodes: self.nodes.clone() };
                ProxyClient::new(target, self.context.clone())
            });
        }
        clients.iter().map(|(id, client)| (*id, client.clone())).collect()
    }

    /// Asks every proxy for its state, all at once, each `within` that time.
    pub async fn component_states(
        &self,
        within: Duration,
    ) -> Vec<(ServerId, Result<ComponentStates, ClientError>)> {
        join_all(self.all().into_iter().map(async |(id, proxy)| {
            let states = proxy
                .call(within, GetComponentStatesRequest {}, async |mut stub, request| {
                    stub.get_component_states(request).await
                })
                .await;
            (id, states)
        }))
        .await
    }

    /// What rootcoord's CheckHealth says of the proxies.
    pub async fn health(&self, within: Duration) -> ProxyHealth {
        let mut health = ProxyHealth { healthy: true, reasons: Vec::new() };
        for (id, states) in self.component_states(within).await {
            match states {
                Ok(states) => {
                    if let Err(error) = judge("Proxy", id, &states) {
                        health.healthy = false;
                        health.reasons.push(error.to_string());
                    }
                }
                Err(error) => {
                    health.healthy = false;
                    tracing::warn!(
                        proxy = id.0,
                        error = &error as &dyn std::error::Error,
                        "proxy does not tell its state"
                    );
                }
            }
        }
        health
    }
}

/// Whether a component says of itself that it is healthy.
///
/// # Errors
/// `<role>=<id> not healthy: …` or `service not ready[<role>=<id>]: <State>`.
pub fn judge(role: &str, id: ServerId, states: &ComponentStates) -> Result<(), MilvusError> {
    merr::check(states.status.as_ref()).map_err(|error| error.wrap(format!("{role}={id} not healthy")))?;
    let code = states.state.as_ref().map_or(0, |state| state.state_code);
    match StateCode::try_from(code) {
        Ok(StateCode::Healthy) => Ok(()),
        Ok(state) => Err(MilvusError::not_ready(role, id, state.as_str_name())),
        Err(_) => Err(MilvusError::not_ready(role, id, &code.to_string())),
    }
}
