//! Which change of state is one that a hook is due for.
//!
//! ```text
//!             standby                 active
//!   (start) ──────────▶ onStandby ◀──────────▶ onActive
//!                        ▲     │   handed over     │
//!                        │     └──────▶ onFault ◀──┘ term or lease lost
//!                        └──────────────────┘
//!   from anywhere, once no term is left: ──▶ onStop
//! ```
//!
//! The same state twice is one change, except for a new term. A term that only waits for
//! etcd changes nothing: nobody else serves. No clock and no I/O in this file.

use crate::{
    election::{
        life::{Exit, Holder, LeaveCause, Loss},
        notes::Note,
        standing::Standing,
        verdict::Certainty,
    },
    ids::{Epoch, ServerId},
    telemetry::words::{Hook, TakeoverCause, TermEnd},
};

/// A change of state that a hook is due for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The hook.
    pub hook: Hook,
    /// Why, in a word.
    pub reason: &'static str,
    /// The own id; 0 before etcd has given one.
    pub own: ServerId,
    /// The term that began or ended by it.
    pub epoch: Option<Epoch>,
}

/// Finds the moments in the notes of a life.
#[derive(Debug)]
pub struct Moments {
    own: ServerId,
    last: Option<(Hook, Option<Epoch>)>,
    in_term: bool,
    leaving: bool,
    /// Somebody else was seen to hold the key since the own last term.
    others: bool,
    cause: TakeoverCause,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            own: ServerId(0),
            last: None,
            in_term: false,
            leaving: false,
            others: false,
            cause: TakeoverCause::Vacant,
        }
    }
}

impl Moments {
    /// The moment that this note is, if it is one.
    pub fn note(&mut self, note: &Note) -> Option<Moment> {
        match note {
            Note::Begun(own) => {
                self.own = *own;
                None
            }
            Note::Standby(holder, _) => {
                self.see(holder.as_ref());
                self.enter(Hook::OnStandby, "registered", None)
            }
            Note::HolderChanged { holder, .. } => {
                self.see(holder.as_ref());
                None
            }
            Note::Campaign(against, certainty) => {
                self.others |= against.is_some();
                self.cause = match certainty {
                    Certainty::HandedOver => TakeoverCause::Handover,
                    Certainty::Certain => TakeoverCause::Certain,
                    Certainty::Hint => TakeoverCause::Hint,
                    Certainty::Silence if self.others => TakeoverCause::Silence,
                    Certainty::Silence => TakeoverCause::Vacant,
                };
                None
            }
            Note::Stands(standing) => {
                self.in_term = standing.own_epoch().is_some();
                let Standing::Active { epoch } = standing else { return None };
                self.others = false;
                self.enter(Hook::OnActive, self.cause.name(), Some(*epoch))
            }
            Note::LeaseGone(_) if !self.in_term => self.enter(Hook::OnFault, TermEnd::LeaseLost.name(), None),
            Note::TermEnded(epoch, loss) => self.term_ended(*epoch, *loss),
            Note::HandedOver(result) => {
                self.in_term = false;
                let epoch = self.last.and_then(|(_, epoch)| epoch);
                match result {
                    Ok(_) if self.leaving => self.enter(Hook::OnStop, TermEnd::HandedOver.name(), epoch),
                    Ok(_) => self.enter(Hook::OnStandby, TermEnd::HandedOver.name(), epoch),
                    Err(_) if self.leaving => self.enter(Hook::OnStop, "hand_over_failed", epoch),
                    Err(_) => self.enter(Hook::OnFault, "hand_over_failed", epoch),
                }
            }
            Note::Leaving(_) => {
                self.leaving = true;
                if self.in_term { None } else { self.enter(Hook::OnStop, TermEnd::Stopped.name(), None) }
            }
            Note::Ended(exit) => self.ended(*exit),
            Note::EtcdAwaited(..)
            | Note::EtcdAnswers
            | Note::Registered { .. }
            | Note::ProcessGone(_)
            | Note::Hint(_)
            | Note::Paused(_)
            | Note::Held(_)
            | Note::AsksForRole(_)
            | Note::AskedForRole(_)
            | Note::RoleWanted(_)
            | Note::Deposing(_)
            | Note::CampaignLost
            | Note::Won(_)
            | Note::CaughtUp(_)
            | Note::Serving(_)
            | Note::ActivationFailed(..)
            | Note::Suspended(_)
            | Note::LeaseGone(_) => None,
        }
    }

