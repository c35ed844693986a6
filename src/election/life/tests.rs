//! What the life of an instance must do, told as events and actions.

mod leaving;
mod pause;
mod pledge;
mod preference;

use std::time::Duration;

use super::*;
use crate::election::standing::Standing;

const OWN: ServerId = ServerId(9);
const OTHER: ServerId = ServerId(7);
const LEASE: LeaseId = LeaseId(90);
const OTHER_LEASE: LeaseId = LeaseId(70);
const REGISTER: Action = Action::Register { staying_listed: false };
const W: Duration = Duration::from_millis(100);

fn at(millis: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_secs(1000) + Duration::from_millis(millis))
}

fn settings() -> LifeSettings {
    LifeSettings {
        own: OWN,
        address: format!("10.0.0.{OWN}:53100"),
        proof_window: W,
        lease_ttl: Duration::from_secs(5),
        listed: true,
        fast_takeover: true,
        foreign_wait: Duration::ZERO,
        failback: None,
        exit_on_loss: false,
        rounds: None,
        rules: Rules::default(),
    }
}

fn other() -> Victim {
    Victim { epoch: Epoch(50), server_id: OTHER }
}

fn held_by(victim: Victim, kind: Kind) -> Option<Holder> {
    let lease = if victim.server_id == OWN { LEASE } else { OTHER_LEASE };
    Some(Holder { victim, kind, lease, address: format!("10.0.0.{}:53100", victim.server_id) })
}

fn successor() -> Peer {
    Peer { server_id: ServerId(8), address: "10.0.0.8:53100".to_owned() }
}

fn mirrored(revision: i64, holder: Option<Holder>) -> Event {
    Event::Mirrored { at: Revision(revision), holder, in_step: true }
}

/// A life and the clock it is told.
struct Told {
    life: Life,
    now: u64,
}

impl Told {
    fn new(settings: LifeSettings) -> Self {
        let (life, first) = Life::begin(settings);
        assert_eq!(first, [REGISTER]);
        Self { life, now: 0 }
    }

    /// Registered, and the mirror shows another of our kind to be ACTIVE.
    fn standby(settings: LifeSettings) -> Self {
        let mut told = Self::new(settings);
        assert_eq!(told.step(mirrored(60, held_by(other(), Kind::Own))), []);
        assert_eq!(told.step(Event::Registered(LEASE, at(5000))), [Action::NoteStandby]);
        told
    }

    /// Serves in the term of epoch 61, taken from the other in place.
    fn active(settings: LifeSettings) -> Self {
        let mut told = Self::standby(settings);
        let campaign = told.campaign(Event::ProcessGone(OTHER));
        told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(61))));
        told.step(mirrored(61, held_by(Victim { epoch: Epoch(61), server_id: OWN }, Kind::Own)));
        assert_eq!(told.step(Event::Activated(Ok(()))), [Action::NoteActive(Epoch(61))]);
        told
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.life.step(at(self.now), event)
    }

    fn later(&mut self, millis: u64) -> Vec<Action> {
        self.now += millis;
        self.step(Event::Tick)
    }

    #[track_caller]
    fn campaign(&mut self, event: Event) -> Campaign {
        match self.step(event).as_slice() {
            // As in Milvus, also a fresh active one is in standby for a moment, and says so.
            [Action::Campaign(campaign)] | [Action::NoteStandby, Action::Campaign(campaign)] => {
                campaign.clone()
            }
            actions => panic!("no campaign but {actions:?}"),
        }
    }
}

#[test]
fn the_first_instance_takes_the_absent_key_and_waits_until_an_unknown_predecessor_is_silent() {
    let mut told = Told::new(settings());
    told.step(mirrored(10, None));
    let campaign = told.campaign(Event::Registered(LEASE, at(5000)));
    assert_eq!(
        (campaign.against.as_ref(), campaign.certainty, campaign.lease),
        (None, Certainty::Silence, LEASE)
    );
    assert_eq!(told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(11)))), []);
    assert_eq!(told.life.standing(), Standing::Activating { epoch: Epoch(11) });
    let own = Victim { epoch: Epoch(11), server_id: OWN };
    assert_eq!(
        told.step(mirrored(11, held_by(own, Kind::Own))),
        [Action::Activate { epoch: Epoch(11), quiet_at: at(101) }]
    );
    assert_eq!(told.step(Event::Activated(Ok(()))), [Action::NoteActive(Epoch(11))]);
    assert_eq!(told.life.standing(), Standing::Active { epoch: Epoch(11) });
}

