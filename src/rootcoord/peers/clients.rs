//! The carrier of [`Peers`]: gRPC, to whoever the sessions show.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    election::observer::MirrorListener,
    etcd::{
        keys::Keys,
        mirror::{KeyRange, MirrorEvent},
    },
    ids::{CollectionId, PartitionId, Role},
    net::BoxFuture,
    rootcoord::{
        model::{Collection, Partition},
        peers::{
            Called, Invalidation, PeerEvents, Peers, PerProxy, PolicyChange,
            broadcast::{Broadcast, Patience},
            coordinators::Coordinators,
            notices::{Method, Notice},
            quota::QuotaCalls,
            sessions::Sessions,
        },
        quota::Rates,
    },
    rpc::{
        clients::{ClientContext, DataCoordClient, Nodes, Proxies, QueryCoordClient, Target},
        merr::{Kind, MilvusError},
    },
};

/// How long others are waited for.
#[derive(Clone, Copy, Debug)]
pub struct PeerSettings {
    /// Proxies.
    pub proxies: Patience,
    /// Each call to datacoord and querycoord. The ladder of Milvus's clients is at its end
    /// after less than that; the rest is for an answer. Whoever has less time gives up before.
    pub coordinators: Duration,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self { proxies: Patience::default(), coordinators: Duration::from_secs(60) }
    }
}

/// Calls proxies, datacoord and querycoord. One per process, which hears the mirror in
/// every phase; see the module above.
#[derive(Debug)]
pub struct Clients {
    context: ClientContext,
    sessions: Mutex<Sessions>,
    broadcast: Broadcast,
    quota: QuotaCalls,
    coordinators: Coordinators,
    events: PeerEvents,
}

impl Clients {
    /// Knows nobody yet. `context` says how calls are made, and by whom: cluster name
    /// and own id are those of its identity at the time of a call.
    pub fn new(keys: Keys, context: ClientContext, settings: PeerSettings, events: PeerEvents) -> Self {
        let sessions = Sessions::new(keys);
        let proxies = Arc::new(Proxies::new(sessions.proxies(), context.clone()));
        let data_coord = Target::Coordinator(Role::DataCoord, sessions.data_coord());
        let query_coord = Target::Coordinator(Role::QueryCoord, sessions.query_coord());
        let coordinators = Coordinators {
            data_coord: DataCoordClient::new(data_coord, context.clone()),
            query_coord: QueryCoordClient::new(query_coord, context.clone()),
            within: settings.coordinators,
            events: events.clone(),
        };
        let broadcast = Broadcast::new(Arc::clone(&proxies), settings.proxies, events.clone());
        let quota = QuotaCalls::new(proxies, events.clone());
        Self { context, sessions: Mutex::new(sessions), broadcast, quota, coordinators, events }
    }

    /// The proxies that have a session, for others who follow them.
    pub fn proxies(&self) -> watch::Receiver<Nodes> {
        self.sessions.lock().proxies()
    }

    /// A call that ends with the term.
    fn in_term<'a, T: 'a>(
        &'a self,
        call: impl Future<Output = Result<T, MilvusError>> + Send + 'a,
    ) -> Called<'a, T> {
        let over = self.broadcast.over();
        Box::pin(async move {
            over.run_until_cancelled(call).await.ok_or_else(|| MilvusError::new(Kind::Canceled))?
        })
    }
}

impl MirrorListener for Clients {
    fn ranges(&self) -> Vec<KeyRange> {
        self.sessions.lock().ranges()
    }

    fn hear(&self, event: &MirrorEvent) {
        let changes = self.sessions.lock().hear(event);
        if !changes.joined.is_empty() || !changes.left.is_empty() {
            changes.left.iter().for_each(|proxy| self.events.left(proxy));
            changes.joined.iter().for_each(|proxy| self.events.joined(proxy));
            self.events.proxies(changes.proxies);
        }
    }
}

impl Peers for Clients {
    fn invalidate(&self, notice: Invalidation) -> Called<'_> {
        Box::pin(self.broadcast.tell(Method::Invalidate, Notice::of(notice)))
    }

    fn refresh_policy(&self, change: PolicyChange) -> Called<'_> {
        Box::pin(self.broadcast.tell(Method::Refresh, vec![Notice::Policy(change)]))
    }

    fn watch_channels<'a>(&'a self, collection: &'a Collection) -> Called<'a> {
        self.in_term(self.coordinators.watch_channels(collection))
    }

    fn drop_indexes(&self, collection: CollectionId) -> Called<'_> {
        self.in_term(self.coordinators.drop_indexes(collection))
    }

    fn collection_altered<'a>(
        &'a self,
        collection: &'a Collection,
        partitions: &'a [PartitionId],
    ) -> Called<'a> {
        self.in_term(self.coordinators.collection_altered(collection, partitions))
    }

    fn garbage_is_gone(&self, collection: CollectionId, partition: Option<PartitionId>) -> Called<'_, bool> {
        self.in_term(self.coordinators.garbage_is_gone(collection, partition))
    }

    fn release_collection(&self, collection: CollectionId) -> Called<'_> {
        self.in_term(self.coordinators.release_collection(collection, self.context.identity.server_id()))
    }

    fn release_partitions<'a>(
        &'a self,
        collection: CollectionId,
        partitions: &'a [PartitionId],
    ) -> Called<'a> {
        self.in_term(self.coordinators.release_partitions(collection, partitions))
    }

    fn partition_created<'a>(&'a self, partition: &'a Partition) -> Called<'a> {
        self.in_term(self.coordinators.partition_created(partition))
    }

    fn query_metrics(&self) -> Called<'_, String> {
        self.in_term(self.coordinators.query_metrics())
    }

    fn data_metrics(&self) -> Called<'_, String> {
        self.in_term(self.coordinators.data_metrics())
    }

    fn proxy_metrics(&self) -> BoxFuture<'_, PerProxy<String>> {
        Box::pin(self.quota.metrics())
    }

    fn set_rates<'a>(&'a self, rates: &'a Rates) -> BoxFuture<'a, PerProxy<()>> {
        let now = self.context.clock.wall();
        Box::pin(self.quota.set_rates(rates, now))
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.broadcast.end())
    }
}