    /// The process ends, whatever was told so far; the last moment, if it has not been yet.
    pub fn ended(&mut self, exit: Exit) -> Option<Moment> {
        let reason = match exit {
            Exit::Done => TermEnd::Stopped.name(),
            Exit::KeyHeld => "key_held",
            Exit::TermLost => "term_lost",
        };
        self.enter(Hook::OnStop, reason, None)
    }

    fn see(&mut self, holder: Option<&Holder>) {
        self.others |= holder.is_some_and(|holder| holder.victim.server_id != self.own);
    }

    fn term_ended(&mut self, epoch: Epoch, loss: Loss) -> Option<Moment> {
        self.in_term = false;
        let end = match loss {
            Loss::Deposed => TermEnd::Deposed,
            Loss::LeaseGone => TermEnd::LeaseLost,
            Loss::ActivationFailed => TermEnd::ActivationFailed,
            Loss::ForeignWrite => TermEnd::ForeignWrite,
            Loss::EtcdReplaced => TermEnd::EtcdReplaced,
            Loss::Left(LeaveCause::Signal) => TermEnd::Stopped,
            Loss::Left(LeaveCause::Switchover) => TermEnd::HandedOver,
        };
        let hook = match end {
            TermEnd::Stopped => Hook::OnStop,
            _ if self.leaving => Hook::OnStop,
            TermEnd::HandedOver => Hook::OnStandby,
            TermEnd::Deposed
            | TermEnd::KeyDeleted
            | TermEnd::LeaseLost
            | TermEnd::ForeignWrite
            | TermEnd::ActivationFailed
            | TermEnd::EtcdReplaced => Hook::OnFault,
        };
        self.enter(hook, end.name(), Some(epoch))
    }

