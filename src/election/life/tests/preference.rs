//! Head starts for preferred standbys, and asking for the role.

use super::*;

fn better(better: usize) -> Event {
    Event::Compared(Compared { better, worse_holder: None })
}

fn worse(worse_holder: Option<Epoch>) -> Event {
    Event::Compared(Compared { better: 0, worse_holder })
}

#[test]
fn a_preferred_standby_goes_first_for_a_moment() {
    for (count, delay) in [(1, 25), (2, 50), (7, 50)] {
        let mut told = Told::standby(settings());
        told.step(better(count));
        assert_eq!(told.step(Event::ProcessGone(OTHER)), []);
        assert_eq!(told.life.wake_at(), Some(at(delay)));
        assert_eq!(told.later(delay - 1), []);
        told.now += 1;
        assert_eq!(told.campaign(Event::Tick).certainty, Certainty::Certain);
    }
}

#[test]
fn without_one_that_lives_nothing_is_delayed() {
    let mut told = Told::standby(settings());
    told.step(better(1));
    assert_eq!(told.step(Event::ProcessGone(OTHER)), []);
    // It has died as well.
    told.campaign(better(0));
}

#[test]
fn each_death_has_one_head_start_however_often_the_campaign_is_repeated() {
    let mut told = Told::standby(settings());
    told.step(better(1));
    told.step(Event::Hint(other()));
    told.now = 25;
    let campaign = told.campaign(Event::Tick);
    told.campaign(Event::Campaigned(campaign.number, CampaignEnd::Outdated));

    // The next one dies later; its key is gone.
    let mut told = Told::standby(settings());
    told.step(better(1));
    assert_eq!(told.step(mirrored(70, None)), []);
    told.now = 10;
    let next = Victim { epoch: Epoch(71), server_id: ServerId(8) };
    assert_eq!(told.step(mirrored(71, held_by(next, Kind::Own))), []);
    told.now = 1_000;
    assert_eq!(told.step(mirrored(72, None)), []);
    assert_eq!(told.life.wake_at(), Some(at(1_025)));
}

#[test]
fn who_was_chosen_by_the_leaving_one_waits_for_nobody() {
    let mut told = Told::standby(settings());
    told.step(better(2));
    told.campaign(Event::TakeOver { victim: other(), last_revision: Revision(60) });
}

fn preferred() -> LifeSettings {
    LifeSettings { failback: Some(Duration::from_secs(30)), ..settings() }
}

/// A standby with a lease that does not matter, preferred to the other.
fn ready(settings: LifeSettings) -> Told {
    let mut told = Told::standby(settings);
    told.step(Event::LeaseUntil(LEASE, at(99_999_999)));
    told.step(worse(Some(other().epoch)));
    told
}

fn asks(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::AskForRole(_)))
}

#[test]
fn a_preferred_standby_asks_once_it_has_been_ready_for_long_enough() {
    let mut told = ready(preferred());
    assert!(!asks(&told.later(29_999)));
    told.life.step(at(29_999), Event::Tick);
    assert_eq!(told.life.wake_at(), Some(at(30_000)));
    let asked = told.later(1);
    assert!(asked.contains(&Action::AskForRole(other().epoch)), "{asked:?}");
    // Not again before it is answered.
    assert!(!asks(&told.later(500_000)));
}

#[test]
fn by_default_nobody_asks() {
    let mut told = ready(settings());
    assert!(!asks(&told.later(3_600_000)));
}

#[test]
fn after_each_time_it_asks_later() {
    let mut told = ready(preferred());
    for wait in [30_000, 60_000, 120_000, 240_000] {
        assert!(!asks(&told.later(wait - 1)));
        assert!(asks(&told.later(1)), "{wait}");
        let failed = Event::AskedForRole(Err("no".to_owned()));
        assert!(!asks(&told.step(failed)));
    }
    // An hour later that is forgotten.
    told.step(worse(None));
    told.later(3_600_000);
    told.step(worse(Some(other().epoch)));
    assert!(!asks(&told.later(29_999)));
    assert!(asks(&told.later(1)));
}

#[test]
fn what_interrupts_its_readiness_makes_it_wait_anew() {
    let interruptions: [fn(&mut Told); 4] = [
        // The ACTIVE one is not known to serve.
        |told| {
            told.step(worse(None));
            told.step(worse(Some(other().epoch)));
        },
        // The mirror had to be rebuilt.
        |told| {
            told.step(Event::Mirrored {
                at: Revision(60),
                holder: held_by(other(), Kind::Own),
                in_step: false,
            });
            told.step(mirrored(61, held_by(other(), Kind::Own)));
        },
        // The own session was lost.
        |told| {
            told.step(Event::SessionGone);
            told.step(Event::Registered(LeaseId(91), at(99_999_999)));
        },
        // Automatic changes were paused.
        |told| {
            told.step(Event::Paused(Some(at(999_999))));
            told.step(Event::Paused(None));
        },
    ];
    for interrupt in interruptions {
        let mut told = ready(preferred());
        told.later(29_000);
        interrupt(&mut told);
        assert!(!asks(&told.later(29_999)));
        assert!(asks(&told.later(1)));
    }
}

#[test]
fn a_new_term_counts_anew() {
    let mut told = ready(preferred());
    told.later(29_000);
    let next = Victim { epoch: Epoch(70), server_id: ServerId(8) };
    told.step(mirrored(70, held_by(next, Kind::Own)));
    told.step(worse(Some(next.epoch)));
    assert!(!asks(&told.later(29_999)));
    assert!(told.later(1).contains(&Action::AskForRole(next.epoch)));
}

#[test]
fn while_paused_it_does_not_ask() {
    let mut told = ready(preferred());
    told.step(Event::Paused(Some(at(600_000))));
    assert!(!asks(&told.later(599_999)));
}