#[test]
fn nobody_campaigns_before_the_mirror_has_shown_the_key() {
    let mut told = Told::new(settings());
    assert_eq!(told.step(Event::Registered(LEASE, at(5000))), [Action::NoteStandby]);
    told.campaign(mirrored(10, None));
}

#[test]
fn a_dead_process_of_this_machine_is_replaced_in_place_at_once() {
    let mut told = Told::standby(settings());
    let campaign = told.campaign(Event::ProcessGone(OTHER));
    assert_eq!(campaign.against.as_ref().map(|holder| holder.victim), Some(other()));
    assert_eq!(campaign.certainty, Certainty::Certain);
    assert_eq!(
        told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(61)))),
        [Action::RevokeVictim(other(), OTHER_LEASE)]
    );
    let own = Victim { epoch: Epoch(61), server_id: OWN };
    assert_eq!(
        told.step(mirrored(61, held_by(own, Kind::Own))),
        [Action::Activate { epoch: Epoch(61), quiet_at: at(0) }]
    );
}

#[test]
fn the_own_put_may_arrive_before_the_answer_and_the_victims_lease_is_still_revoked() {
    let mut told = Told::standby(settings());
    let campaign = told.campaign(Event::ProcessGone(OTHER));
    let own = Victim { epoch: Epoch(61), server_id: OWN };
    assert_eq!(told.step(mirrored(61, held_by(own, Kind::Own))), []);
    assert_eq!(
        told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(61)))),
        [Action::RevokeVictim(other(), OTHER_LEASE), Action::Activate { epoch: Epoch(61), quiet_at: at(0) }]
    );
}

#[test]
fn after_a_hint_the_successor_waits_until_the_victims_proofs_are_old() {
    let mut told = Told::standby(settings());
    let campaign = told.campaign(Event::Hint(other()));
    told.now = 7;
    told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(61))));
    let own = Victim { epoch: Epoch(61), server_id: OWN };
    assert_eq!(
        told.step(mirrored(61, held_by(own, Kind::Own))),
        [Action::Activate { epoch: Epoch(61), quiet_at: at(7 + 101) }]
    );
}

#[test]
fn a_hint_that_the_kernel_confirms_in_time_costs_no_wait() {
    let mut told = Told::standby(settings());
    let campaign = told.campaign(Event::Hint(other()));
    assert_eq!(told.step(Event::ProcessGone(OTHER)), []);
    told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(61))));
    let own = Victim { epoch: Epoch(61), server_id: OWN };
    assert_eq!(
        told.step(mirrored(61, held_by(own, Kind::Own))),
        [Action::Activate { epoch: Epoch(61), quiet_at: at(0) }]
    );
}

#[test]
fn a_hint_about_another_term_deposes_nobody() {
    let mut told = Told::standby(settings());
    let earlier = Victim { epoch: Epoch(40), server_id: OTHER };
    assert_eq!(told.step(Event::Hint(earlier)), []);
    assert_eq!(told.step(Event::Hint(Victim { server_id: ServerId(8), ..other() })), []);
}

#[test]
fn a_failed_campaign_drops_the_verdict_and_waits_for_the_mirror() {
    let mut told = Told::standby(settings());
    let campaign = told.campaign(Event::Hint(other()));
    let lost = Event::Campaigned(campaign.number, CampaignEnd::Lost(Revision(65)));
    assert_eq!(told.step(lost), []);
    let winner = Victim { epoch: Epoch(64), server_id: ServerId(8) };
    assert_eq!(told.step(mirrored(64, held_by(winner, Kind::Own))), []);
    assert_eq!(told.step(mirrored(65, held_by(winner, Kind::Own))), []);
    assert_eq!(told.life.standing().own_epoch(), None);
}

#[test]
fn outdated_windows_are_planned_anew_under_the_same_verdict() {
    let mut told = Told::standby(settings());
    let first = told.campaign(Event::Hint(other()));
    let second = told.campaign(Event::Campaigned(first.number, CampaignEnd::Outdated));
    assert_eq!((second.certainty, second.against), (first.certainty, first.against));
    assert_ne!(second.number, first.number);
}

#[test]
fn answers_of_an_earlier_campaign_change_nothing() {
    let mut told = Told::standby(settings());
    let first = told.campaign(Event::Hint(other()));
    told.campaign(Event::Campaigned(first.number, CampaignEnd::Outdated));
    assert_eq!(told.step(Event::Campaigned(first.number, CampaignEnd::Won(Epoch(61)))), []);
    assert_eq!(told.life.standing().own_epoch(), None);
}