    fn enter(&mut self, hook: Hook, reason: &'static str, epoch: Option<Epoch>) -> Option<Moment> {
        let known = match self.last {
            Some((Hook::OnStop, _)) => true,
            Some(last) if hook == Hook::OnActive => last == (hook, epoch),
            Some((last, _)) => last == hook,
            None => false,
        };
        if known {
            return None;
        }
        self.last = Some((hook, epoch));
        Some(Moment { hook, reason, own: self.own, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        election::{session::Kind, verdict::Victim},
        ids::{LeaseId, Revision},
    };

    const OWN: ServerId = ServerId(4);
    const TERM: Epoch = Epoch(70);

    fn holder() -> Holder {
        let victim = Victim { epoch: Epoch(60), server_id: ServerId(3) };
        Holder { victim, kind: Kind::Own, lease: LeaseId(9), address: "a:1".into() }
    }

    fn standby() -> Note {
        Note::Standby(Some(holder()), Revision(65))
    }

    fn campaign(certainty: Certainty) -> Note {
        Note::Campaign(Some(holder().victim), certainty)
    }

    fn active() -> [Note; 2] {
        [Note::Stands(Standing::Activating { epoch: TERM }), Note::Stands(Standing::Active { epoch: TERM })]
    }

    fn stands_by() -> Note {
        Note::Stands(Standing::Standby { active: None })
    }

    /// A standby that has taken over, and then this.
    fn serving_then(more: impl IntoIterator<Item = Note>) -> Vec<Note> {
        [Note::Begun(OWN), standby(), campaign(Certainty::Hint)]
            .into_iter()
            .chain(active())
            .chain(more)
            .collect()
    }

    #[track_caller]
    fn check(notes: &[Note], expected: &[(Hook, &str, Option<Epoch>)]) {
        let mut moments = Moments::default();
        let found: Vec<_> = notes.iter().filter_map(|note| moments.note(note)).collect();
        assert!(found.iter().all(|moment| moment.own == OWN), "{found:?}");
        let found: Vec<_> = found.iter().map(|moment| (moment.hook, moment.reason, moment.epoch)).collect();
        assert_eq!(found, expected);
    }

    /// What follows once it is ACTIVE by a hint.
    #[track_caller]
    fn check_serving(more: impl IntoIterator<Item = Note>, expected: &[(Hook, &str, Option<Epoch>)]) {
        let before = [(Hook::OnStandby, "registered", None), (Hook::OnActive, "hint", Some(TERM))];
        check(&serving_then(more), &[&before, expected].concat());
    }

    #[test]
    fn standing_by_is_told_once_however_often_it_is_noted() {
        check(&[Note::Begun(OWN), standby(), standby()], &[(Hook::OnStandby, "registered", None)]);
    }

    #[test]
    fn a_takeover_says_what_it_was_caused_by() {
        let causes = [
            (Certainty::HandedOver, "handover"),
            (Certainty::Certain, "certain"),
            (Certainty::Hint, "hint"),
            (Certainty::Silence, "silence"),
        ];
        for (certainty, reason) in causes {
            let notes: Vec<_> = [Note::Begun(OWN), campaign(certainty)].into_iter().chain(active()).collect();
            check(&notes, &[(Hook::OnActive, reason, Some(TERM))]);
        }
        let first = Note::Campaign(None, Certainty::Silence);
        let notes: Vec<_> = [Note::Begun(OWN), first].into_iter().chain(active()).collect();
        check(&notes, &[(Hook::OnActive, "vacant", Some(TERM))]);
    }

    #[test]
    fn a_term_that_waits_for_etcd_and_goes_on_is_no_change() {
        let suspended = Note::Stands(Standing::Suspended { epoch: TERM });
        check_serving([suspended, active()[1].clone()], &[]);
    }

    #[test]
    fn a_lost_term_is_a_fault_until_it_stands_by_again() {
        let losses = [
            (Loss::Deposed, "deposed"),
            (Loss::LeaseGone, "lease_lost"),
            (Loss::ForeignWrite, "foreign_write"),
            (Loss::EtcdReplaced, "etcd_replaced"),
            (Loss::ActivationFailed, "activation_failed"),
        ];
        for (loss, reason) in losses {
            let notes = [Note::LeaseGone(LeaseId(1)), stands_by(), Note::TermEnded(TERM, loss), standby()];
            let expected = [(Hook::OnFault, reason, Some(TERM)), (Hook::OnStandby, "registered", None)];
            check_serving(notes, &expected);
        }
    }

    #[test]
    fn a_standby_without_a_lease_is_a_fault_too() {
        let notes = [Note::Begun(OWN), standby(), Note::LeaseGone(LeaseId(1)), standby()];
        let expected = [
            (Hook::OnStandby, "registered", None),
            (Hook::OnFault, "lease_lost", None),
            (Hook::OnStandby, "registered", None),
        ];
        check(&notes, &expected);
    }

    #[test]
    fn a_switchover_makes_a_standby_at_once() {
        let handing_over = Note::Stands(Standing::HandingOver { epoch: TERM });
        let notes = [handing_over.clone(), Note::HandedOver(Ok(Epoch(80))), stands_by(), standby()];
        check_serving(notes, &[(Hook::OnStandby, "handed_over", Some(TERM))]);
        let failed = [handing_over, Note::HandedOver(Err("gone".into())), stands_by(), standby()];
        let expected =
            [(Hook::OnFault, "hand_over_failed", Some(TERM)), (Hook::OnStandby, "registered", None)];
        check_serving(failed, &expected);
    }

    #[test]
    fn an_end_is_told_when_the_term_is_over_and_nothing_after_it() {
        let leaving = Note::Leaving(1);
        let handing_over = Note::Stands(Standing::HandingOver { epoch: TERM });
        let forwarding = Note::Stands(Standing::Leaving { active: None });
        let handed_over = [
            leaving.clone(),
            handing_over.clone(),
            Note::HandedOver(Ok(Epoch(80))),
            forwarding,
            Note::Ended(Exit::Done),
        ];
        check_serving(handed_over, &[(Hook::OnStop, "handed_over", Some(TERM))]);
        let alone = [leaving.clone(), handing_over, Note::TermEnded(TERM, Loss::Left(LeaveCause::Signal))];
        check_serving(alone, &[(Hook::OnStop, "stopped", Some(TERM))]);
        let notes = [Note::Begun(OWN), standby(), leaving, standby(), Note::Ended(Exit::Done)];
        check(&notes, &[(Hook::OnStandby, "registered", None), (Hook::OnStop, "stopped", None)]);
    }

    #[test]
    fn a_process_that_ends_by_itself_says_why() {
        let lost = [stands_by(), Note::TermEnded(TERM, Loss::Deposed), Note::Ended(Exit::TermLost)];
        check_serving(lost, &[(Hook::OnFault, "deposed", Some(TERM)), (Hook::OnStop, "term_lost", None)]);
    }
}
