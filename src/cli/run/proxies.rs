//! The proxies of the cluster, as CheckHealth asks them.

use std::time::Duration;

use milvus_proto::milvus::ComponentStates;
use tokio::sync::watch;

use crate::{
    ids::ServerId,
    net::BoxFuture,
    rootcoord::service,
    rpc::clients::{ClientContext, Nodes, Proxies},
    telemetry::log::Chain,
};

/// How long CheckHealth waits for each proxy; they are asked at the same time.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(super) struct AskedProxies(Proxies);

impl AskedProxies {
    /// Asks those that `nodes` lists at that moment.
    pub(super) fn new(nodes: watch::Receiver<Nodes>, context: ClientContext) -> Self {
        Self(Proxies::new(nodes, context))
    }
}

impl service::Proxies for AskedProxies {
    fn component_states(&self) -> BoxFuture<'_, Vec<(ServerId, Result<ComponentStates, String>)>> {
        Box::pin(async {
            let answers = self.0.component_states(PATIENCE).await;
            answers
                .into_iter()
                .map(|(id, answer)| (id, answer.map_err(|error| Chain(&error).to_string())))
                .collect()
        })
    }
}
