//! What a server offers, and which handler a call belongs to.

use std::{convert::Infallible, fmt, sync::Arc};

use milvus_proto::{
    data::data_coord_server::{DataCoord, DataCoordServer},
    index::index_coord_server::{IndexCoord, IndexCoordServer},
    peer::peer_server::{Peer, PeerServer},
    query::query_coord_server::{QueryCoord, QueryCoordServer},
    rootcoord::root_coord_server::{RootCoord, RootCoordServer},
};
use tonic::{body::Body, codec::CompressionEncoding, server::NamedService};

use crate::{net::BoxFuture, rpc::server::inbound::Inbound};

/// The answer to a call. A failure of the call is an answer, too.
pub type Answer = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

/// How large messages may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Requests.
    pub receive: usize,
    /// Answers.
    pub send: usize,
}

impl Default for Sizes {
    /// As `rootCoord.grpc.serverMaxRecvSize` and `serverMaxSendSize` are shipped.
    fn default() -> Self {
        Self { receive: 256 << 20, send: 512 << 20 }
    }
}

/// Something that answers calls of one service.
pub(crate) trait Handle: Send + Sync {
    fn handle(&self, request: http::Request<Inbound>) -> Answer;
}

struct Generated<S>(S);

impl<S> Handle for Generated<S>
where
    S: tower::Service<http::Request<Inbound>, Future = Answer> + Clone + Send + Sync,
{
    fn handle(&self, request: http::Request<Inbound>) -> Answer {
        // Cheap: the generated server is a shared handler and a few settings.
        self.0.clone().call(request)
    }
}

pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Whether its calls pass the gatehouse.
    pub(crate) guarded: bool,
    pub(crate) handler: Box<dyn Handle>,
}

/// The services of one process.
#[derive(Default)]
pub struct Services {
    sizes: Sizes,
    entries: Vec<Entry>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.name)).finish()
    }
}

macro_rules! services {
    ($($(#[$doc:meta])* $method:ident: $handler:ident by $server:ident, guarded: $guarded:literal;)*) => {
        impl Services {
            $($(#[$doc])*
            #[must_use]
            pub fn $method<T: $handler>(self, handler: Arc<T>) -> Self {
                let server = $server::from_arc(handler)
                    .accept_compressed(CompressionEncoding::Zstd)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .max_decoding_message_size(self.sizes.receive)
                    .max_encoding_message_size(self.sizes.send);
                self.add(server, $guarded)
            })*
        }
    };
}

services! {
    /// Rootcoord's.
    root_coord: RootCoord by RootCoordServer, guarded: true;
    /// Datacoord's.
    data_coord: DataCoord by DataCoordServer, guarded: true;
    /// Datacoord's second one.
    index_coord: IndexCoord by IndexCoordServer, guarded: true;
    /// Querycoord's.
    query_coord: QueryCoord by QueryCoordServer, guarded: true;
    /// What instances of our own kind tell each other: open in every standing.
    peer: Peer by PeerServer, guarded: false;
}

impl Services {
    /// None so far.
    pub fn new(sizes: Sizes) -> Self {
        Self { sizes, entries: Vec::new() }
    }

    /// Adds a service. Calls of a `guarded` one pass the gatehouse.
    #[must_use]
    pub(crate) fn add<S>(mut self, server: S, guarded: bool) -> Self
    where
        S: NamedService
            + tower::Service<http::Request<Inbound>, Future = Answer>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.entries.push(Entry { name: S::NAME, guarded, handler: Box::new(Generated(server)) });
        self
    }

    /// The names of the services whose calls pass the gatehouse.
    pub(crate) fn guarded(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().filter(|entry| entry.guarded).map(|entry| entry.name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|entry| entry.name)
    }

    /// The place of a service, for [`entry`](Self::entry).
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.name == name)
    }

    pub(crate) fn entry(&self, place: usize) -> &Entry {
        &self.entries[place]
    }
}
