//! From standby to the key: whom to depose, when to campaign, what a campaign brought.

use std::time::Duration;

use super::{
    Action, Campaign, CampaignEnd, Holder,
    machine::{Life, NOT_IN_STEP_DELAY, Phase, STANDBY_NOTE_EVERY, Won},
};
use crate::{
    clock::BootInstant,
    election::{
        rules::Rule,
        session::Kind,
        standing::Peer,
        verdict::{Certainty, Victim},
    },
    ids::{Epoch, LeaseId, Revision, ServerId},
};

/// Between two attempts that etcd did not take.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// First bar on hints against a victim that proved alive; doubles.
const HINT_BAR: Duration = Duration::from_secs(60);
/// How long a hand-over to this instance may wait for its mirror to know of it.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(1);

impl Life {
    /// A victim of a hint that registers again was alive: its network lies.
    pub(super) fn peer_registered(&mut self, now: BootInstant, peer: &Peer, at: Revision) -> Vec<Action> {
        let Some((victim, epoch)) = &self.hinted else { return vec![] };
        // Another process at that address proves nothing: it may be its restart.
        if at > epoch.revision() && victim.server_id == peer.server_id {
            let bar = self.barred.get(&peer.address).map_or(HINT_BAR, |(_, last)| *last * 2);
            self.barred.insert(peer.address.clone(), (now + bar, bar));
            self.hinted = None;
        }
        vec![]
    }

    pub(super) fn hint(&mut self, now: BootInstant, victim: Victim) -> Vec<Action> {
        let Some(holder) = &self.holder else { return vec![] };
        let wrong_victim = holder.victim != victim && self.settings.rules.hold(Rule::VictimCompare);
        let barred = self.barred.get(&holder.address).is_some_and(|(until, _)| now < *until);
        let counts = self.settings.fast_takeover && self.hints_count();
        if counts && !wrong_victim && !barred && self.verdict.is_none() {
            self.verdict = Some((holder.victim, Certainty::Hint));
        }
        vec![]
    }

    /// Who speaks lives, whatever its streams looked like before.
    pub(super) fn spoke(&mut self, peer: ServerId) -> Vec<Action> {
        if self
            .verdict
            .is_some_and(|(victim, certainty)| victim.server_id == peer && certainty == Certainty::Hint)
        {
            self.verdict = None;
        }
        vec![]
    }

    /// Until when a promise keeps the hint that there is from being acted upon. It comes once
    /// and not again, so it waits rather than being forgotten.
    pub(super) fn hint_held_until(&self) -> Option<BootInstant> {
        let (victim, _) = self.verdict.filter(|(_, certainty)| *certainty == Certainty::Hint)?;
        self.pledged.get(&victim.epoch).copied()
    }

    /// Told of a term that lives on the pledges of others, it is as bound as they are.
    pub(super) fn bound(&mut self, now: BootInstant, epoch: Epoch, until: BootInstant) -> Vec<Action> {
        if self.settings.rules.hold(Rule::Pledges) {
            self.pledged.retain(|_, until| now < *until);
            let known = self.pledged.entry(epoch).or_insert(until);
            *known = until.max(*known);
        }
        vec![]
    }

    pub(super) fn pledge_asked(
        &mut self,
        now: BootInstant,
        epoch: Epoch,
        until: BootInstant,
        nonce: u64,
    ) -> Vec<Action> {
        let deposing = match &self.phase {
            Phase::Campaigning(campaign) => {
                campaign.against.as_ref().is_some_and(|holder| holder.victim.epoch == epoch)
            }
            Phase::Registering | Phase::Standby => false,
            _ => true,
        };
        if deposing {
            return vec![];
        }
        if self
            .verdict
            .is_some_and(|(victim, certainty)| victim.epoch == epoch && certainty == Certainty::Hint)
        {
            // It asks, so it lives.
            self.verdict = None;
        }
        self.bound(now, epoch, until);
        vec![Action::Pledge { epoch, nonce }]
    }

    /// In standby: whether to campaign now, and against what.
    pub(super) fn consider(&mut self, now: BootInstant) -> Vec<Action> {
        if self.phase != Phase::Standby || now < self.no_campaign_until || self.mirrored < self.not_before {
            return vec![];
        }
        if self.mirrored == Revision(0) {
            return vec![];
        }
        let Some((against, certainty)) = self.vacancy(now) else { return vec![] };
        if self.held_by_pause(now) {
            return self.say_held();
        }
        if self.gives_head_start(now, certainty) {
            return vec![];
        }
        if let Some(Holder { victim, kind: Kind::Foreign, lease, .. }) = against {
            if self.deposing_foreign == Some(victim) || lease == LeaseId(0) {
                return vec![];
            }
            self.deposing_foreign = Some(victim);
            return vec![Action::DeposeForeign(victim, lease)];
        }
        let Some((lease, until)) = self.lease else { return self.register_anew() };
        if self.lease_used && self.settings.rules.hold(Rule::FreshLease) {
            return self.register_anew();
        }
        if until.since(now) * 2 <= self.settings.lease_ttl {
            return self.renew_registration();
        }
        self.campaigns += 1;
        let after_foreign = self.last_holder.as_ref().is_some_and(|last| last.kind == Kind::Foreign);
        let campaign = Campaign { number: self.campaigns, against, after_foreign, certainty, lease };
        self.phase = Phase::Campaigning(campaign.clone());
        self.note_at = None;
        vec![Action::Campaign(campaign)]
    }

