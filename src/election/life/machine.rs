//! The states and what leads from one to another.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Action, Campaign, Compared, Event, Exit, Holder, LeaveCause, LifeSettings, Loss,
    pause::Paused,
    preference::{Failback, HeadStart},
};
use crate::{
    clock::BootInstant,
    election::{
        session::Kind,
        standing::{Peer, Standing},
        verdict::{Certainty, Victim},
    },
    ids::{Epoch, LeaseId, Revision, ServerId},
};

/// An instance whose mirror is not in step lets the others go first, for so long.
pub(super) const NOT_IN_STEP_DELAY: Duration = Duration::from_millis(50);
/// The own put should come back through the watch within this, or it is read.
const CATCH_UP_PATIENCE: Duration = Duration::from_millis(100);
/// Won but not serving after so long: the key is given away.
const ACTIVATION_DEADLINE: Duration = Duration::from_secs(5);
/// No candidacy for so long after an activation that failed.
const COOL_OFF: Duration = Duration::from_secs(10);
/// Between two attempts to revoke a foreign holder's lease.
const FOREIGN_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Between two STANDBY lines, as in Milvus; also one round of waiting for an exclusive key.
pub(super) const STANDBY_NOTE_EVERY: Duration = Duration::from_secs(10);
/// Ids are never used again, and rise; the newest matter.
const REMEMBERED_GONE: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Won {
    pub(super) epoch: Epoch,
    pub(super) since: BootInstant,
    pub(super) quiet_at: BootInstant,
    pub(super) read_forced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
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
    pub(super) settings: LifeSettings,
    pub(super) phase: Phase,
    pub(super) lease: Option<(LeaseId, BootInstant)>,
    /// Whether the lease may have been put under the ACTIVE key.
    pub(super) lease_used: bool,
    /// Whether this instance has, or had since its last registration, no session in etcd.
    pub(super) unlisted: bool,
    pub(super) suspended: bool,
    pub(super) mirrored: Revision,
    pub(super) in_step: bool,
    pub(super) holder: Option<Holder>,
    /// The holder, or else the last one there was.
    pub(super) last_holder: Option<Holder>,
    pub(super) absent_since: BootInstant,
    pub(super) gone: BTreeSet<ServerId>,
    pub(super) verdict: Option<(Victim, Certainty)>,
    /// No campaign before the mirror has this.
    pub(super) not_before: Revision,
    pub(super) no_campaign_until: BootInstant,
    pub(super) deposing_foreign: Option<Victim>,
    /// Which terms may not be deposed by a hint, and until when.
    pub(super) pledged: BTreeMap<Epoch, BootInstant>,
    pub(super) hinted: Option<(Victim, Epoch)>,
    pub(super) barred: BTreeMap<String, (BootInstant, Duration)>,
    /// A hand-over that was asked of this instance and not answered yet.
    pub(super) taking_over: Option<(Victim, BootInstant)>,
    pub(super) forwarding: Option<(Peer, Epoch, BootInstant)>,
    pub(super) paused: Paused,
    pub(super) compared: Compared,
    pub(super) head_start: Option<HeadStart>,
    pub(super) failback: Failback,
    pub(super) campaigns: u64,
    pub(super) note_at: Option<BootInstant>,
    pub(super) rounds_waited: u32,
    pub(super) stepped_at: BootInstant,
}

impl Life {
    /// A life that begins, and what to do first.
    pub fn begin(settings: LifeSettings) -> (Self, Vec<Action>) {
        let life = Self {
            settings,
            phase: Phase::Registering,
            lease: None,
            lease_used: false,
            unlisted: true,
            suspended: false,
            mirrored: Revision(0),
            in_step: false,
            holder: None,
            last_holder: None,
            absent_since: BootInstant::default(),
            gone: BTreeSet::new(),
            verdict: None,
            not_before: Revision(0),
            no_campaign_until: BootInstant::default(),
            deposing_foreign: None,
            pledged: BTreeMap::new(),
            hinted: None,
            barred: BTreeMap::new(),
            taking_over: None,
            forwarding: None,
            paused: Paused::default(),
            compared: Compared::default(),
            head_start: None,
            failback: Failback::default(),
            campaigns: 0,
            note_at: None,
            rounds_waited: 0,
            stepped_at: BootInstant::default(),
        };
        (life, vec![Action::Register { staying_listed: false }])
    }

