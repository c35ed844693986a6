//! Leaving on purpose.

use tracing::{info, warn};

use crate::{ids::Epoch, telemetry::events::Events};

impl Events {
    /// The active instance is asked to end, and so many standbys could take over.
    pub fn leaving(&self, successors: usize) {
        if successors == 0 {
            info!("ending, and no standby is there: the ACTIVE key is given back");
        } else {
            info!(standbys = successors, "ending: a standby takes over");
        }
    }

    /// The successor serves, in its term.
    pub fn handed_over(&self, successor: Epoch) {
        info!(epoch = successor.0, "the ACTIVE key is handed over, the successor serves");
    }

    /// The successor did not take over; the key is given back for whoever is fastest.
    pub fn hand_over_failed(&self, reason: &str) {
        warn!(reason, "the ACTIVE key could not be handed over and is given back");
    }
}
