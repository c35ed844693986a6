//! What was promised to one that proved to live.

use super::*;

#[test]
fn a_pledge_holds_hints_back_but_not_certainty() {
    let mut told = Told::standby(settings());
    let ask = Event::PledgeAsked { epoch: Epoch(50), until: at(500), nonce: 3 };
    assert_eq!(told.step(ask), [Action::Pledge { epoch: Epoch(50), nonce: 3 }]);
    assert_eq!(told.step(Event::Hint(other())), []);
    told.campaign(Event::ProcessGone(OTHER));
}

#[test]
fn a_pledge_ends_with_its_time() {
    let mut told = Told::standby(settings());
    told.step(Event::PledgeAsked { epoch: Epoch(50), until: at(500), nonce: 3 });
    told.now = 500;
    told.campaign(Event::Hint(other()));
}

#[test]
fn who_was_promised_time_has_it_even_if_its_key_is_deleted_meanwhile() {
    let mut told = Told::standby(settings());
    told.step(Event::PledgeAsked { epoch: Epoch(50), until: at(500), nonce: 3 });
    told.now = 10;
    let campaign = told.campaign(mirrored(61, None));
    told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(62))));
    let own = Victim { epoch: Epoch(62), server_id: OWN };
    assert_eq!(
        told.step(mirrored(62, held_by(own, Kind::Own))),
        [Action::Activate { epoch: Epoch(62), quiet_at: at(500) }]
    );
}

#[test]
fn a_hint_waits_for_the_end_of_the_pledge() {
    let mut told = Told::standby(settings());
    told.step(Event::PledgeAsked { epoch: Epoch(50), until: at(500), nonce: 3 });
    told.now = 2;
    assert_eq!(told.step(Event::Hint(other())), []);
    assert_eq!(told.life.wake_at(), Some(at(500)));
    told.now = 499;
    assert_eq!(told.step(Event::Tick), []);
    told.now = 500;
    let campaign = told.campaign(Event::Tick);
    assert_eq!(campaign.certainty, Certainty::Hint);
}

#[test]
fn a_hint_that_waits_is_forgotten_when_its_victim_asks_or_speaks() {
    for sign in [Event::PledgeAsked { epoch: Epoch(50), until: at(600), nonce: 4 }, Event::Spoke(OTHER)] {
        let mut told = Told::standby(settings());
        told.step(Event::PledgeAsked { epoch: Epoch(50), until: at(500), nonce: 3 });
        told.step(Event::Hint(other()));
        told.now = 100;
        told.step(sign);
        told.now = 700;
        assert_eq!(told.step(Event::Tick), []);
    }
}

#[test]
fn who_is_told_of_a_term_that_lives_on_pledges_is_bound_as_those_who_gave_them() {
    let mut told = Told::standby(settings());
    assert_eq!(told.step(Event::Bound { epoch: Epoch(50), until: at(300) }), []);
    assert_eq!(told.step(Event::Hint(other())), []);
    told.now = 299;
    assert_eq!(told.step(Event::Tick), []);
    told.now = 300;
    told.campaign(Event::Tick);
}

#[test]
fn a_shorter_promise_and_one_to_an_earlier_term_leave_the_longer_one_in_force() {
    let mut told = Told::standby(settings());
    told.step(Event::PledgeAsked { epoch: Epoch(50), until: at(500), nonce: 3 });
    told.step(Event::Bound { epoch: Epoch(50), until: at(400) });
    // One that was deposed before, and can't know, asks too.
    let late = Event::PledgeAsked { epoch: Epoch(44), until: at(450), nonce: 9 };
    assert_eq!(told.step(late), [Action::Pledge { epoch: Epoch(44), nonce: 9 }]);
    assert_eq!(told.step(Event::Hint(other())), []);
    told.now = 499;
    assert_eq!(told.step(Event::Tick), []);
}

#[test]
fn a_hint_from_before_a_registration_is_void_after_it() {
    for gone in [Event::SessionGone, Event::LeaseGone(LEASE)] {
        let mut told = Told::standby(settings());
        told.step(Event::Bound { epoch: Epoch(50), until: at(500) });
        assert_eq!(told.step(Event::Hint(other())), []);
        assert_eq!(told.step(gone), [REGISTER]);
        assert_eq!(told.step(Event::Hint(other())), []);
        told.now = 600;
        assert_eq!(told.step(Event::Registered(LeaseId(91), at(9_000))), [Action::NoteStandby]);
        told.campaign(Event::Hint(other()));
    }
}

#[test]
fn a_hint_outlives_a_registration_that_leaves_no_gap() {
    let mut told = Told::standby(settings());
    told.now = 2600;
    assert_eq!(told.step(Event::Hint(other())), [Action::Register { staying_listed: true }]);
    let campaign = told.campaign(Event::Registered(LeaseId(91), at(7600)));
    assert_eq!(campaign.certainty, Certainty::Hint);
}

#[test]
fn a_hint_is_void_if_the_registration_that_was_to_leave_no_gap_found_one() {
    let mut told = Told::standby(settings());
    told.now = 2600;
    assert_eq!(told.step(Event::Hint(other())), [Action::Register { staying_listed: true }]);
    assert_eq!(told.step(Event::SessionGone), []);
    assert_eq!(told.step(Event::Registered(LeaseId(91), at(7600))), [Action::NoteStandby]);
}

#[test]
fn who_is_never_listed_uses_hints_about_foreign_holders_only() {
    for kind in [Kind::Own, Kind::Foreign] {
        let mut told = Told::new(LifeSettings { listed: false, ..settings() });
        told.step(mirrored(60, held_by(other(), kind)));
        told.step(Event::Registered(LEASE, at(5000)));
        let acted = !told.step(Event::Hint(other())).is_empty();
        assert_eq!(acted, kind == Kind::Foreign);
    }
}

#[test]
fn no_pledge_is_given_once_the_deposing_transaction_may_be_on_its_way() {
    let mut told = Told::standby(settings());
    told.campaign(Event::Hint(other()));
    let ask = Event::PledgeAsked { epoch: Epoch(50), until: at(500), nonce: 3 };
    assert_eq!(told.step(ask), []);
}

#[test]
fn a_victim_that_proves_alive_is_safe_from_hints_for_a_minute_then_two() {
    let mut told = Told::standby(settings());
    let mut epoch = 61;
    let mut holder_epoch = 50;
    for bar in [60_000, 120_000] {
        let victim = Victim { epoch: Epoch(holder_epoch), server_id: OTHER };
        let campaign = told.campaign(Event::Hint(victim));
        told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(epoch))));
        let own = Victim { epoch: Epoch(epoch), server_id: OWN };
        told.step(mirrored(epoch, held_by(own, Kind::Own)));
        told.step(Event::Activated(Ok(())));
        let alive = Peer { server_id: OTHER, address: "10.0.0.7:53100".to_owned() };
        told.step(Event::PeerRegistered(alive, Revision(epoch + 1)));
        // It takes the key back.
        holder_epoch = epoch + 5;
        let again = Victim { epoch: Epoch(holder_epoch), server_id: OTHER };
        told.step(mirrored(holder_epoch, held_by(again, Kind::Own)));
        told.step(Event::TermEnded);
        told.step(Event::Registered(LEASE, at(999_999)));
        assert_eq!(told.step(Event::Hint(again)), []);
        told.now += bar - 1;
        let barred = told.step(Event::Hint(again));
        assert!(!barred.iter().any(|action| matches!(action, Action::Campaign(_))));
        told.now += 1;
        epoch = holder_epoch + 10;
    }
}
