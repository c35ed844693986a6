//! What the management port tells about an instance.

use crate::{
    election::{instance::Handles, peer_service::StatusSource as _, standing::Peer},
    ids::{Revision, Role, ServerId},
    telemetry::{
        http::{Health, HealthSource},
        metrics::LiveFigures,
    },
};

/// The health of the instance behind those handles.
#[derive(Debug)]
pub(in crate::cli) struct InstanceHealth {
    role: Role,
    address: String,
    handles: Handles,
}

impl InstanceHealth {
    /// `address`: the own `host:port`.
    pub(in crate::cli) fn new(role: Role, address: String, handles: Handles) -> Self {
        Self { role, address, handles }
    }
}

impl HealthSource for InstanceHealth {
    fn health(&self) -> Health {
        let own = *self.handles.own.borrow();
        let peer = (own != ServerId(0)).then(|| Peer { server_id: own, address: self.address.clone() });
        let standing = self.handles.standing.borrow().clone();
        let mut health = Health::of(self.role, peer.as_ref(), &standing);
        // While the key changes hands, the mirror knows best who has it.
        if health.active.is_none() {
            let holder = self.handles.observed.borrow().holder(self.role);
            health.active = holder.filter(|holder| holder.victim.server_id.0 > 0).map(|holder| {
                (Peer { server_id: holder.victim.server_id, address: holder.address }, holder.victim.epoch)
            });
        }
        // Known before etcd has given an id.
        health.address = Some(self.address.clone());
        health
    }

    fn live(&self) -> LiveFigures {
        let vitals = &self.handles.vitals;
        let status = vitals.status();
        let mirror_revision = Some(Revision(status.mirror_revision)).filter(|at| at.0 > 0);
        LiveFigures {
            proof_age: vitals.proof_age(),
            lease_left: vitals.lease_left(),
            mirror_revision,
            mirror_lag: mirror_revision
                .map(|at| u64::try_from(status.etcd_revision.saturating_sub(at.0)).unwrap_or(0)),
        }
    }
}