#[test]
fn a_foreign_holder_is_deposed_by_its_lease_and_then_the_key_is_taken_absent() {
    let mut told = Told::new(LifeSettings { foreign_wait: Duration::from_secs(3), ..settings() });
    told.step(mirrored(60, held_by(other(), Kind::Foreign)));
    told.step(Event::Registered(LEASE, at(5000)));
    assert_eq!(told.step(Event::Hint(other())), [Action::DeposeForeign(other(), OTHER_LEASE)]);
    assert_eq!(told.step(Event::ForeignDeposed(other(), true)), []);
    let campaign = told.campaign(mirrored(61, None));
    assert_eq!(campaign.against, None);
    told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(62))));
    let own = Victim { epoch: Epoch(62), server_id: OWN };
    assert_eq!(
        told.step(mirrored(62, held_by(own, Kind::Own))),
        [Action::Activate { epoch: Epoch(62), quiet_at: at(3000) }]
    );
}

#[test]
fn a_foreign_holder_that_could_not_be_deposed_is_tried_again_later() {
    let mut told = Told::new(settings());
    told.step(mirrored(60, held_by(other(), Kind::Foreign)));
    told.step(Event::Registered(LEASE, at(5000)));
    told.step(Event::Hint(other()));
    assert_eq!(told.step(Event::ForeignDeposed(other(), false)), []);
    assert_eq!(told.life.wake_at(), Some(at(1000)));
    assert_eq!(told.later(1000), [Action::DeposeForeign(other(), OTHER_LEASE)]);
}

#[test]
fn a_lease_with_less_than_half_of_its_time_is_replaced_before_the_campaign() {
    let mut told = Told::standby(settings());
    told.now = 2600;
    assert_eq!(told.step(Event::ProcessGone(OTHER)), [Action::Register { staying_listed: true }]);
    let campaign = told.campaign(Event::Registered(LeaseId(91), at(7600)));
    assert_eq!((campaign.lease, campaign.certainty), (LeaseId(91), Certainty::Certain));
}

#[test]
fn a_lost_lease_is_granted_anew_in_standby_and_during_a_campaign() {
    let mut told = Told::standby(settings());
    assert_eq!(told.step(Event::LeaseGone(LeaseId(1))), []);
    assert_eq!(told.step(Event::LeaseGone(LEASE)), [REGISTER]);
    told.step(Event::Registered(LeaseId(91), at(5000)));
    let campaign = told.campaign(Event::ProcessGone(OTHER));
    assert_eq!(told.step(Event::Campaigned(campaign.number, CampaignEnd::LeaseGone)), [REGISTER]);
    told.campaign(Event::Registered(LeaseId(92), at(5000)));
}

#[test]
fn a_session_that_is_gone_is_put_anew_in_standby_only() {
    let mut told = Told::standby(settings());
    assert_eq!(told.step(Event::SessionGone), [REGISTER]);
    let mut told = Told::active(settings());
    assert_eq!(told.step(Event::SessionGone), []);
}

#[test]
fn a_restart_at_the_same_address_bars_no_hints() {
    let mut told = Told::standby(settings());
    let campaign = told.campaign(Event::Hint(other()));
    told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(61))));
    told.step(mirrored(61, held_by(Victim { epoch: Epoch(61), server_id: OWN }, Kind::Own)));
    told.step(Event::Activated(Ok(())));
    let restarted = Peer { server_id: ServerId(12), address: "10.0.0.7:53100".to_owned() };
    told.step(Event::PeerRegistered(restarted, Revision(62)));
    let again = Victim { epoch: Epoch(70), server_id: ServerId(12) };
    let holder =
        Holder { victim: again, kind: Kind::Own, lease: OTHER_LEASE, address: "10.0.0.7:53100".to_owned() };
    told.step(mirrored(70, Some(holder)));
    told.step(Event::TermEnded);
    told.step(Event::Registered(LEASE, at(999_999)));
    told.campaign(Event::Hint(again));
}

#[test]
fn a_term_ends_before_the_next_candidacy_and_that_has_a_fresh_lease() {
    let mut told = Told::active(settings());
    let winner = Victim { epoch: Epoch(70), server_id: ServerId(8) };
    assert_eq!(
        told.step(mirrored(70, held_by(winner, Kind::Own))),
        [Action::EndTerm(Epoch(61), Loss::Deposed)]
    );
    assert_eq!(told.step(Event::ProcessGone(ServerId(8))), []);
    assert_eq!(told.step(Event::TermEnded), [REGISTER]);
    let campaign = told.campaign(Event::Registered(LeaseId(91), at(5000)));
    assert_eq!(campaign.against.map(|holder| holder.victim), Some(winner));
}

