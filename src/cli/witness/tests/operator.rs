//! Pauses, preferred standbys, and what the history gets.

use super::*;
use crate::election::history::StageTimes;

#[test]
fn a_pause_is_told_with_its_reason_and_so_is_what_it_keeps_from_happening() {
    let driver = Driver::new(true);
    let pause = Pause {
        since_ms: 0,
        until_ms: 1_795_224_737_123,
        reason: "new kernel".to_owned(),
        by: "root@a".to_owned(),
    };
    let lines = lines_after(
        &driver,
        into_standby(Some(victim())),
        vec![Note::Paused(Some(pause)), Note::ProcessGone(VICTIM.server_id), Note::Held(VICTIM)],
    );
    assert_eq!(driver.series("milvus_coord_paused"), ["milvus_coord_paused 1"]);
    // The time is of the local zone.
    let (until, rest) = lines[0].split_once("] [by=").unwrap();
    assert!(
        until.starts_with(r#"[WARN] ["automatic takeover of rootcoord is paused"] [until="2026-11-2"#),
        "{until}"
    );
    assert_eq!(rest, r#"root@a] [reason="new kernel"]"#);
    assert_eq!(
        lines[1..],
        [
            r#"[WARN] ["the ACTIVE rootcoord is gone, and automatic takeover is paused: not taking over"] [victim=15] [victimEpoch=150]"#
        ]
    );
    assert_eq!(
        lines_of(LogLevel::Debug, || driver.notes([Note::Paused(None)])),
        [r#"[INFO] ["automatic takeover of rootcoord is no longer paused"]"#]
    );
    assert_eq!(driver.series("milvus_coord_paused"), ["milvus_coord_paused 0"]);
}

#[test]
fn who_asks_for_the_role_says_whom_and_what_came_of_it() {
    let driver = Driver::new(true);
    let refused = Note::AskedForRole(Err("no standby".to_owned()));
    assert_eq!(
        lines_after(
            &driver,
            into_standby(Some(victim())),
            vec![Note::AsksForRole(VICTIM), refused, Note::AskedForRole(Ok(EPOCH))],
        ),
        [
            r#"[INFO] ["preferred to the ACTIVE rootcoord: asking it to hand over"] [holder=15] [address=10.0.0.15:53100]"#,
            r#"[WARN] ["the ACTIVE rootcoord has not handed over to this preferred one"] [reason="no standby"]"#,
            r#"[INFO] ["the ACTIVE rootcoord has handed over to this preferred one"] [epoch=168]"#,
        ]
    );
}

/// What the history gets of a takeover after `news`.
fn course_after(holder: Option<Holder>, news: Vec<Note>) -> Course {
    let driver = Driver::new(true);
    lines_of(LogLevel::Debug, || {
        driver.notes([into_standby(holder), news, into_service()].concat());
    });
    assert_eq!(driver.telling.course(Epoch(1)), None, "another term");
    let course = driver.telling.course(EPOCH).unwrap();
    assert_eq!(driver.telling.course(EPOCH), None, "told once");
    course
}

#[test]
fn the_history_gets_who_why_and_how_long() {
    let from = Some((VICTIM.server_id, "10.0.0.15:53100".to_owned()));
    let killed = vec![Note::ProcessGone(VICTIM.server_id), Note::Campaign(Some(VICTIM), Certainty::Certain)];
    let micros = |micros| Some(Duration::from_micros(micros));
    assert_eq!(
        course_after(Some(victim()), killed),
        Course {
            reason: Reason::Certain,
            from: from.clone(),
            stages: StageTimes {
                detected: micros(100),
                deposed: micros(0),
                won: micros(100),
                caught_up: micros(300),
                serving: micros(100),
            },
            total: Duration::from_micros(500),
        }
    );
    // The key was gone before the campaign: its last holder is remembered.
    let gone = vec![changed(None, 167, true), Note::Campaign(None, Certainty::Silence)];
    let silent = course_after(Some(victim()), gone);
    assert_eq!((silent.reason, silent.from), (Reason::Silence, from.clone()));
    let handed = course_after(Some(victim()), vec![Note::Campaign(Some(VICTIM), Certainty::HandedOver)]);
    assert_eq!((handed.reason, handed.from), (Reason::HandOver, from));
    let first = course_after(None, vec![Note::Campaign(None, Certainty::Silence)]);
    assert_eq!((first.reason, first.from), (Reason::Start, None));
}
