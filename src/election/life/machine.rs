//! The states and what leads from one to another.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Action, Campaign, CampaignEnd, Event, Exit, Holder, LeaveCause, LifeSettings, Loss};
use crate::{
    clock::BootInstant,
    election::{
        rules::Rule,
        session::Kind,
        standing::{Peer, Standing},
        verdict::{Certainty, Victim},
    },
    ids::{Epoch, LeaseId, Revision, ServerId},
};

/// An instance whose mirror is not in step lets the others go first, for so long.
const NOT_IN_STEP_DELAY: Duration = Duration::from_millis(50);
/// The own put should come back through the watch within this, or it is read.
const CATCH_UP_PATIENCE: Duration = Duration::from_millis(100);
/// Won but not serving after so long: the key is given away.
const ACTIVATION_DEADLINE: Duration = Duration::from_secs(5);
/// No candidacy for so long after an activation that failed.
const COOL_OFF: Duration = Duration::from_secs(10);
/// Between two attempts that etcd did not take.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// Between two attempts to revoke a foreign holder's lease.
const FOREIGN_RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long calls go to the successor after leaving on purpose.
const FORWARD_FOR: Duration = Duration::from_secs(2);
/// Between two STANDBY lines, as in Milvus; also one round of waiting for an exclusive key.
const STANDBY_NOTE_EVERY: Duration = Duration::from_secs(10);
/// First bar on hints against a victim that proved alive; doubles.
const HINT_BAR: Duration = Duration::from_secs(60);
/// How long a hand-over to this instance may wait for its mirror to know of it.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(1);

