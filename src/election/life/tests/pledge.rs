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