    /// Whether the key can be had: against whom, if anybody, and by what certainty.
    fn vacancy(&self, now: BootInstant) -> Option<(Option<Holder>, Certainty)> {
        let Some(holder) = &self.holder else {
            let goes_first = self.in_step || now >= self.absent_since + NOT_IN_STEP_DELAY;
            return goes_first.then_some((None, Certainty::Silence));
        };
        let pledged = self.hint_held_until().is_some_and(|until| now < until);
        let certainty = match self.verdict {
            Some((victim, certainty)) if victim == holder.victim && !pledged => certainty,
            _ if self.gone.contains(&holder.victim.server_id) => Certainty::Certain,
            _ => return None,
        };
        Some((Some(holder.clone()), certainty))
    }

    pub(super) fn campaigned(&mut self, now: BootInstant, number: u64, end: CampaignEnd) -> Vec<Action> {
        let campaign = match &self.phase {
            Phase::Campaigning(campaign) if campaign.number == number => campaign.clone(),
            _ => return vec![],
        };
        match end {
            CampaignEnd::Won(epoch) => return self.won(now, campaign, epoch),
            CampaignEnd::Lost(at) => {
                self.verdict = None;
                self.not_before = at;
                self.back_to_standby(now);
                return self.fail_take_over("somebody else has the key");
            }
            CampaignEnd::Outdated => self.back_to_standby(now),
            CampaignEnd::LeaseGone => return self.register_anew(),
            CampaignEnd::Failed => {
                self.no_campaign_until = now + RETRY_DELAY;
                self.back_to_standby(now);
            }
        }
        vec![]
    }

    pub(super) fn back_to_standby(&mut self, now: BootInstant) {
        self.phase = Phase::Standby;
        self.note_at = Some(now + STANDBY_NOTE_EVERY);
    }

    pub(super) fn won(&mut self, now: BootInstant, campaign: Campaign, epoch: Epoch) -> Vec<Action> {
        self.lease_used = true;
        self.verdict = None;
        self.deposing_foreign = None;
        self.forwarding = None;
        self.suspended = false;
        // The kernel's word often comes a moment after the reset that made the hint.
        let gone = campaign.against.as_ref().is_some_and(|held| self.gone.contains(&held.victim.server_id));
        let certainty = if gone { Certainty::Certain } else { campaign.certainty };
        let mut quiet = certainty.quiet_after(self.settings.proof_window);
        if campaign.after_foreign {
            quiet = quiet.max(self.settings.foreign_wait);
        }
        let mut quiet_at = now + quiet;
        if !quiet.is_zero() {
            // Its key may have been deleted under it: then it answers as long as it was promised.
            let promised = match &campaign.against {
                Some(held) => self.pledged.get(&held.victim.epoch),
                None => self.pledged.values().max(),
            };
            quiet_at = quiet_at.max(promised.copied().unwrap_or(quiet_at));
        }
        if !self.settings.rules.hold(Rule::QuietPoint) {
            quiet_at = now;
        }
        let mut actions = vec![];
        if let Some(replaced) = campaign.against {
            // Taken from the key whose mod revision the transaction compared.
            if replaced.lease != LeaseId(0) && replaced.lease != campaign.lease {
                actions.push(Action::RevokeVictim(replaced.victim, replaced.lease));
            }
            if campaign.certainty == Certainty::Hint {
                self.hinted = Some((replaced.victim, epoch));
            }
        }
        self.phase = Phase::CatchingUp(Won { epoch, since: now, quiet_at, read_forced: false });
        // The own put may have come through the watch before the answer did.
        if self.mirrored >= epoch.revision() {
            actions.extend(self.mirrored(now, self.mirrored, self.holder.clone(), self.in_step));
        }
        actions
    }

    pub(super) fn take_over(
        &mut self,
        now: BootInstant,
        victim: Victim,
        last_revision: Revision,
    ) -> Vec<Action> {
        if !matches!(self.phase, Phase::Standby) || self.taking_over.is_some() {
            return vec![Action::AnswerTakeOver(Err("not a free standby".to_owned()))];
        }
        self.departs(victim);
        self.verdict = Some((victim, Certainty::HandedOver));
        self.not_before = self.not_before.max(last_revision).max(victim.epoch.revision());
        self.taking_over = Some((victim, now + HAND_OVER_PATIENCE));
        vec![]
    }

    pub(super) fn fail_take_over(&mut self, why: &str) -> Vec<Action> {
        match self.taking_over.take() {
            Some(_) => vec![Action::AnswerTakeOver(Err(why.to_owned()))],
            None => vec![],
        }
    }
}
