//! Ways out, and hand-overs as the successor sees them.

use super::*;

#[test]
fn sigterm_in_standby_gives_the_lease_back_and_ends() {
    let mut told = Told::standby(settings());
    assert_eq!(told.step(Event::Leave(LeaveCause::Signal, vec![])), [Action::RevokeOwn]);
    assert_eq!(told.step(Event::ProcessGone(OTHER)), []);
    assert_eq!(told.step(Event::Revoked), [Action::Exit(Exit::Done)]);
}

#[test]
fn sigterm_while_registering_or_campaigning_ends_too() {
    let mut told = Told::new(settings());
    assert_eq!(told.step(Event::Leave(LeaveCause::Signal, vec![])), [Action::RevokeOwn]);
    let mut told = Told::standby(settings());
    told.campaign(Event::ProcessGone(OTHER));
    assert_eq!(told.step(Event::Leave(LeaveCause::Signal, vec![])), [Action::RevokeOwn]);
}

#[test]
fn sigterm_hands_over_forwards_for_a_while_and_ends() {
    let mut told = Told::active(settings());
    let leave = Event::Leave(LeaveCause::Signal, vec![successor()]);
    assert_eq!(told.step(leave), [Action::Drain(Epoch(61))]);
    assert_eq!(told.life.standing(), Standing::HandingOver { epoch: Epoch(61) });
    let pass = Action::Pass { to: successor(), epoch: Epoch(61), last_revision: Revision(68) };
    assert_eq!(told.step(Event::Drained(Revision(68))), [pass]);
    assert_eq!(told.step(Event::Passed(Ok(Epoch(69)))), []);
    assert_eq!(told.life.standing(), Standing::Forwarding { to: successor(), epoch: Epoch(69) });
    told.step(mirrored(69, held_by(Victim { epoch: Epoch(69), server_id: ServerId(8) }, Kind::Own)));
    assert_eq!(told.later(2000), [Action::RevokeOwn]);
    let active = Some((successor(), Epoch(69)));
    assert_eq!(told.life.standing(), Standing::Leaving { active });
    assert_eq!(told.step(Event::Revoked), [Action::Exit(Exit::Done)]);
}

#[test]
fn sigterm_without_a_successor_drains_and_frees_the_key() {
    let mut told = Told::active(settings());
    assert_eq!(told.step(Event::Leave(LeaveCause::Signal, vec![])), [Action::Drain(Epoch(61))]);
    assert_eq!(
        told.step(Event::Drained(Revision(68))),
        [Action::EndTerm(Epoch(61), Loss::Left(LeaveCause::Signal))]
    );
    assert_eq!(told.step(Event::TermEnded), [Action::RevokeOwn]);
}

#[test]
fn a_switchover_leaves_the_process_as_a_standby_that_forwards_first() {
    let mut told = Told::active(settings());
    told.step(Event::Leave(LeaveCause::Switchover, vec![successor()]));
    told.step(Event::Drained(Revision(68)));
    assert_eq!(told.step(Event::Passed(Ok(Epoch(69)))), [REGISTER]);
    let now_active = Victim { epoch: Epoch(69), server_id: ServerId(8) };
    told.step(mirrored(69, held_by(now_active, Kind::Own)));
    told.step(Event::Registered(LeaseId(91), at(5000)));
    assert!(matches!(told.life.standing(), Standing::Forwarding { .. }));
    told.later(2000);
    assert!(matches!(told.life.standing(), Standing::Standby { active: Some(_) }));
}

#[test]
fn after_a_failed_hand_over_a_late_successor_finds_the_key_changed() {
    let mut told = Told::active(settings());
    told.step(Event::Leave(LeaveCause::Switchover, vec![successor()]));
    told.step(Event::Drained(Revision(68)));
    // Registering revokes the lease under the key before anything else.
    assert_eq!(told.step(Event::Passed(Err("no answer".to_owned()))), [REGISTER]);
    assert!(matches!(told.life.standing(), Standing::Standby { .. }));
}

#[test]
fn a_standby_takes_over_when_asked_once_it_has_the_last_write() {
    let mut told = Told::standby(settings());
    let ask = Event::TakeOver { victim: other(), last_revision: Revision(63) };
    assert_eq!(told.step(ask), []);
    assert_eq!(told.step(mirrored(62, held_by(other(), Kind::Own))), []);
    let campaign = told.campaign(mirrored(63, held_by(other(), Kind::Own)));
    assert_eq!(campaign.certainty, Certainty::HandedOver);
    told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(64))));
    let own = Victim { epoch: Epoch(64), server_id: OWN };
    assert_eq!(
        told.step(mirrored(64, held_by(own, Kind::Own))),
        [Action::Activate { epoch: Epoch(64), quiet_at: at(0) }]
    );
    assert_eq!(
        told.step(Event::Activated(Ok(()))),
        [Action::NoteActive(Epoch(64)), Action::AnswerTakeOver(Ok(Epoch(64)))]
    );
}

#[test]
fn a_hand_over_that_the_mirror_never_reaches_is_refused_in_time() {
    let mut told = Told::standby(settings());
    told.step(Event::TakeOver { victim: other(), last_revision: Revision(99) });
    assert_eq!(told.life.wake_at(), Some(at(1000)));
    assert!(matches!(told.later(1000).as_slice(), [Action::AnswerTakeOver(Err(_))]));
    assert_eq!(told.step(mirrored(99, held_by(other(), Kind::Own))), []);
}

#[test]
fn who_leaves_takes_nothing_over() {
    let mut told = Told::standby(settings());
    told.step(Event::Leave(LeaveCause::Signal, vec![]));
    let ask = Event::TakeOver { victim: other(), last_revision: Revision(60) };
    assert!(matches!(told.step(ask).as_slice(), [Action::AnswerTakeOver(Err(_))]));
}
