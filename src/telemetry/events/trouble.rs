//! What ends a term or disturbs it.

use std::{error::Error, time::Duration};

use tracing::{error, info, warn};

use crate::{
    ids::{Epoch, LeaseId, Revision, Role, ServerId},
    telemetry::{
        events::Events,
        log::{Chain, GoDuration},
        words::TermEnd,
    },
};

impl Events {
    /// The own ACTIVE key was deleted.
    pub fn session_key_deleted(&self, key: &str) {
        info!(role = self.role.name(), key, "session key is deleted, exit...");
    }

    /// The own lease is over while active.
    pub fn connection_lost(&self) {
        warn!("connection lost detected, shuting down");
    }

    /// The process ends because its term has ended; only where it is set to end then.
    pub fn disconnected(&self, id: ServerId) {
        match self.role {
            Role::RootCoord => {
                error!("Server Id" = id.0, "Root Coord disconnected from etcd, process will exit");
            }
            Role::DataCoord => error!(serverID = id.0, "disconnected from etcd and exited"),
            Role::QueryCoord => {
                error!(serverID = id.0, "QueryCoord disconnected from etcd, process will exit");
            }
        }
    }

    /// The key was won, and the role could not begin to serve.
    pub fn activation_failed(&self, epoch: Epoch, reason: &str) {
        error!(epoch = epoch.0, reason, "{} could not begin to serve", self.role);
    }

    /// Without active-standby: somebody else has kept the key for too long, and the process ends.
    pub fn registration_given_up(&self, holder: Option<ServerId>) {
        error!(holder = holder.map(|id| id.0), "Register failed");
    }

    /// The own term is over.
    pub fn term_ended(&self, id: ServerId, epoch: Epoch, end: TermEnd) {
        self.metrics.pair.term_ended(end);
        self.metrics.serves(id, false);
        match end {
            TermEnd::HandedOver | TermEnd::Stopped => {
                info!(epoch = epoch.0, cause = end.name(), "the term is over");
            }
            TermEnd::Deposed
            | TermEnd::KeyDeleted
            | TermEnd::LeaseLost
            | TermEnd::ForeignWrite
            | TermEnd::EtcdReplaced
            | TermEnd::ActivationFailed => {
                warn!(epoch = epoch.0, cause = end.name(), "the term is over");
            }
        }
    }

    /// Nothing is answered until etcd confirms the own term again.
    pub fn self_fenced(&self, epoch: Epoch, proof_age: Option<Duration>) {
        self.metrics.pair.self_fencings.inc();
        let proof_age = proof_age.map(|age| tracing::field::display(GoDuration(age)));
        warn!(
            epoch = epoch.0,
            proofAge = proof_age,
            "etcd has not confirmed the term in time: answers wait until it does"
        );
    }

    /// Etcd has confirmed the own term again.
    pub fn self_fencing_ended(&self, epoch: Epoch, after: Duration) {
        info!(epoch = epoch.0, after = %GoDuration(after), "etcd has confirmed the term: answers go on");
    }

    /// Somebody else changed what only the term's holder may change.
    pub fn foreign_write(&self, epoch: Epoch, key: &str, at: Revision) {
        self.metrics.pair.foreign_writes.inc();
        warn!(key, revision = at.0, epoch = epoch.0, "somebody else changed metadata during the own term");
    }

    /// A value can't be decoded. It is skipped, and never overwritten.
    pub fn undecodable_value(&self, key: &str, at: Revision, cause: &(dyn Error + 'static)) {
        self.metrics.pair.undecodable.inc();
        error!(
            key,
            revision = at.0,
            error = %Chain(cause),
            "a value in etcd cannot be decoded: it is skipped and left as it is"
        );
    }

    /// Etcd does not answer. To be said at once and then every ten seconds.
    pub fn etcd_awaited(&self, endpoints: &str, waited: Duration, cause: &(dyn Error + 'static)) {
        self.metrics.pair.etcd_available(false);
        warn!(endpoints, waited = %GoDuration(waited), error = %Chain(cause), "waiting for etcd");
    }

    /// Etcd answers, for the first time or again.
    pub fn etcd_answers(&self, waited: Duration) {
        self.metrics.pair.etcd_available(true);
        info!(waited = %GoDuration(waited), "etcd answers");
    }

    /// The own lease is over; the session is registered anew.
    pub fn lease_lost(&self, id: ServerId, lease: LeaseId) {
        self.metrics.pair.leases_lost.inc();
        warn!(serverID = id.0, leaseID = lease.0, "the lease of the session is over, registering again");
    }
}
