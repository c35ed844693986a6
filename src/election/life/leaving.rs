//! The ways out: handing over, giving back, ending.

use std::time::Duration;

use super::{
    Action, Exit, LeaveCause, Loss,
    machine::{Life, Phase},
};
use crate::{
    clock::BootInstant,
    election::{rules::Rule, standing::Peer},
    ids::{Epoch, Revision},
};

/// How long calls go to the successor after leaving on purpose.
const FORWARD_FOR: Duration = Duration::from_secs(2);

impl Life {
    pub(super) fn leave(&mut self, cause: LeaveCause, successors: Vec<Peer>) -> Vec<Action> {
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

    pub(super) fn drain(&mut self, epoch: Epoch, cause: LeaveCause, successors: Vec<Peer>) -> Vec<Action> {
        self.phase = Phase::Draining(epoch, cause, successors);
        vec![Action::Drain(epoch)]
    }

    /// Whatever a campaign in flight may bring, the revoked lease takes it along.
    pub(super) fn give_back(&mut self, exit: Exit) -> Vec<Action> {
        self.phase = Phase::Leaving(exit);
        self.note_at = None;
        self.forwarding = None;
        vec![Action::RevokeOwn]
    }

    pub(super) fn drained(&mut self, last_revision: Revision) -> Vec<Action> {
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

    pub(super) fn passed(&mut self, now: BootInstant, result: Result<Epoch, String>) -> Vec<Action> {
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

    pub(super) fn term_ended(&mut self, now: BootInstant) -> Vec<Action> {
        let Phase::Closing(loss) = self.phase else { return vec![] };
        match loss {
            Loss::Left(LeaveCause::Signal) => self.give_back(Exit::Done),
            Loss::Deposed | Loss::LeaseGone | Loss::ForeignWrite | Loss::EtcdReplaced
                if self.settings.exit_on_loss =>
            {
                self.give_back(Exit::TermLost)
            }
            Loss::Deposed if !self.settings.rules.hold(Rule::FreshLease) => {
                self.back_to_standby(now);
                vec![]
            }
            _ => self.register_anew(),
        }
    }

    pub(super) fn revoked(&mut self) -> Vec<Action> {
        let Phase::Leaving(exit) = self.phase else { return vec![] };
        self.phase = Phase::Ended;
        vec![Action::Exit(exit)]
    }
}
