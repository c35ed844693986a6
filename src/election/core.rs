//! What a role must offer to be run as a pair, and what it gets in return.

use std::{fmt, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, UnixNanos},
    election::gate::Gate,
    etcd::{
        mirror::{KeyRange, MirrorEvent},
        store::FencedStore,
        txn::{Guard, KeyValue, Op},
    },
    ids::{Epoch, Revision, Role, ServerId},
    net::BoxFuture,
};

/// One term of one role: everything that writing and answering needs.
#[derive(Clone)]
pub struct Term {
    /// Mod revision of the put that began it.
    pub epoch: Epoch,
    /// Who serves it.
    pub server_id: ServerId,
    /// The only way to write metadata.
    pub store: FencedStore,
    /// Asked before anything goes out that etcd can't fence.
    pub gate: Arc<Gate>,
    /// Cancelled when the term is over, for whatever reason.
    pub over: CancellationToken,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term").field("epoch", &self.epoch).field("server_id", &self.server_id).finish()
    }
}

/// What a candidate adds to the transaction in which it takes the ACTIVE key: the
/// windows that it takes over, compared with what its mirror shows, and set anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    /// What the mirror believes the windows to be.
    pub guards: Vec<Guard>,
    /// The windows from which the new term may give out.
    pub puts: Vec<Op>,
}

/// A role as the life cycle sees it. Implementations keep their state hot while
/// standby: activation flips it, it loads nothing.
pub trait RoleCore: Send + Sync + fmt::Debug + 'static {
    /// Which one.
    fn role(&self) -> Role;

    /// What the mirror shall load and keep for it, beyond sessions.
    fn ranges(&self) -> Vec<KeyRange>;

    /// One change of the mirror, in etcd's order. Called in every phase, and never
    /// concurrently with itself. Must not block.
    fn mirror(&self, event: &MirrorEvent);

    /// Windows for the next term, planned from what the mirror shows and the wall clock.
    ///
    /// `given_until`: what the predecessor said that it has given out, if it handed over.
    fn stake(&self, now: UnixNanos, given_until: Option<UnixNanos>) -> Stake;

    /// The stake failed: these are the keys of its guards as they are now.
    fn restake(&self, seen: &[(String, Option<KeyValue>)]);

    /// Etcd has granted a lease of that length, which may be more than was asked for:
    /// windows must outlast it.
    fn lease_granted(&self, ttl: Duration);

    /// The key is won, the mirror is complete up to the epoch, and the stake is in etcd.
    /// Begins to serve; quick, and waits for no other role. What can be repaired later
    /// is repaired in the background.
    fn activate(&self, term: Term) -> BoxFuture<'_, Result<(), String>>;

    /// On the way out on purpose: admits no new writes and waits for those on the wire.
    /// Returns the revision after which the term has written nothing.
    fn drain(&self) -> BoxFuture<'_, Revision>;

    /// The term is over. Returns when nothing of it runs any more. The hot state stays.
    fn deactivate(&self) -> BoxFuture<'_, ()>;

    /// Of a term that was deactivated, and of no other: nothing of this time or later was given
    /// out. A successor that is told goes on from there, instead of behind the window.
    fn given_until(&self, epoch: Epoch) -> Option<UnixNanos>;
}