#[test]
fn a_deleted_key_ends_the_term() {
    let mut told = Told::active(settings());
    assert_eq!(told.step(mirrored(70, None)), [Action::EndTerm(Epoch(61), Loss::Deposed)]);
}

#[test]
fn an_older_state_of_the_key_does_not_end_the_term() {
    let mut told = Told::standby(settings());
    let campaign = told.campaign(Event::ProcessGone(OTHER));
    told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(65))));
    assert_eq!(told.step(mirrored(62, None)), []);
    assert_eq!(told.life.standing(), Standing::Activating { epoch: Epoch(65) });
}

#[test]
fn losing_a_term_ends_the_process_where_that_is_configured() {
    let mut told = Told::active(LifeSettings { exit_on_loss: true, ..settings() });
    assert_eq!(told.step(Event::Deposed(Epoch(61))), [Action::EndTerm(Epoch(61), Loss::Deposed)]);
    assert_eq!(told.step(Event::TermEnded), [Action::RevokeOwn]);
    assert_eq!(told.step(Event::Revoked), [Action::Exit(Exit::TermLost)]);
}

#[test]
fn news_of_an_earlier_term_do_not_end_this_one() {
    let mut told = Told::active(settings());
    assert_eq!(told.step(Event::Deposed(Epoch(55))), []);
    assert_eq!(told.step(Event::LeaseGone(LeaseId(1))), []);
    assert_eq!(told.life.standing(), Standing::Active { epoch: Epoch(61) });
}

#[test]
fn a_put_that_does_not_come_back_is_read_and_then_given_away() {
    let mut told = Told::standby(settings());
    let campaign = told.campaign(Event::ProcessGone(OTHER));
    told.step(Event::Campaigned(campaign.number, CampaignEnd::Won(Epoch(61))));
    assert_eq!(told.life.wake_at(), Some(at(100)));
    assert_eq!(told.later(100), [Action::CatchUp(Revision(61))]);
    assert_eq!(told.life.wake_at(), Some(at(5000)));
    assert_eq!(told.later(4900), [Action::EndTerm(Epoch(61), Loss::ActivationFailed)]);
    assert_eq!(told.step(Event::TermEnded), [REGISTER]);
    told.step(mirrored(70, None));
    assert_eq!(told.step(Event::Registered(LeaseId(91), at(99_999))), [Action::NoteStandby]);
    told.now += 9_999;
    assert!(!told.step(Event::Tick).iter().any(|action| matches!(action, Action::Campaign(_))));
    told.now += 1;
    assert!(told.step(Event::Tick).iter().any(|action| matches!(action, Action::Campaign(_))));
}

#[test]
fn without_active_standby_the_process_gives_up_after_its_rounds() {
    let mut told = Told::new(LifeSettings { rounds: Some(2), ..settings() });
    told.step(mirrored(60, held_by(other(), Kind::Own)));
    assert_eq!(told.step(Event::Registered(LEASE, at(99_999))), [Action::NoteStandby]);
    assert_eq!(told.later(10_000), [Action::NoteStandby]);
    assert_eq!(told.later(10_000), [Action::RevokeOwn]);
    assert_eq!(told.step(Event::Revoked), [Action::Exit(Exit::KeyHeld)]);
}

#[test]
fn a_rebuilding_mirror_lets_others_go_first() {
    let mut told = Told::standby(settings());
    let gone = Event::Mirrored { at: Revision(70), holder: None, in_step: false };
    assert_eq!(told.step(gone), []);
    assert_eq!(told.life.wake_at(), Some(at(50)));
    assert!(matches!(told.later(50).as_slice(), [Action::Campaign(_)]));
}

#[test]
fn etcd_that_takes_nothing_is_tried_again_without_a_loop() {
    let mut told = Told::standby(settings());
    let campaign = told.campaign(Event::ProcessGone(OTHER));
    assert_eq!(told.step(Event::Campaigned(campaign.number, CampaignEnd::Failed)), []);
    told.now = 100;
    told.campaign(Event::Tick);
}

#[test]
fn the_clock_is_never_wanted_at_a_moment_that_has_passed() {
    let mut told = Told::standby(settings());
    told.now = 60_000;
    told.step(Event::LeaseUntil(LEASE, at(99_999)));
    let campaign = told.campaign(Event::ProcessGone(OTHER));
    told.step(Event::Campaigned(campaign.number, CampaignEnd::Lost(Revision(99))));
    assert!(told.life.wake_at().is_none_or(|wake| wake > at(60_000)));
}
