//! Who should be ACTIVE: the instance with the highest priority.
//!
//! Priorities decide nothing that is safe; a campaign is a campaign. They order it:
//! a standby lets better ones that live and are ready go first for a moment, and one
//! that is better than the ACTIVE one may ask it for the role ([failback]). Each such
//! move raises the priority of the ACTIVE one, so they can't go round in circles.
//!
//! [failback]: Failback

use std::time::Duration;

use super::{
    Action, Compared,
    machine::{Life, Phase},
};
use crate::{
    clock::BootInstant,
    election::verdict::{Certainty, Victim},
    ids::Epoch,
};

/// How long a better one may take to campaign. Enough for the same news to reach it and for a
/// transaction of etcd; little beside the rest of a takeover by a hint.
const HEAD_START: Duration = Duration::from_millis(25);
/// Better ones beyond this many are not waited for.
const MOST_BETTER: u32 = 2;
/// The longest that a failback waits, and how long one is remembered.
const LONGEST_SETTLE: Duration = Duration::from_secs(3600);

/// Whom a campaign would be up against, after whom: what a head start is given for.
type Occasion = (Option<Victim>, Option<Victim>);

/// A head start that is being given, and its end.
pub(super) type HeadStart = (Occasion, BootInstant);

/// Asking the ACTIVE one for the role because of a higher priority.
///
/// The first time after the settle time, then after twice as long, and so on up to an
/// hour: an instance that can't keep the role does not take it again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failback {
    /// Since when this instance has been ready to take over that term.
    ready: Option<(Epoch, BootInstant)>,
    /// When it last asked, and how long it had waited.
    asked: Option<(BootInstant, Duration)>,
    /// No answer yet.
    in_flight: bool,
}

impl Failback {
    fn settle(&self, now: BootInstant, configured: Duration) -> Duration {
        match self.asked {
            Some((at, waited)) if now.since(at) < LONGEST_SETTLE => {
                (waited * 2).min(LONGEST_SETTLE).max(configured)
            }
            _ => configured,
        }
    }
}

impl Life {
    pub(super) fn compared(&mut self, compared: Compared) -> Vec<Action> {
        self.compared = compared;
        vec![]
    }

    /// Whether better standbys go first now. Each occasion has one head start, however
    /// often the campaign has to be repeated.
    pub(super) fn gives_head_start(&mut self, now: BootInstant, certainty: Certainty) -> bool {
        let better = u32::try_from(self.compared.better).unwrap_or(u32::MAX).min(MOST_BETTER);
        // Who was asked to take over was chosen.
        if better == 0 || certainty == Certainty::HandedOver {
            return false;
        }
        let victim = |holder: &super::Holder| holder.victim;
        let occasion = (self.holder.as_ref().map(victim), self.last_holder.as_ref().map(victim));
        let until = match self.head_start {
            Some((given, until)) if given == occasion => until,
            _ => {
                let until = now + HEAD_START * better;
                self.head_start = Some((occasion, until));
                until
            }
        };
        now < until
    }

    /// The ACTIVE one that this standby is ready to replace because it is better.
    fn worse_holder(&self, now: BootInstant) -> Option<Epoch> {
        let free = self.phase == Phase::Standby && self.taking_over.is_none() && !self.failback.in_flight;
        let held = self.holder.as_ref().map(|holder| holder.victim.epoch);
        let ready = free && self.in_step && !self.is_paused(now) && self.verdict.is_none();
        self.compared.worse_holder.filter(|epoch| ready && held == Some(*epoch))
    }

    /// Asks for the role once this instance has been ready for it long enough.
    pub(super) fn fail_back(&mut self, now: BootInstant) -> Vec<Action> {
        let Some(configured) = self.settings.failback else { return vec![] };
        let Some(epoch) = self.worse_holder(now) else {
            self.failback.ready = None;
            return vec![];
        };
        let since = match self.failback.ready {
            Some((term, since)) if term == epoch => since,
            _ => {
                self.failback.ready = Some((epoch, now));
                now
            }
        };
        let settle = self.failback.settle(now, configured);
        if now < since + settle {
            return vec![];
        }
        self.failback = Failback { ready: None, asked: Some((now, settle)), in_flight: true };
        vec![Action::AskForRole(epoch)]
    }

    pub(super) fn asked_for_role(&mut self) -> Vec<Action> {
        self.failback.in_flight = false;
        vec![]
    }

    /// When [`fail_back`](Self::fail_back) or the end of a head start wants to be looked at.
    pub(super) fn preference_wakes(&self) -> [Option<BootInstant>; 2] {
        let failback = self
            .settings
            .failback
            .zip(self.failback.ready)
            .map(|(configured, (_, since))| since + self.failback.settle(self.stepped_at, configured));
        [failback, self.head_start.map(|(_, until)| until)]
    }
}
