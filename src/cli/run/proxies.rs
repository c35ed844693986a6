//! The proxies of the cluster, from their sessions to their answers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use milvus_proto::milvus::ComponentStates;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    election::observer::Observed,
    ids::ServerId,
    net::BoxFuture,
    rootcoord::service,
    rpc::clients::{ClientContext, Nodes, Proxies},
    telemetry::log::Chain,
};

/// How long CheckHealth waits for each proxy; they are asked at the same time.
const PATIENCE: Duration = Duration::from_secs(3);

/// Proxies as CheckHealth asks them.
#[derive(Debug)]
pub(super) struct AskedProxies(Proxies);

impl AskedProxies {
    /// Follows the sessions that the mirror shows, until `stop`.
    pub(super) fn new(
        mut observed: watch::Receiver<Observed>,
        context: ClientContext,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let (sender, nodes) = watch::channel(Nodes::default());
        let following = async move {
            loop {
                let listed: BTreeMap<_, _> = observed
                    .borrow_and_update()
                    .proxies()
                    .into_iter()
                    .map(|peer| (peer.server_id, peer))
                    .collect();
                sender.send_if_modified(|known| {
                    let changed = **known != listed;
                    if changed {
                        *known = Arc::new(listed);
                    }
                    changed
                });
                if observed.changed().await.is_err() {
                    return;
                }
            }
        };
        tasks.spawn(stop.clone().run_until_cancelled_owned(following));
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
