//! What an instance knows of itself, for operators and for its peers.

use std::{sync::Arc, time::Duration};

use milvus_proto::peer::{Phase, StatusResponse};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    clock::{BootInstant, Clock, UnixNanos},
    election::{
        gate::Gate, observer::Observed, pause::Pause, peer_service::StatusSource, standing::Standing,
    },
    etcd::{Etcd, lease::Pulse},
    ids::{Role, ServerId},
};

#[derive(Debug, Default)]
struct Inner {
    own: ServerId,
    lease_until: BootInstant,
    active_since: Option<UnixNanos>,
    gate: Option<Arc<Gate>>,
    paused: Option<Pause>,
}

/// See the module. The life cycle writes it, answers read it.
#[derive(Debug)]
pub struct Vitals {
    role: Role,
    address: String,
    clock: Arc<dyn Clock>,
    etcd: Etcd,
    standing: watch::Receiver<Standing>,
    observed: watch::Receiver<Observed>,
    pulse: Pulse,
    inner: Mutex<Inner>,
}

impl Vitals {
    /// Of an instance that has not begun yet.
    pub fn new(
        role: Role,
        address: String,
        clock: Arc<dyn Clock>,
        etcd: Etcd,
        standing: watch::Receiver<Standing>,
        observed: watch::Receiver<Observed>,
    ) -> Arc<Self> {
        let pulse = Pulse::new(Arc::clone(&clock));
        Arc::new(Self { role, address, clock, etcd, standing, observed, pulse, inner: Mutex::default() })
    }

    /// The sign of life of the loop that drives the instance, by which its lease is kept.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The own id is known now.
    pub fn begun(&self, own: ServerId) {
        self.inner.lock().own = own;
    }

    /// What the mirror shows of sessions.
    pub fn observed(&self) -> watch::Receiver<Observed> {
        self.observed.clone()
    }

    /// The own lease is surely valid until then.
    pub fn lease_until(&self, deadline: BootInstant) {
        self.inner.lock().lease_until = deadline;
    }

    /// Serves since now, or not any more.
    pub fn serving(&self, serving: bool) {
        self.inner.lock().active_since = serving.then(|| self.clock.wall());
    }

    /// The own term's gate from now on; `None`: no term.
    pub fn gate(&self, gate: Option<Arc<Gate>>) {
        self.inner.lock().gate = gate;
    }

    /// Automatic takeover is paused from now on, or not.
    pub fn paused(&self, pause: Option<Pause>) {
        self.inner.lock().paused = pause;
    }

    /// The pause of automatic takeover that is in force.
    pub fn pause(&self) -> Option<Pause> {
        self.inner.lock().paused.clone()
    }

    /// How long ago the newest proof of the own term was sent; `None` without one.
    pub fn proof_age(&self) -> Option<Duration> {
        let proven_at = self.inner.lock().gate.as_ref()?.newest_proof()?;
        Some(self.clock.boot().since(proven_at))
    }

    /// For how long the own lease is surely valid; `None` before the first one.
    pub fn lease_left(&self) -> Option<Duration> {
        let until = self.inner.lock().lease_until;
        (until != BootInstant::default()).then(|| until.since(self.clock.boot()))
    }

    /// Milliseconds left of the own lease; negative when it is over.
    pub fn lease_left_ms(&self) -> i64 {
        let until = self.inner.lock().lease_until.since_boot().as_millis();
        let now = self.clock.boot().since_boot().as_millis();
        i64::try_from(until).unwrap_or(i64::MAX) - i64::try_from(now).unwrap_or(i64::MAX)
    }

    /// The phase by which others know where this instance stands.
    pub fn phase(&self) -> Phase {
        phase_of(&self.standing.borrow())
    }
}

/// The phase that goes over the wire for a standing.
pub fn phase_of(standing: &Standing) -> Phase {
    match standing {
        Standing::Starting => Phase::WaitingForEtcd,
        Standing::Standby { .. } | Standing::Forwarding { .. } => Phase::Standby,
        Standing::Activating { .. } => Phase::Activating,
        Standing::Active { .. } => Phase::Active,
        Standing::Suspended { .. } => Phase::Suspended,
        Standing::HandingOver { .. } | Standing::Leaving { .. } => Phase::Leaving,
    }
}

impl StatusSource for Vitals {
    fn status(&self) -> StatusResponse {
        let standing = self.standing.borrow().clone();
        let lease_left_ms = self.lease_left_ms();
        let inner = self.inner.lock();
        let (mirror, holder) = {
            let observed = self.observed.borrow();
            (observed.at, observed.holder(self.role).map(|holder| holder.victim.epoch))
        };
        StatusResponse {
            role: self.role.name().to_owned(),
            server_id: inner.own.0,
            address: self.address.clone(),
            phase: phase_of(&standing).into(),
            epoch: standing.own_epoch().or(holder).map_or(0, |epoch| epoch.0),
            active_since_ms: inner
                .active_since
                .map_or(0, |at| i64::try_from(at.millis()).unwrap_or(i64::MAX)),
            lease_left_ms,
            mirror_revision: mirror.0,
            etcd_revision: self.etcd.newest_revision().0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
