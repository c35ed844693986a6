//! Whom rootcoord calls: proxies, datacoord, querycoord. [`Peers`] says what a call
//! means, [`Clients`] carries it.
//!
//! ```text
//!   mirror ──▶ Sessions ──┬─ proxies ───────────────▶ Broadcast ─▶ one Line per proxy
//!                         └─ datacoord, querycoord ─▶ a client each, which follows
//! ```
//!
//! One `Clients` lives as long as its process: as a listener of the mirror it knows in
//! every phase who there is, so a term begins with warm knowledge. What a term leaves
//! undone ends with [`Peers::end`].
//!
//! Nobody on the other side knows epochs, so every caller of these asks the gate
//! right before, and calls that tell of a change come after its acknowledged write.
//! Repetitions in the background ask no gate: what they bring does no harm at any
//! time. Who forgets too much looks it up again.

mod backlog;
mod broadcast;
mod clients;
mod coordinators;
mod events;
mod line;
#[cfg(test)]
pub(crate) mod memory;
mod nobody;
mod notices;
mod quota;
mod requests;
mod sessions;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::{
    broadcast::Patience,
    clients::{Clients, PeerSettings},
    events::PeerEvents,
    nobody::Nobody,
};

use crate::{
    ids::{CollectionId, PartitionId, ServerId},
    net::BoxFuture,
    rootcoord::{
        model::{Collection, Partition},
        quota::Rates,
    },
    rpc::merr::MilvusError,
    tso::hybrid::Timestamp,
};

/// What proxies shall forget of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The task's timestamp.
    pub ts: Timestamp,
    /// The database's name as in the request.
    pub database: String,
    /// What is forgotten.
    pub what: Forget,
}

/// By what proxies find what they shall forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forget {
    /// These names, one call each.
    Names(Vec<String>),
    /// Everything known of that collection.
    Collection(CollectionId),
    /// The same, and the way to its channels: it was dropped.
    Dropped(CollectionId),
}

/// What proxies shall look at anew in users, roles and grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyChange {
    /// Everything.
    ReloadAll,
}

/// A call's end: the error is worded as Milvus's client words it.
pub type Called<'a, T = ()> = BoxFuture<'a, Result<T, MilvusError>>;

/// What came of a call to each proxy that has a session.
pub type PerProxy<T> = Vec<(ServerId, Result<T, MilvusError>)>;

/// See the module. Every call ends within a bounded time; none is repeated beyond the
/// ladder of Milvus's clients, except that proxies are told until they have been told.
pub trait Peers: Send + Sync + fmt::Debug {
    /// Has all proxies forget; returns when all that have a session have done so, or after
    /// a bounded wait. Those that did not answer are told again in the background until
    /// they have or their session is gone.
    ///
    /// # Errors
    /// One that is alive refused.
    fn invalidate(&self, notice: Invalidation) -> Called<'_>;

    /// Has all proxies look at users, roles and grants anew. The same waiting as [`invalidate`](Self::invalidate).
    ///
    /// # Errors
    /// One that is alive refused.
    fn refresh_policy(&self, change: PolicyChange) -> Called<'_>;

    /// Datacoord begins to watch a collection's channels.
    ///
    /// # Errors
    /// It does not; perhaps it does all the same.
    fn watch_channels<'a>(&'a self, collection: &'a Collection) -> Called<'a>;

    /// Datacoord drops all indexes of a collection. Without any that is a success.
    ///
    /// # Errors
    /// Not done, or not known.
    fn drop_indexes(&self, collection: CollectionId) -> Called<'_>;

    /// Datacoord learns a collection's properties.
    ///
    /// # Errors
    /// Not done, or not known.
    fn collection_altered<'a>(
        &'a self,
        collection: &'a Collection,
        partitions: &'a [PartitionId],
    ) -> Called<'a>;

    /// Whether datacoord has removed all data of a collection, or of one partition.
    ///
    /// # Errors
    /// Not known.
    fn garbage_is_gone(&self, collection: CollectionId, partition: Option<PartitionId>) -> Called<'_, bool>;

    /// Querycoord releases a collection. One that is not loaded is a success.
    ///
    /// # Errors
    /// Not done, or not known.
    fn release_collection(&self, collection: CollectionId) -> Called<'_>;

    /// Querycoord releases partitions. Those not loaded are a success.
    ///
    /// # Errors
    /// Not done, or not known.
    fn release_partitions<'a>(
        &'a self,
        collection: CollectionId,
        partitions: &'a [PartitionId],
    ) -> Called<'a>;

    /// Querycoord loads a new partition if its collection is loaded as a whole.
    ///
    /// # Errors
    /// Not done, or not known.
    fn partition_created<'a>(&'a self, partition: &'a Partition) -> Called<'a>;

    /// What querycoord tells of its nodes, as JSON.
    ///
    /// # Errors
    /// Not known.
    fn query_metrics(&self) -> Called<'_, String>;

    /// What datacoord tells of its nodes and of the data, as JSON.
    ///
    /// # Errors
    /// Not known.
    fn data_metrics(&self) -> Called<'_, String>;

    /// What each proxy tells of itself, as JSON. One that does not answer holds up the others for a
    /// bounded time, and the next time for a shorter one.
    fn proxy_metrics(&self) -> BoxFuture<'_, PerProxy<String>>;

    /// Has each proxy let through its part of these rates, and forget those of other collections.
    /// The same waiting as [`proxy_metrics`](Self::proxy_metrics).
    fn set_rates<'a>(&'a self, rates: &'a Rates) -> BoxFuture<'a, PerProxy<()>>;

    /// The term is over: what is under way ends as cancelled, and nothing is told again.
    /// Returns when nothing of it runs any more. Later calls belong to the next term.
    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
