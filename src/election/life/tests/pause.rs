//! What a pause of automatic takeover keeps from happening, and what not.

use super::*;

const PAUSED: Event = Event::Paused(Some(BootInstant::from_boot(Duration::from_secs(1060))));

/// A standby beside the other, paused until a minute from now.
fn paused() -> Told {
    let mut told = Told::standby(settings());
    assert_eq!(told.step(PAUSED), []);
    assert!(told.life.is_paused(at(told.now)));
    told
}

/// Nothing but lines of the log.
#[track_caller]
fn is_quiet(actions: &[Action]) {
    let quiet = |action: &Action| matches!(action, Action::NoteHeld(_) | Action::NoteStandby);
    assert!(actions.iter().all(quiet), "{actions:?}");
}

#[test]
fn no_verdict_deposes_anybody_and_the_end_of_the_pause_acts_on_it_at_once() {
    for (verdict, certainty) in
        [(Event::ProcessGone(OTHER), Certainty::Certain), (Event::Hint(other()), Certainty::Hint)]
    {
        let mut told = paused();
        assert_eq!(told.step(verdict), [Action::NoteHeld(other())]);
        is_quiet(&told.later(1_000));
        assert_eq!(told.life.standing().own_epoch(), None);
        told.step(Event::LeaseUntil(LEASE, at(99_999)));
        let campaign = told.campaign(Event::Paused(None));
        assert_eq!(campaign.certainty, certainty);
        assert_eq!(campaign.against.map(|holder| holder.victim), Some(other()));
    }
}

#[test]
fn a_key_that_is_gone_after_a_death_stays_free_until_the_pause_ends_by_itself() {
    let mut told = paused();
    told.step(Event::LeaseUntil(LEASE, at(999_999)));
    assert_eq!(told.step(mirrored(70, None)), [Action::NoteHeld(other())]);
    told.now = 59_999;
    is_quiet(&told.step(Event::Tick));
    assert_eq!(told.life.wake_at(), Some(at(60_000)));
    told.now = 60_000;
    let campaign = told.campaign(Event::Tick);
    assert_eq!((campaign.against, campaign.certainty), (None, Certainty::Silence));
    assert!(!told.life.is_paused(at(told.now)));
}

#[test]
fn that_somebody_is_not_deposed_is_said_once_for_each() {
    let mut told = paused();
    assert_eq!(told.step(Event::ProcessGone(OTHER)), [Action::NoteHeld(other())]);
    assert_eq!(told.step(mirrored(70, None)), []);
    let next = Victim { epoch: Epoch(71), server_id: ServerId(8) };
    assert_eq!(told.step(mirrored(71, held_by(next, Kind::Own))), []);
    assert_eq!(told.step(Event::ProcessGone(ServerId(8))), [Action::NoteHeld(next)]);
}

#[test]
fn who_is_asked_to_take_over_does_and_also_takes_the_key_that_is_left_when_that_fails() {
    let mut told = paused();
    let ask = Event::TakeOver { victim: other(), last_revision: Revision(60) };
    assert_eq!(told.campaign(ask.clone()).certainty, Certainty::HandedOver);

    let mut told = paused();
    assert_eq!(told.step(Event::TakeOver { victim: other(), last_revision: Revision(99) }), []);
    assert!(matches!(told.later(1_000).as_slice(), [Action::AnswerTakeOver(Err(_))]));
    assert_eq!(told.campaign(mirrored(99, None)).against, None);
}

#[test]
fn a_key_that_its_holder_gave_back_on_purpose_may_be_taken() {
    let mut told = paused();
    assert_eq!(told.step(Event::Departs(other())), []);
    told.campaign(mirrored(70, None));

    // It left in an earlier term, came back, and died in this one.
    let mut told = paused();
    told.step(Event::Departs(Victim { epoch: Epoch(40), ..other() }));
    is_quiet(&told.step(mirrored(70, None)));
}

#[test]
fn a_fresh_instance_takes_a_key_that_nobody_holds() {
    let mut told = Told::new(settings());
    told.step(PAUSED);
    told.step(mirrored(10, None));
    told.campaign(Event::Registered(LEASE, at(5000)));
}

#[test]
fn what_the_own_process_or_its_predecessor_at_the_address_held_is_taken_back() {
    let mut told = Told::active(settings());
    told.step(PAUSED);
    assert_eq!(told.step(Event::LeaseGone(LEASE)), [Action::EndTerm(Epoch(61), Loss::LeaseGone)]);
    told.step(mirrored(70, None));
    told.step(Event::TermEnded);
    told.campaign(Event::Registered(LeaseId(91), at(5000)));

    let mut told = Told::new(LifeSettings { address: "10.0.0.7:53100".to_owned(), ..settings() });
    told.step(PAUSED);
    told.step(mirrored(60, held_by(other(), Kind::Own)));
    told.step(Event::Registered(LEASE, at(5000)));
    told.campaign(Event::ProcessGone(OTHER));
}

#[test]
fn a_foreign_holder_is_left_alone_too() {
    let mut told = Told::new(settings());
    told.step(PAUSED);
    told.step(mirrored(60, held_by(other(), Kind::Foreign)));
    told.step(Event::Registered(LEASE, at(99_999)));
    assert_eq!(told.step(Event::Hint(other())), [Action::NoteHeld(other())]);
    assert_eq!(told.step(Event::Paused(None)), [Action::DeposeForeign(other(), OTHER_LEASE)]);
}

#[test]
fn the_active_one_hands_over_at_sigterm() {
    let mut told = Told::active(settings());
    told.step(PAUSED);
    let leave = Event::Leave(LeaveCause::Signal, vec![successor()]);
    assert_eq!(told.step(leave), [Action::Drain(Epoch(61))]);
}

#[test]
fn a_victim_that_speaks_meanwhile_is_forgotten_and_not_deposed_afterwards() {
    let mut told = paused();
    told.step(Event::Hint(other()));
    told.step(Event::Spoke(OTHER));
    assert_eq!(told.step(Event::Paused(None)), []);
}

#[test]
fn a_lease_that_ran_out_meanwhile_is_replaced_before_the_campaign() {
    let mut told = paused();
    told.step(Event::ProcessGone(OTHER));
    assert_eq!(told.step(Event::LeaseGone(LEASE)), [REGISTER]);
    is_quiet(&told.step(Event::Registered(LeaseId(91), at(99_999))));
    assert_eq!(told.campaign(Event::Paused(None)).lease, LeaseId(91));
}