    /// What the rest of the process may know.
    pub fn standing(&self) -> Standing {
        let other = || {
            let other = self.holder.as_ref().filter(|holder| holder.victim.server_id != self.settings.own);
            other.map(|holder| {
                let peer = Peer { server_id: holder.victim.server_id, address: holder.address.clone() };
                (peer, holder.victim.epoch)
            })
        };
        let standby = || match &self.forwarding {
            Some((to, epoch, _)) => Standing::Forwarding { to: to.clone(), epoch: *epoch },
            None => Standing::Standby { active: other() },
        };
        match &self.phase {
            Phase::Registering | Phase::Standby | Phase::Departing | Phase::Campaigning(_) => standby(),
            Phase::CatchingUp(won) | Phase::Activating(won) => Standing::Activating { epoch: won.epoch },
            Phase::Active(epoch) if self.suspended => Standing::Suspended { epoch: *epoch },
            Phase::Active(epoch) => Standing::Active { epoch: *epoch },
            Phase::Draining(epoch, ..) | Phase::Passing(epoch, ..) => Standing::HandingOver { epoch: *epoch },
            Phase::Closing(_) => standby(),
            Phase::Leaving(_) | Phase::Ended => Standing::Leaving { active: other() },
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
        let held = self.hint_held_until();
        let [failback, head_start] = self.preference_wakes();
        let pause = self.pause_ends();
        // What was due at the last step has been looked at; only an event can change it now.
        let due = |at: &BootInstant| *at > self.stepped_at;
        let wakes = [phase, forwarding, taking_over, held, pause, failback, head_start, self.note_at];
        wakes.into_iter().flatten().filter(due).min()
    }

    /// Takes one event that happened at `now`; returns what to do, in order.
    pub fn step(&mut self, now: BootInstant, event: Event) -> Vec<Action> {
        self.stepped_at = now;
        let mut actions = match event {
            Event::Registered(lease, until) => self.registered(now, lease, until),
            Event::LeaseUntil(lease, until) => self.lease_until(lease, until),
            Event::LeaseGone(lease) => self.lease_gone(lease),
            Event::SessionGone => self.session_gone(),
            Event::EtcdReplaced => self.etcd_replaced(),
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
            Event::Spoke(peer) => self.spoke(peer),
            Event::Departs(victim) => self.departs(victim),
            Event::Paused(until) => self.paused(until),
            Event::Compared(compared) => self.compared(compared),
            Event::AskedForRole(_) => self.asked_for_role(),
            Event::PledgeAsked { epoch, until, nonce } => self.pledge_asked(now, epoch, until, nonce),
            Event::Bound { epoch, until } => self.bound(now, epoch, until),
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
            Event::TermEnded => self.term_ended(now),
            Event::Revoked => self.revoked(),
            Event::Tick => vec![],
        };
        actions.extend(self.timers(now));
        actions.extend(self.consider(now));
        actions.extend(self.fail_back(now));
        actions
    }

    pub(super) fn registered(&mut self, now: BootInstant, lease: LeaseId, until: BootInstant) -> Vec<Action> {
        self.lease = Some((lease, until));
        self.lease_used = false;
        self.unlisted = !self.settings.listed;
        if self.phase == Phase::Registering {
            self.phase = Phase::Standby;
            self.note_at = Some(now);
        }
        vec![]
    }

    pub(super) fn lease_until(&mut self, lease: LeaseId, until: BootInstant) -> Vec<Action> {
        if let Some(own) = self.lease.as_mut().filter(|(id, _)| *id == lease) {
            own.1 = until;
        }
        vec![]
    }

    pub(super) fn lease_gone(&mut self, lease: LeaseId) -> Vec<Action> {
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

    /// Without its session a standby is nobody's successor, whatever its lease says.
    fn session_gone(&mut self) -> Vec<Action> {
        self.be_unlisted();
        if self.phase == Phase::Standby { self.register_anew() } else { vec![] }
    }

    /// Starts over as standby. Revisions count anew, so none is compared with an old one.
    fn etcd_replaced(&mut self) -> Vec<Action> {
        self.mirrored = Revision(0);
        self.not_before = Revision(0);
        self.holder = None;
        self.verdict = None;
        self.hinted = None;
        match self.own_term() {
            Some(epoch) => self.lost(epoch, Loss::EtcdReplaced),
            None if self.phase == Phase::Standby => self.register_anew(),
            None => vec![],
        }
    }

    /// Between two registrations this instance is not listed.
    pub(super) fn register_anew(&mut self) -> Vec<Action> {
        self.be_unlisted();
        self.register(false)
    }

    fn be_unlisted(&mut self) {
        self.unlisted = true;
        let hint = self.verdict.is_some_and(|(_, certainty)| certainty == Certainty::Hint);
        if hint && !self.hints_count() {
            self.verdict = None;
        }
    }

    /// A registration that follows the last one without a gap, unless the driver finds one.
    pub(super) fn renew_registration(&mut self) -> Vec<Action> {
        self.register(true)
    }

    /// A holder of our kind forgets that it told its term to one whose stream has broken and
    /// that is not listed, and then asks it for no pledge: such a one may not use what it was told.
    pub(super) fn hints_count(&self) -> bool {
        !self.unlisted || self.holder.as_ref().is_none_or(|holder| holder.kind == Kind::Foreign)
    }

    fn register(&mut self, staying_listed: bool) -> Vec<Action> {
        self.phase = Phase::Registering;
        self.note_at = None;
        vec![Action::Register { staying_listed }]
    }

    pub(super) fn own_term(&self) -> Option<Epoch> {
        match &self.phase {
            Phase::CatchingUp(won) | Phase::Activating(won) => Some(won.epoch),
            Phase::Active(epoch) | Phase::Draining(epoch, ..) => Some(*epoch),
            _ => None,
        }
    }

    pub(super) fn mirrored(
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
        if holder.is_some() {
            self.last_holder.clone_from(&holder);
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

    pub(super) fn activated(&mut self, now: BootInstant, result: &Result<(), String>) -> Vec<Action> {
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

    pub(super) fn lost(&mut self, epoch: Epoch, loss: Loss) -> Vec<Action> {
        if self.own_term() != Some(epoch) {
            return vec![];
        }
        self.phase = Phase::Closing(loss);
        let mut actions = vec![Action::EndTerm(epoch, loss)];
        actions.extend(self.fail_take_over("lost the term again"));
        actions
    }

    pub(super) fn timers(&mut self, now: BootInstant) -> Vec<Action> {
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

    pub(super) fn standby_note(&mut self, now: BootInstant) -> Vec<Action> {
        if self.phase != Phase::Standby || self.note_at.is_none_or(|at| now < at) {
            return vec![];
        }
        self.note_at = Some(now + STANDBY_NOTE_EVERY);
        if let Some(rounds) = self.settings.rounds {
            if self.rounds_waited >= rounds && self.holder.is_some() {
                return self.give_back(Exit::KeyHeld);
            }
            self.rounds_waited += 1;
        }
        vec![Action::NoteStandby]
    }
}
