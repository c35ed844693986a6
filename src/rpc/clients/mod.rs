//! Clients of other components, which follow their sessions.
//!
//! An attempt goes to the address and id that the session shows at that moment.
//! Nothing is resolved by polling: the mirror pushes. A component that hangs costs
//! its own callers their deadline, and nobody else anything.

mod caller;
mod error;
mod follower;
mod messages;
mod proxies;
mod retry;
mod target;

use std::{fmt, sync::Arc, time::Duration};

use milvus_proto::{data, proxy, query, rootcoord};

pub use self::{
    caller::Caller,
    error::ClientError,
    follower::Client,
    messages::{Call, Reply, Stub},
    proxies::Proxies,
    retry::Ladder,
    target::{Nodes, Target},
};
use crate::{
    clock::Clock,
    net::Dial,
    rpc::{
        Identity,
        link::{LinkOwner, LinkSettings},
        server::Sizes,
    },
};

/// Follows rootcoord.
pub type RootCoordClient = Client<rootcoord::root_coord_client::RootCoordClient<Caller>>;
/// Follows datacoord.
pub type DataCoordClient = Client<data::data_coord_client::DataCoordClient<Caller>>;
/// Follows querycoord.
pub type QueryCoordClient = Client<query::query_coord_client::QueryCoordClient<Caller>>;
/// Follows one proxy, on its internal port.
pub type ProxyClient = Client<proxy::proxy_client::ProxyClient<Caller>>;

/// How clients behave.
#[derive(Clone, Copy, Debug)]
pub struct ClientSettings {
    /// Connections.
    pub link: LinkSettings,
    /// How large messages may be; the ones sent are compared after encoding.
    pub sizes: Sizes,
    /// `grpc.client.compressionEnabled`: requests are compressed with zstd.
    pub compress: bool,
    /// How often a call is tried, and with which pauses.
    pub ladder: Ladder,
    /// How long an attempt may still take after the session has shown another instance.
    pub grace: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            link: LinkSettings::default(),
            sizes: Sizes { receive: 512 << 20, send: 256 << 20 },
            compress: false,
            ladder: Ladder::default(),
            grace: Duration::from_millis(500),
        }
    }
}

/// What the clients of one process share.
#[derive(Clone)]
pub struct ClientContext {
    /// Who calls.
    pub identity: Arc<Identity>,
    /// How peers are reached.
    pub dial: Arc<dyn Dial>,
    /// For the time in requests.
    pub clock: Arc<dyn Clock>,
    /// Runs the connections, and ends them.
    pub links: LinkOwner,
    /// How they behave.
    pub settings: ClientSettings,
}

impl fmt::Debug for ClientContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContext").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
