//! The takeover under way: why it began, from whom, and how long its stages take.

use super::*;

/// A takeover under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) victim: Option<Victim>,
    pub(super) cause: TakeoverCause,
    /// The key is replaced in place: the victim is deposed by the win.
    pub(super) in_place: bool,
    pub(super) tried: bool,
    /// Of the victim.
    pub(super) address: String,
    pub(super) measured: Takeover,
}

impl Teller {
    pub(super) fn deposing(&mut self, at: BootInstant, victim: Victim) {
        let cause = match self.evidence {
            Some((id, cause, _)) if id == victim.server_id => cause,
            _ => TakeoverCause::Hint,
        };
        self.begin(at, Some(victim), cause, false);
    }

    pub(super) fn campaign(&mut self, at: BootInstant, against: Option<Victim>, certainty: Certainty) {
        let victim = against.or(self.gone.as_ref().map(|(victim, _)| *victim));
        let cause = match certainty {
            Certainty::HandedOver => TakeoverCause::Handover,
            Certainty::Certain => TakeoverCause::Certain,
            Certainty::Hint => TakeoverCause::Hint,
            Certainty::Silence if victim.is_some() => TakeoverCause::Silence,
            Certainty::Silence => TakeoverCause::Vacant,
        };
        if let Some(victim) = against {
            // Who hands over has its session still.
            self.deleted(victim, victim.epoch.revision(), certainty != Certainty::HandedOver);
        }
        self.begin(at, victim, cause, against.is_some());
        if let Some(running) = &mut self.takeover {
            if !running.tried && running.cause != TakeoverCause::Vacant {
                self.events.retrying_to_register();
            }
            running.tried = true;
        }
        self.events.registration_tried();
    }

    /// Begins to measure, unless that has begun: an attempt that failed is followed by another.
    pub(super) fn begin(
        &mut self,
        at: BootInstant,
        victim: Option<Victim>,
        cause: TakeoverCause,
        in_place: bool,
    ) {
        if let Some(running) = self.takeover.as_mut().filter(|running| running.victim == victim) {
            running.in_place |= in_place;
            return;
        }
        let known_for = self
            .evidence
            .filter(|(id, by, _)| victim.is_some_and(|victim| victim.server_id == *id) && *by == cause)
            .map(|(_, _, since)| at.since(since));
        let told = victim.map(|victim| (victim.server_id, victim.epoch));
        let measured = self.events.takeover_begun(cause, told, known_for, at);
        let address = victim.map(|victim| self.address_of(victim)).unwrap_or_default();
        self.takeover = Some(Running { victim, cause, in_place, tried: false, address, measured });
    }

    /// Of somebody who holds the key, or was the last to hold it.
    pub(super) fn address_of(&self, victim: Victim) -> String {
        let holder = self.holder.as_ref().map(|holder| (holder.victim, holder.address.clone()));
        let known = [holder, self.gone.clone()].into_iter().flatten().find(|(of, _)| *of == victim);
        known.map(|(_, address)| address).unwrap_or_default()
    }

    pub(super) fn asks_for_role(&self, victim: Victim) {
        let holder = Peer { server_id: victim.server_id, address: self.address_of(victim) };
        self.events.asks_for_role(&holder);
    }

    pub(super) fn about_to_serve(&mut self, at: BootInstant, epoch: Epoch) {
        if let Some(running) = self.takeover.take() {
            self.events.initialized(self.own, &self.settings.address);
            let (stages, total) = running.measured.serving(epoch, at);
            let reason = match running.cause {
                TakeoverCause::Certain => Reason::Certain,
                TakeoverCause::Hint => Reason::Hint,
                TakeoverCause::Silence => Reason::Silence,
                TakeoverCause::Handover => Reason::HandOver,
                TakeoverCause::Vacant => Reason::Start,
            };
            let from = running.victim.map(|victim| (victim.server_id, running.address));
            self.course = Some((epoch, Course { reason, from, stages, total }));
        }
    }
}