/// Ids are never used again, and rise; the newest matter.
const REMEMBERED_GONE: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Won {
    epoch: Epoch,
    since: BootInstant,
    quiet_at: BootInstant,
    read_forced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Without a lease. Nothing but `Registered` leads on.
    Registering,
    /// Registered; may campaign.
    Standby,
    /// One campaign is in flight; its outcome may be unknown yet.
    Campaigning(Campaign),
    /// Holds the key; the mirror does not show it yet.
    CatchingUp(Won),
    /// The role is being flipped.
    Activating(Won),
    /// Serves.
    Active(Epoch),
    /// Holds calls, finishes writes.
    Draining(Epoch, LeaveCause, Vec<Peer>),
    /// Answers nothing; the successor is at it.
    Passing(Epoch, LeaveCause, Peer),
    /// Answers nothing; waits for the term's tasks to end.
    Closing(Loss),
    /// Waits for the forwarding time to end.
    Departing,
    /// Gives the lease back.
    Leaving(Exit),
    /// Over.
    Ended,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Life {
    settings: LifeSettings,
    phase: Phase,
    lease: Option<(LeaseId, BootInstant)>,
    /// Whether the lease may have been put under the ACTIVE key.
    lease_used: bool,
    suspended: bool,
    mirrored: Revision,
    in_step: bool,
    holder: Option<Holder>,
    /// The last holder of another kind, for the wait after it.
    last_kind: Option<Kind>,
    absent_since: BootInstant,
    gone: BTreeSet<ServerId>,
    verdict: Option<(Victim, Certainty)>,
    /// No campaign before the mirror has this.
    not_before: Revision,
    no_campaign_until: BootInstant,
    deposing_foreign: Option<Victim>,
    /// Which terms may not be deposed by a hint, and until when.
    pledged: Option<(Epoch, BootInstant)>,
    hinted: Option<(Victim, String, Epoch)>,
    barred: BTreeMap<String, (BootInstant, Duration)>,
    /// A hand-over that was asked of this instance and not answered yet.
    taking_over: Option<(Victim, BootInstant)>,
    forwarding: Option<(Peer, Epoch, BootInstant)>,
    campaigns: u64,
    note_at: Option<BootInstant>,
    rounds_waited: u32,
    stepped_at: BootInstant,
}

impl Life {
    /// A life that begins, and what to do first.
    pub fn begin(settings: LifeSettings) -> (Self, Vec<Action>) {
        let life = Self {
            settings,
            phase: Phase::Registering,
            lease: None,
            lease_used: false,
            suspended: false,
            mirrored: Revision(0),
            in_step: false,
            holder: None,
            last_kind: None,
            absent_since: BootInstant::default(),
            gone: BTreeSet::new(),
            verdict: None,
            not_before: Revision(0),
            no_campaign_until: BootInstant::default(),
            deposing_foreign: None,
            pledged: None,
            hinted: None,
            barred: BTreeMap::new(),
            taking_over: None,
            forwarding: None,
            campaigns: 0,
            note_at: None,
            rounds_waited: 0,
            stepped_at: BootInstant::default(),
        };
        (life, vec![Action::Register])
    }

    /// What the rest of the process may know.
    pub fn standing(&self) -> Standing {
        let standby = || match &self.forwarding {
            Some((to, epoch, _)) => Standing::Forwarding { to: to.clone(), epoch: *epoch },
            None => Standing::Standby {
                active: self
                    .holder
                    .as_ref()
                    .filter(|holder| holder.victim.server_id != self.settings.own)
                    .map(|holder| {
                        let peer =
                            Peer { server_id: holder.victim.server_id, address: holder.address.clone() };
                        (peer, holder.victim.epoch)
                    }),
            },
        };
        match &self.phase {
            Phase::Registering | Phase::Standby | Phase::Departing | Phase::Campaigning(_) => standby(),
            Phase::CatchingUp(won) | Phase::Activating(won) => Standing::Activating { epoch: won.epoch },
            Phase::Active(epoch) if self.suspended => Standing::Suspended { epoch: *epoch },
            Phase::Active(epoch) => Standing::Active { epoch: *epoch },
            Phase::Draining(epoch, ..) | Phase::Passing(epoch, ..) => Standing::HandingOver { epoch: *epoch },
            Phase::Closing(_) => standby(),
            Phase::Leaving(_) | Phase::Ended => Standing::Leaving,
        }
    }

    /// Whether this instance would take over if asked: registered, free, and staying.
    pub fn is_standby(&self) -> bool {
        self.phase == Phase::Standby
    }

    /// Whether the process is on its way out.
    pub fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Departing | Phase::Leaving(_) | Phase::Ended)
    }

    /// When a [`Event::Tick`] is wanted next.
    pub fn wake_at(&self) -> Option<BootInstant> {
        let phase = match &self.phase {
            Phase::Standby if self.holder.is_none() || self.verdict.is_some() => {
                Some(self.no_campaign_until.max(self.absent_since + NOT_IN_STEP_DELAY))
            }
            Phase::CatchingUp(won) if !won.read_forced => Some(won.since + CATCH_UP_PATIENCE),
            Phase::CatchingUp(won) | Phase::Activating(won) => Some(won.since + ACTIVATION_DEADLINE),
            _ => None,
        };
        let forwarding = self.forwarding.as_ref().map(|(_, _, until)| *until);
        let taking_over = self.taking_over.as_ref().map(|(_, until)| *until);
        // What was due at the last step has been looked at; only an event can change it now.
        let due = |at: &BootInstant| *at > self.stepped_at;
        [phase, forwarding, taking_over, self.note_at].into_iter().flatten().filter(due).min()
    }

    /// Takes one event that happened at `now`; returns what to do, in order.
    pub fn step(&mut self, now: BootInstant, event: Event) -> Vec<Action> {
        self.stepped_at = now;
        let mut actions = match event {
            Event::Registered(lease, until) => self.registered(now, lease, until),
            Event::LeaseUntil(lease, until) => self.lease_until(lease, until),
            Event::LeaseGone(lease) => self.lease_gone(lease),
            Event::Mirrored { at, holder, in_step } => self.mirrored(now, at, holder, in_step),
            Event::PeerRegistered(peer, at) => self.peer_registered(now, &peer, at),
            Event::ProcessGone(server_id) => {
                self.gone.insert(server_id);
                if self.gone.len() > REMEMBERED_GONE {
                    self.gone.pop_first();
                }
                vec![]
            }
            Event::Hint(victim) => self.hint(now, victim),
            Event::PledgeAsked { epoch, until, nonce } => self.pledge_asked(epoch, until, nonce),
            Event::ForeignDeposed(victim, done) => {
                if !done && self.deposing_foreign == Some(victim) {
                    self.deposing_foreign = None;
                    self.no_campaign_until = now + FOREIGN_RETRY_DELAY;
                }
                vec![]
            }
            Event::Campaigned(number, end) => self.campaigned(now, number, end),
            Event::Activated(result) => self.activated(now, &result),
            Event::Deposed(epoch) => self.lost(epoch, Loss::Deposed),
            Event::ForeignWrite(epoch) => self.lost(epoch, Loss::ForeignWrite),
            Event::Suspended(suspended) => {
                self.suspended = suspended;
                vec![]
            }
            Event::Leave(cause, successors) => self.leave(cause, successors),
            Event::Drained(last_revision) => self.drained(last_revision),
            Event::Passed(result) => self.passed(now, result),
            Event::TakeOver { victim, last_revision } => self.take_over(now, victim, last_revision),
            Event::TermEnded => self.term_ended(),
            Event::Revoked => self.revoked(),
            Event::Tick => vec![],
        };
        actions.extend(self.timers(now));
        actions.extend(self.consider(now));
        actions
    }

    fn registered(&mut self, now: BootInstant, lease: LeaseId, until: BootInstant) -> Vec<Action> {
        self.lease = Some((lease, until));
        self.lease_used = false;
        if self.phase == Phase::Registering {
            self.phase = Phase::Standby;
            self.note_at = Some(now);
        }
        vec![]
    }

    fn lease_until(&mut self, lease: LeaseId, until: BootInstant) -> Vec<Action> {
        if let Some(own) = self.lease.as_mut().filter(|(id, _)| *id == lease) {
            own.1 = until;
        }
        vec![]
    }

    fn lease_gone(&mut self, lease: LeaseId) -> Vec<Action> {
        if self.lease.is_none_or(|(id, _)| id != lease) {
            return vec![];
        }
        match &self.phase {
            Phase::Standby => self.register_anew(),
            Phase::CatchingUp(won) | Phase::Activating(won) => self.lost(won.epoch, Loss::LeaseGone),
            Phase::Active(epoch) | Phase::Draining(epoch, ..) => self.lost(*epoch, Loss::LeaseGone),
            // A campaign learns it by its own answer; the others are ending their lease anyway.
            _ => vec![],
        }
    }

    fn register_anew(&mut self) -> Vec<Action> {
        self.phase = Phase::Registering;
        self.note_at = None;
        vec![Action::Register]
    }

    fn own_term(&self) -> Option<Epoch> {
        match &self.phase {
            Phase::CatchingUp(won) | Phase::Activating(won) => Some(won.epoch),
            Phase::Active(epoch) | Phase::Draining(epoch, ..) => Some(*epoch),
            _ => None,
        }
    }

    fn mirrored(
        &mut self,
        now: BootInstant,
        at: Revision,
        holder: Option<Holder>,
        in_step: bool,
    ) -> Vec<Action> {
        self.mirrored = at;
        self.in_step = in_step;
        if holder.is_none() && self.holder.is_some() {
            self.absent_since = now;
        }
        if let Some(holder) = &holder {
            self.last_kind = Some(holder.kind);
        }
        if self.verdict.is_some_and(|(victim, certainty)| {
            certainty != Certainty::HandedOver && holder.as_ref().is_none_or(|holder| holder.victim != victim)
        }) {
            self.verdict = None;
        }
        self.holder = holder;

        let Some(epoch) = self.own_term() else { return vec![] };
        if at < epoch.revision() {
            return vec![];
        }
        let ours = Victim { epoch, server_id: self.settings.own };
        if self.holder.as_ref().is_none_or(|holder| holder.victim != ours) {
            return self.lost(epoch, Loss::Deposed);
        }
        if let Phase::CatchingUp(won) = &self.phase {
            let won = won.clone();
            let quiet_at = won.quiet_at;
            self.phase = Phase::Activating(won);
            return vec![Action::Activate { epoch, quiet_at }];
        }
        vec![]
    }

    /// A victim of a hint that registers again was alive: its network lies.
    fn peer_registered(&mut self, now: BootInstant, peer: &Peer, at: Revision) -> Vec<Action> {
        let Some((victim, address, epoch)) = &self.hinted else { return vec![] };
        if at > epoch.revision() && (victim.server_id == peer.server_id || *address == peer.address) {
            let bar = self.barred.get(&peer.address).map_or(HINT_BAR, |(_, last)| *last * 2);
            self.barred.insert(peer.address.clone(), (now + bar, bar));
            self.hinted = None;
        }
        vec![]
    }

    fn hint(&mut self, now: BootInstant, victim: Victim) -> Vec<Action> {
        let Some(holder) = &self.holder else { return vec![] };
        let wrong_victim = holder.victim != victim && self.settings.rules.hold(Rule::VictimCompare);
        let barred = self.barred.get(&holder.address).is_some_and(|(until, _)| now < *until);
        let pledged = self.pledged.is_some_and(|(epoch, until)| epoch == victim.epoch && now < until);
        if self.settings.fast_takeover && !wrong_victim && !barred && !pledged && self.verdict.is_none() {
            self.verdict = Some((holder.victim, Certainty::Hint));
        }
        vec![]
    }

    fn pledge_asked(&mut self, epoch: Epoch, until: BootInstant, nonce: u64) -> Vec<Action> {
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
        self.pledged = Some((epoch, until));
        vec![Action::Pledge { epoch, nonce }]
    }

    /// In standby: whether to campaign now, and against what.
    fn consider(&mut self, now: BootInstant) -> Vec<Action> {
        if self.phase != Phase::Standby || now < self.no_campaign_until || self.mirrored < self.not_before {
            return vec![];
        }
        if self.mirrored == Revision(0) {
            return vec![];
        }
        let (against, certainty) = match &self.holder {
            None if self.in_step || now >= self.absent_since + NOT_IN_STEP_DELAY => {
                (None, Certainty::Silence)
            }
            None => return vec![],
            Some(holder) => {
                let certainty = match self.verdict {
                    Some((victim, certainty)) if victim == holder.victim => certainty,
                    _ if self.gone.contains(&holder.victim.server_id) => Certainty::Certain,
                    _ => return vec![],
                };
                if holder.kind == Kind::Foreign {
                    let (victim, lease) = (holder.victim, holder.lease);
                    if self.deposing_foreign == Some(victim) || lease == LeaseId(0) {
                        return vec![];
                    }
                    self.deposing_foreign = Some(victim);
                    return vec![Action::DeposeForeign(victim, lease)];
                }
                (Some(holder.clone()), certainty)
            }
        };
        let Some((lease, until)) = self.lease else { return self.register_anew() };
        let spent = self.lease_used && self.settings.rules.hold(Rule::FreshLease);
        if spent || until.since(now) * 2 <= self.settings.lease_ttl {
            return self.register_anew();
        }
        self.campaigns += 1;
        let after_foreign = self.last_kind == Some(Kind::Foreign);
        let campaign = Campaign { number: self.campaigns, against, after_foreign, certainty, lease };
        self.phase = Phase::Campaigning(campaign.clone());
        self.note_at = None;
        vec![Action::Campaign(campaign)]
    }

    fn campaigned(&mut self, now: BootInstant, number: u64, end: CampaignEnd) -> Vec<Action> {
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

    fn back_to_standby(&mut self, now: BootInstant) {
        self.phase = Phase::Standby;
        self.note_at = Some(now + STANDBY_NOTE_EVERY);
    }

    fn won(&mut self, now: BootInstant, campaign: Campaign, epoch: Epoch) -> Vec<Action> {
        self.lease_used = true;
        self.verdict = None;
        self.deposing_foreign = None;
        self.forwarding = None;
        self.suspended = false;
        let mut quiet = campaign.certainty.quiet_after(self.settings.proof_window);
        if campaign.after_foreign {
            quiet = quiet.max(self.settings.foreign_wait);
        }
        if !self.settings.rules.hold(Rule::QuietPoint) {
            quiet = Duration::ZERO;
        }
        let mut actions = vec![];
        if let Some(replaced) = campaign.against {
            // Taken from the key whose mod revision the transaction compared.
            if replaced.lease != LeaseId(0) && replaced.lease != campaign.lease {
                actions.push(Action::RevokeVictim(replaced.victim, replaced.lease));
            }
            if campaign.certainty == Certainty::Hint {
                self.hinted = Some((replaced.victim, replaced.address, epoch));
            }
        }
        self.phase = Phase::CatchingUp(Won { epoch, since: now, quiet_at: now + quiet, read_forced: false });
        // The own put may have come through the watch before the answer did.
        if self.mirrored >= epoch.revision() {
            actions.extend(self.mirrored(now, self.mirrored, self.holder.clone(), self.in_step));
        }
        actions
    }

    fn activated(&mut self, now: BootInstant, result: &Result<(), String>) -> Vec<Action> {
        let Phase::Activating(won) = &self.phase else { return vec![] };
        let epoch = won.epoch;
        match result {
            Ok(()) => {
                self.phase = Phase::Active(epoch);
                let mut actions = vec![Action::NoteActive(epoch)];
                if self.taking_over.take().is_some() {
                    actions.push(Action::AnswerTakeOver(Ok(epoch)));
                }
                actions
            }
            Err(_) => {
                self.no_campaign_until = now + COOL_OFF;
                self.lost(epoch, Loss::ActivationFailed)
            }
        }
    }

    fn lost(&mut self, epoch: Epoch, loss: Loss) -> Vec<Action> {
        if self.own_term() != Some(epoch) {
            return vec![];
        }
        self.phase = Phase::Closing(loss);
        let mut actions = vec![Action::EndTerm(epoch, loss)];
        actions.extend(self.fail_take_over("lost the term again"));
        actions
    }

    fn leave(&mut self, cause: LeaveCause, successors: Vec<Peer>) -> Vec<Action> {
        match (&self.phase, cause) {
            (Phase::Active(epoch), LeaveCause::Signal) => self.drain(*epoch, cause, successors),
            (Phase::Active(epoch), LeaveCause::Switchover) if !successors.is_empty() => {
                self.drain(*epoch, cause, successors)
            }
            (_, LeaveCause::Switchover) | (Phase::Leaving(_) | Phase::Ended | Phase::Departing, _) => vec![],
            (Phase::CatchingUp(won) | Phase::Activating(won), LeaveCause::Signal) => {
                let epoch = won.epoch;
                self.lost(epoch, Loss::Left(cause))
            }
            (Phase::Draining(epoch, _, peers), LeaveCause::Signal) => {
                self.phase = Phase::Draining(*epoch, cause, peers.clone());
                vec![]
            }
            (Phase::Passing(epoch, _, to), LeaveCause::Signal) => {
                self.phase = Phase::Passing(*epoch, cause, to.clone());
                vec![]
            }
            (Phase::Closing(_), LeaveCause::Signal) => {
                self.phase = Phase::Closing(Loss::Left(cause));
                vec![]
            }
            (Phase::Registering | Phase::Standby | Phase::Campaigning(_), LeaveCause::Signal) => {
                let mut actions = self.fail_take_over("leaving, too");
                actions.extend(self.give_back(Exit::Done));
                actions
            }
        }
    }

    fn drain(&mut self, epoch: Epoch, cause: LeaveCause, successors: Vec<Peer>) -> Vec<Action> {
        self.phase = Phase::Draining(epoch, cause, successors);
        vec![Action::Drain(epoch)]
    }

    /// Whatever a campaign in flight may bring, the revoked lease takes it along.
    fn give_back(&mut self, exit: Exit) -> Vec<Action> {
        self.phase = Phase::Leaving(exit);
        self.note_at = None;
        self.forwarding = None;
        vec![Action::RevokeOwn]
    }

    fn drained(&mut self, last_revision: Revision) -> Vec<Action> {
        let Phase::Draining(epoch, cause, successors) = &self.phase else { return vec![] };
        let (epoch, cause) = (*epoch, *cause);
        match successors.first().cloned() {
            Some(to) => {
                self.phase = Phase::Passing(epoch, cause, to.clone());
                vec![Action::Pass { to, epoch, last_revision }]
            }
            None => {
                self.phase = Phase::Closing(Loss::Left(cause));
                vec![Action::EndTerm(epoch, Loss::Left(cause))]
            }
        }
    }

    fn passed(&mut self, now: BootInstant, result: Result<Epoch, String>) -> Vec<Action> {
        let Phase::Passing(_, cause, to) = &self.phase else { return vec![] };
        let cause = *cause;
        if let Ok(epoch) = result {
            self.forwarding = Some((to.clone(), epoch, now + FORWARD_FOR));
        }
        match (cause, result) {
            (LeaveCause::Signal, Ok(_)) => {
                self.phase = Phase::Departing;
                vec![]
            }
            (LeaveCause::Signal, Err(_)) => self.give_back(Exit::Done),
            // After a failure the late transaction of the chosen one must not find the key as it
            // was: registering revokes the lease, the key goes, and all may campaign.
            (LeaveCause::Switchover, _) => self.register_anew(),
        }
    }

    fn take_over(&mut self, now: BootInstant, victim: Victim, last_revision: Revision) -> Vec<Action> {
        if !matches!(self.phase, Phase::Standby) || self.taking_over.is_some() {
            return vec![Action::AnswerTakeOver(Err("not a free standby".to_owned()))];
        }
        self.verdict = Some((victim, Certainty::HandedOver));
        self.not_before = self.not_before.max(last_revision).max(victim.epoch.revision());
        self.taking_over = Some((victim, now + HAND_OVER_PATIENCE));
        vec![]
    }

    fn fail_take_over(&mut self, why: &str) -> Vec<Action> {
        match self.taking_over.take() {
            Some(_) => vec![Action::AnswerTakeOver(Err(why.to_owned()))],
            None => vec![],
        }
    }

    fn term_ended(&mut self) -> Vec<Action> {
        let Phase::Closing(loss) = self.phase else { return vec![] };
        match loss {
            Loss::Left(LeaveCause::Signal) => self.give_back(Exit::Done),
            Loss::Deposed | Loss::LeaseGone | Loss::ForeignWrite if self.settings.exit_on_loss => {
                self.give_back(Exit::TermLost)
            }
            _ => self.register_anew(),
        }
    }

    fn revoked(&mut self) -> Vec<Action> {
        let Phase::Leaving(exit) = self.phase else { return vec![] };
        self.phase = Phase::Ended;
        vec![Action::Exit(exit)]
    }

    fn timers(&mut self, now: BootInstant) -> Vec<Action> {
        let mut actions = vec![];
        if self.forwarding.as_ref().is_some_and(|(_, _, until)| now >= *until) {
            self.forwarding = None;
            if self.phase == Phase::Departing {
                actions.extend(self.give_back(Exit::Done));
            }
        }
        if let Some((victim, until)) = self.taking_over
            && now >= until
            && self.phase == Phase::Standby
        {
            if self.verdict == Some((victim, Certainty::HandedOver)) {
                self.verdict = None;
            }
            actions.extend(self.fail_take_over("the mirror does not reach the leaving term in time"));
        }
        if let Phase::CatchingUp(won) = &mut self.phase
            && !won.read_forced
            && now >= won.since + CATCH_UP_PATIENCE
        {
            won.read_forced = true;
            actions.push(Action::CatchUp(won.epoch.revision()));
        }
        if let Phase::CatchingUp(won) | Phase::Activating(won) = &self.phase
            && now >= won.since + ACTIVATION_DEADLINE
        {
            let epoch = won.epoch;
            self.no_campaign_until = now + COOL_OFF;
            actions.extend(self.lost(epoch, Loss::ActivationFailed));
        }
        actions.extend(self.standby_note(now));
        actions
    }

    fn standby_note(&mut self, now: BootInstant) -> Vec<Action> {
        if self.phase != Phase::Standby || self.note_at.is_none_or(|at| now < at) {
            return vec![];
        }
        self.note_at = Some(now + STANDBY_NOTE_EVERY);
        if let Some(rounds) = self.settings.rounds.filter(|_| self.holder.is_some()) {
            if self.rounds_waited >= rounds {
                return self.give_back(Exit::KeyHeld);
            }
            self.rounds_waited += 1;
        }
        vec![Action::NoteStandby]
    }
}
