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
        health.pause = self.handles.vitals.pause();
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::{
        clock::{BootInstant, Clock, testing::Hand},
        election::{
            gate::{Gate, GateSettings},
            hub::PeerHub,
            observer::{Listed, Observed},
            peer_service::PeerService,
            rules::Rules,
            session::Session,
            standing::Standing,
            vitals::Vitals,
        },
        etcd::{Etcd, settings::EtcdSettings},
        ids::{Epoch, LeaseId},
        net::Tcp,
        telemetry::words::Phase,
    };

    const ROLE: Role = Role::RootCoord;

    struct Instance {
        standing: watch::Sender<Standing>,
        own: watch::Sender<ServerId>,
        observed: watch::Sender<Observed>,
        vitals: Arc<Vitals>,
        clock: Arc<dyn Clock>,
        health: InstanceHealth,
    }

    fn instance() -> Instance {
        let hand = Hand::default();
        hand.set(Duration::from_secs(10));
        let clock: Arc<dyn Clock> = Arc::new(hand);
        let dial = Arc::new(Tcp { connect_timeout: Duration::from_secs(1) });
        let etcd = Etcd::new(EtcdSettings::new(["localhost:1"]), dial, Arc::clone(&clock)).unwrap();
        let (standing, standing_receiver) = watch::channel(Standing::Starting);
        let (own, own_receiver) = watch::channel(ServerId(0));
        let (observed, observed_receiver) = watch::channel(Observed::default());
        let address = "10.0.0.3:53100".to_owned();
        let vitals = Vitals::new(
            ROLE,
            address.clone(),
            Arc::clone(&clock),
            etcd,
            standing_receiver.clone(),
            observed_receiver.clone(),
        );
        let (commands, _) = mpsc::channel(1);
        let hub = PeerHub::new(ROLE, Arc::clone(&clock));
        let handles = Handles {
            standing: standing_receiver,
            own: own_receiver,
            observed: observed_receiver,
            vitals: Arc::clone(&vitals),
            peer_service: PeerService::new(hub, commands, Arc::clone(&vitals) as _),
        };
        Instance {
            standing,
            own,
            observed,
            vitals,
            clock,
            health: InstanceHealth::new(ROLE, address, handles),
        }
    }

    fn peer(id: i64) -> Peer {
        Peer { server_id: ServerId(id), address: format!("10.0.0.{id}:53100") }
    }

    #[test]
    fn before_etcd_has_answered_there_is_an_address_and_nothing_else() {
        let health = instance().health;
        let seen = health.health();
        assert_eq!(
            (seen.phase, seen.server_id, seen.epoch, seen.active),
            (Phase::Starting, None, None, None)
        );
        assert_eq!(seen.address.as_deref(), Some("10.0.0.3:53100"));
        assert!(!seen.restart_helps);
        assert_eq!(health.live(), LiveFigures::default());
    }

    #[test]
    fn who_is_active_comes_from_the_standing_and_else_from_the_mirror() {
        let Instance { standing, own, observed, health, .. } = instance();
        own.send_replace(ServerId(3));
        standing.send_replace(Standing::Active { epoch: Epoch(61) });
        assert_eq!(health.health().active, Some((peer(3), Epoch(61))));
        standing.send_replace(Standing::Standby { active: Some((peer(9), Epoch(70))) });
        assert_eq!(health.health().active, Some((peer(9), Epoch(70))));
        let next = peer(12);
        observed.send_modify(|observed| {
            let session = Session::coordinator(ROLE, next.server_id, next.address.clone(), "host".into());
            let listed = Listed { session, mod_revision: Revision(80), lease: LeaseId(1) };
            observed.sessions.insert(ROLE.name().to_owned(), listed);
        });
        standing.send_replace(Standing::HandingOver { epoch: Epoch(61) });
        assert_eq!(health.health().active, Some((next, Epoch(80))));
        assert_eq!(
            (health.health().phase, health.health().server_id),
            (Phase::HandingOver, Some(ServerId(3)))
        );
    }

    #[test]
    fn figures_are_there_as_soon_as_they_mean_something() {
        let Instance { observed, vitals, clock, health, .. } = instance();
        vitals.lease_until(BootInstant::from_boot(Duration::from_secs(14)));
        observed.send_modify(|observed| observed.at = Revision(90));
        let settings =
            GateSettings { proof_window: Duration::from_millis(100), strict: false, rules: Rules::default() };
        let gate = Arc::new(Gate::new(Epoch(61), settings, clock));
        vitals.gate(Some(Arc::clone(&gate)));
        let expected = LiveFigures {
            proof_age: None,
            lease_left: Some(Duration::from_secs(4)),
            mirror_revision: Some(Revision(90)),
            mirror_lag: Some(0),
        };
        assert_eq!(health.live(), expected);
        gate.proven(BootInstant::from_boot(Duration::from_millis(9_970)));
        assert_eq!(health.live().proof_age, Some(Duration::from_millis(30)));
        vitals.lease_until(BootInstant::from_boot(Duration::from_secs(8)));
        assert_eq!(health.live().lease_left, Some(Duration::ZERO));
        vitals.gate(None);
        assert_eq!(health.live().proof_age, None);
    }
}
