//! What a pause of automatic takeover keeps from happening.
//!
//! It keeps the role where it is. A standby takes nothing from another, neither by a
//! verdict nor when the key is gone after a death. Still allowed is what an operator
//! asks for and what moves the role nowhere:
//!
//! * taking over from one that leaves on purpose (SIGTERM, switchover), also when the
//!   hand-over failed and the key is simply gone;
//! * taking back what the own process, or an earlier one at the own address, has held;
//! * taking a key that nobody has held since this process began: whoever starts it
//!   while nobody serves wants service.
//!
//! What is known meanwhile is kept, so that the takeover follows as soon as the pause
//! ends: by `resume`, by its time, or because etcd has removed it.

use super::{
    Action,
    machine::{Life, Phase},
};
use crate::{clock::BootInstant, election::verdict::Victim};

/// A pause as one instance knows it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paused {
    /// Until when, if there is one.
    until: Option<BootInstant>,
    /// The last term whose holder said that it ends it on purpose.
    departing: Option<Victim>,
    /// Who was not deposed because of a pause; to be said once.
    said: Option<Victim>,
}

impl Paused {
    /// Whether there is a pause at `now`.
    fn at(&self, now: BootInstant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

impl Life {
    /// Whether automatic takeover is paused at `now`.
    pub fn is_paused(&self, now: BootInstant) -> bool {
        self.paused.at(now)
    }

    pub(super) fn pause_ends(&self) -> Option<BootInstant> {
        self.paused.until
    }

    pub(super) fn paused(&mut self, until: Option<BootInstant>) -> Vec<Action> {
        self.paused.until = until;
        vec![]
    }

    /// The holder of a term says that it ends it on purpose.
    pub(super) fn departs(&mut self, victim: Victim) -> Vec<Action> {
        self.paused.departing = Some(victim);
        vec![]
    }

    /// Whether the pause keeps this standby from a campaign that it could begin now.
    pub(super) fn held_by_pause(&self, now: BootInstant) -> bool {
        debug_assert_eq!(self.phase, Phase::Standby);
        let Some(last) = self.last_holder.as_ref().filter(|_| self.is_paused(now)) else { return false };
        let own = last.victim.server_id == self.settings.own || last.address == self.settings.address;
        !own && self.paused.departing != Some(last.victim)
    }

    /// Says once for each holder that it would be deposed now.
    pub(super) fn say_held(&mut self) -> Vec<Action> {
        let victim = self.last_holder.as_ref().map(|last| last.victim);
        match victim.filter(|_| self.paused.said != victim) {
            Some(victim) => {
                self.paused.said = Some(victim);
                vec![Action::NoteHeld(victim)]
            }
            None => vec![],
        }
    }
}
