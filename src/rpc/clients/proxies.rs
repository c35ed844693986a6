//! All proxies: each has a client of its own, so that one that hangs holds up nobody else.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use milvus_proto::milvus::{ComponentStates, GetComponentStatesRequest};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    ClientContext, ClientError, ProxyClient,
    target::{Nodes, Target},
};
use crate::ids::ServerId;

/// Clients of the proxies that have a session.
#[derive(Debug)]
pub struct Proxies {
    nodes: watch::Receiver<Nodes>,
    context: ClientContext,
    clients: Mutex<BTreeMap<ServerId, ProxyClient>>,
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
}
