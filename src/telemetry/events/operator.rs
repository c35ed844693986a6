//! What an operator has set: pauses of automatic takeover, and who should be ACTIVE.

use tracing::{info, warn};

use crate::{
    election::{pause::Pause, standing::Peer, verdict::Victim},
    ids::{Epoch, ServerId},
    telemetry::events::Events,
};

impl Events {
    /// Automatic takeover is paused, or paused in other words.
    pub fn paused(&self, pause: &Pause, until: &str) {
        self.metrics.pair.paused(true);
        warn!(until, by = pause.by, reason = pause.reason, "automatic takeover of {} is paused", self.role);
    }

    /// It is no longer.
    pub fn resumed(&self) {
        self.metrics.pair.paused(false);
        info!("automatic takeover of {} is no longer paused", self.role);
    }

    /// The ACTIVE one seems gone, and because of a pause nobody takes over.
    pub fn takeover_held(&self, victim: Victim) {
        warn!(
            victim = victim.server_id.0,
            victimEpoch = victim.epoch.0,
            "the ACTIVE {} is gone, and automatic takeover is paused: not taking over",
            self.role
        );
    }

    /// This standby is preferred to the ACTIVE one, and asks it for the role.
    pub fn asks_for_role(&self, holder: &Peer) {
        info!(
            holder = holder.server_id.0,
            address = holder.address,
            "preferred to the ACTIVE {}: asking it to hand over",
            self.role
        );
    }

    /// The ACTIVE one did not hand over.
    pub fn role_not_given(&self, reason: &str) {
        warn!(reason, "the ACTIVE {} has not handed over to this preferred one", self.role);
    }

    /// The ACTIVE one has handed over.
    pub fn role_given(&self, epoch: Epoch) {
        info!(epoch = epoch.0, "the ACTIVE {} has handed over to this preferred one", self.role);
    }

    /// This standby, which is preferred, has asked this instance for the role.
    pub fn role_wanted(&self, standby: ServerId) {
        info!(standby = standby.0, "a preferred {} asks for the role: handing over", self.role);
    }
}
