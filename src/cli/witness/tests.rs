mod ends;
mod operator;

use std::sync::Arc;

use super::*;
use crate::{
    election::{life::LeaveCause, session::Kind},
    ids::LeaseId,
    telemetry::{
        log::LogLevel,
        metrics::{LiveFigures, Metrics},
        testing::{Stopped, lines_of},
    },
};

const OWN: ServerId = ServerId(19);
const VICTIM: Victim = Victim { epoch: Epoch(150), server_id: ServerId(15) };
const EPOCH: Epoch = Epoch(168);
const ACTIVE_KEY: &str = "by-dev/meta/session/rootcoord";

/// The sender of notes: a clock that goes on by 100 µs with each.
struct Driver {
    telling: Telling,
    micros: Mutex<u64>,
}

impl Driver {
    fn new(active_standby: bool) -> Self {
        let role = Role::RootCoord;
        let settings = TellingSettings {
            role,
            active_standby,
            keys: Keys::new("by-dev", "meta", "kv"),
            address: "127.0.0.1:53101".to_owned(),
        };
        let events = Events::new(role, Metrics::new(role, &Stopped));
        Self { telling: Telling::new(settings, events, None), micros: Mutex::new(0) }
    }

    fn later(&self, by: Duration) {
        *self.micros.lock() += u64::try_from(by.as_micros()).unwrap();
    }

    fn notes(&self, notes: impl IntoIterator<Item = Note>) {
        for note in notes {
            self.later(Duration::from_micros(100));
            let at = BootInstant::from_boot(Duration::from_micros(*self.micros.lock()));
            self.telling.note(at, &note);
        }
    }

    fn series(&self, part: &str) -> Vec<String> {
        let metrics = Arc::clone(self.telling.0.lock().events.metrics());
        let text = metrics.render(&LiveFigures::default());
        text.lines().filter(|line| line.contains(part) && !line.starts_with('#')).map(str::to_owned).collect()
    }
}

fn holder(victim: Victim, kind: Kind) -> Holder {
    Holder { victim, kind, lease: LeaseId(5), address: format!("10.0.0.{}:53100", victim.server_id) }
}

fn victim() -> Holder {
    holder(VICTIM, Kind::Own)
}

fn changed(holder: Option<Holder>, at: i64, last_gone: bool) -> Note {
    Note::HolderChanged { holder, at: Revision(at), last_gone }
}

fn session() -> Session {
    Session::coordinator(Role::RootCoord, OWN, "127.0.0.1:53101".into(), "h".into()).with_lease(LeaseId(7))
}

fn registered(active_standby: bool) -> Note {
    let key = active_standby.then(|| "by-dev/meta/session/rootcoord-19".to_owned());
    Note::Registered { lease: LeaseId(7), key, session: session() }
}

/// From the start to standby beside that holder.
fn into_standby(holder: Option<Holder>) -> Vec<Note> {
    let mut notes =
        vec![Note::EtcdAnswers, Note::Begun(OWN), Note::Stands(Standing::Standby { active: None })];
    if holder.is_some() {
        notes.push(changed(holder.clone(), 160, false));
    }
    notes.extend([registered(true), Note::Standby(holder, Revision(160))]);
    notes
}

/// From the win to serving, with what the driver does in between.
fn into_service() -> Vec<Note> {
    vec![
        Note::Won(EPOCH),
        Note::Stands(Standing::Activating { epoch: EPOCH }),
        changed(Some(holder(Victim { epoch: EPOCH, server_id: OWN }, Kind::Own)), EPOCH.0, false),
        Note::CaughtUp(EPOCH),
        Note::Stands(Standing::Active { epoch: EPOCH }),
        Note::Serving(EPOCH),
    ]
}

/// The lines of `later`, which comes after `before`.
fn lines_after(driver: &Driver, before: Vec<Note>, later: Vec<Note>) -> Vec<String> {
    lines_of(LogLevel::Debug, || driver.notes(before));
    lines_of(LogLevel::Debug, || driver.notes(later))
}

#[test]
fn a_whole_life_is_told_in_the_order_of_milvus() {
    let driver = Driver::new(true);
    let lines = lines_of(LogLevel::Debug, || {
        driver.notes(into_standby(Some(victim())));
        driver.later(Duration::from_secs(10));
        driver.notes([Note::Standby(Some(victim()), Revision(166))]);
        driver.notes([Note::ProcessGone(VICTIM.server_id), Note::Campaign(Some(VICTIM), Certainty::Certain)]);
        driver.notes(into_service());
        driver.notes([Note::Stands(Standing::Suspended { epoch: EPOCH }), Note::Suspended(true)]);
        driver.notes([Note::Stands(Standing::Active { epoch: EPOCH }), Note::Suspended(false)]);
        let to = Peer { server_id: ServerId(23), address: "10.0.0.23:53100".to_owned() };
        driver.notes([
            Note::Leaving(1),
            Note::Stands(Standing::HandingOver { epoch: EPOCH }),
            Note::HandedOver(Ok(Epoch(180))),
            Note::Stands(Standing::Forwarding { to, epoch: Epoch(180) }),
            Note::Stands(Standing::Leaving { active: None }),
            Note::Ended(Exit::Done),
        ]);
    });
    let value = String::from_utf8(session().encode()).unwrap().replace('"', "\\\"");
    let registered = format!(
        r#"[INFO] ["put session key into etcd"] [key=by-dev/meta/session/rootcoord-19] [value="{value}"]"#
    );
    let expected = [
        r#"[INFO] ["etcd answers"] [waited=0s]"#,
        r#"[INFO] ["start server"] [name=rootcoord] [address=127.0.0.1:53101] [id=19]"#,
        r#"[INFO] ["update rootcoord state"] [state=StandBy]"#,
        r#"[INFO] ["RootCoord enter standby mode successfully"]"#,
        &registered,
        r#"[INFO] ["Service registered successfully"] [ServerName=rootcoord] [serverID=19]"#,
        r#"[INFO] ["serverName: rootcoord enter STANDBY mode"]"#,
        r#"[INFO] ["serverName: rootcoord is in STANDBY ..."]"#,
        r#"[INFO] ["try to register as ACTIVE rootcoord service..."]"#,
        r#"[INFO] ["ACTIVE rootcoord has already been registered"]"#,
        r#"[INFO] ["rootcoord start to watch ACTIVE key by-dev/meta/session/rootcoord"]"#,
        r#"[INFO] ["serverName: rootcoord is in STANDBY ..."]"#,
        r#"[DEBUG] ["watch the ACTIVE key"] [DELETE="key:\"by-dev/meta/session/rootcoord\" mod_revision:150 "]"#,
        r#"[DEBUG] ["watch the ACTIVE key"] [DELETE="key:\"by-dev/meta/session/rootcoord-15\" mod_revision:150 "]"#,
        r#"[INFO] ["stop watching ACTIVE key"]"#,
        r#"[INFO] ["stop watching ACTIVE key by-dev/meta/session/rootcoord"]"#,
        r#"[INFO] ["the ACTIVE rootcoord is gone, taking over"] [verdict=certain] [victim=15] [victimEpoch=150]"#,
        r#"[INFO] ["start retrying to register as ACTIVE service..."]"#,
        r#"[INFO] ["try to register as ACTIVE rootcoord service..."]"#,
        r#"[INFO] ["register ACTIVE service successfully"] [ServerID=19]"#,
        r#"[INFO] ["register ACTIVE rootcoord"]"#,
        r#"[INFO] ["quit STANDBY mode, this node will become ACTIVE"]"#,
        r#"[INFO] ["serverName: rootcoord quit STANDBY mode, this node will become ACTIVE, ID: 19"]"#,
        r#"[INFO] ["rootcoord switch from standby to active, activating"]"#,
        r#"[INFO] ["RootCoord switch from standby to active, activating"]"#,
        r#"[INFO] ["update rootcoord state"] [state=Initializing]"#,
        r#"[INFO] ["init rootcoord done"] [nodeID=19] [Address=127.0.0.1:53101]"#,
        r#"[INFO] ["takeover done"] [verdict=certain] [epoch=168] [detected=100µs] [deposed=0s] [won=100µs] [caughtUp=300µs] [serving=100µs] [total=500µs]"#,
        r#"[INFO] ["update rootcoord state"] [state=Healthy]"#,
        r#"[INFO] ["rootcoord startup successfully"]"#,
        r#"[INFO] ["RootCoord startup success"] [address=127.0.0.1:53101]"#,
        r#"[INFO] ["RootCoord Register Finished"]"#,
        r#"[DEBUG] ["RootCoord start done ..."]"#,
        r#"[INFO] ["RootCoord successfully started"]"#,
        r#"[INFO] ["update rootcoord state"] [state=Abnormal]"#,
        r#"[WARN] ["etcd has not confirmed the term in time: answers wait until it does"] [epoch=168]"#,
        r#"[INFO] ["update rootcoord state"] [state=Healthy]"#,
        r#"[INFO] ["etcd has confirmed the term: answers go on"] [epoch=168] [after=200µs]"#,
        r#"[INFO] ["ending: a standby takes over"] [standbys=1]"#,
        r#"[INFO] ["update rootcoord state"] [state=Abnormal]"#,
        r#"[INFO] ["the ACTIVE key is handed over, the successor serves"] [epoch=180]"#,
        r#"[INFO] ["the term is over"] [epoch=168] [cause=handed_over]"#,
        r#"[INFO] ["update rootcoord state"] [state=Abnormal]"#,
        r#"[INFO] ["update rootcoord state"] [state=Abnormal]"#,
    ];
    assert_eq!(lines, expected);
    assert_eq!(driver.series(r#"phase="leaving""#), [r#"milvus_coord_phase{phase="leaving"} 1"#]);
    assert_eq!(driver.series("etcd_available"), ["milvus_coord_etcd_available 1"]);
    let mut changes = driver.series("term_changes");
    changes.retain(|line| !line.ends_with(" 0"));
    assert_eq!(
        changes,
        [
            r#"milvus_coord_term_changes_total{cause="certain",change="begin"} 1"#,
            r#"milvus_coord_term_changes_total{cause="handed_over",change="end"} 1"#,
        ]
    );
}

/// What is said from the first news to the win, and what the takeover was measured to be.
#[track_caller]
fn check_takeover(holder: Holder, news: Vec<Note>, until_won: &[&str], measured: &str) {
    let driver = Driver::new(true);
    lines_of(LogLevel::Debug, || driver.notes(into_standby(Some(holder))));
    assert_eq!(lines_of(LogLevel::Debug, || driver.notes(news)), until_won);
    let lines = lines_of(LogLevel::Debug, || driver.notes(into_service()));
    let done = lines.iter().find(|line| line.contains("takeover done")).unwrap();
    assert_eq!(done, &format!(r#"[INFO] ["takeover done"] {measured}"#));
}

const DELETED: &str =
    r#"[DEBUG] ["watch the ACTIVE key"] [DELETE="key:\"by-dev/meta/session/rootcoord\" mod_revision:167 "]"#;
const SESSION_DELETED: &str = r#"[DEBUG] ["watch the ACTIVE key"] [DELETE="key:\"by-dev/meta/session/rootcoord-15\" mod_revision:167 "]"#;
const STOPPED: [&str; 2] = [
    r#"[INFO] ["stop watching ACTIVE key"]"#,
    r#"[INFO] ["stop watching ACTIVE key by-dev/meta/session/rootcoord"]"#,
];
const RETRYING: &str = r#"[INFO] ["start retrying to register as ACTIVE service..."]"#;
const TRYING: &str = r#"[INFO] ["try to register as ACTIVE rootcoord service..."]"#;

#[test]
fn silence_is_told_by_the_deletion_that_was_seen() {
    check_takeover(
        victim(),
        vec![changed(None, 167, true), Note::Campaign(None, Certainty::Silence)],
        &[
            DELETED,
            SESSION_DELETED,
            STOPPED[0],
            STOPPED[1],
            r#"[INFO] ["the ACTIVE rootcoord is gone, taking over"] [verdict=silence] [victim=15] [victimEpoch=150]"#,
            RETRYING,
            TRYING,
        ],
        "[verdict=silence] [epoch=168] [won=100µs] [caughtUp=300µs] [serving=100µs] [total=500µs]",
    );
}

#[test]
fn a_key_that_was_deleted_by_hand_leaves_the_session_out() {
    check_takeover(
        victim(),
        vec![changed(None, 167, false), Note::Campaign(None, Certainty::Silence)],
        &[
            DELETED,
            STOPPED[0],
            STOPPED[1],
            r#"[INFO] ["the ACTIVE rootcoord is gone, taking over"] [verdict=silence] [victim=15] [victimEpoch=150]"#,
            RETRYING,
            TRYING,
        ],
        "[verdict=silence] [epoch=168] [won=100µs] [caughtUp=300µs] [serving=100µs] [total=500µs]",
    );
}

#[test]
fn one_of_another_kind_is_deposed_first() {
    check_takeover(
        holder(VICTIM, Kind::Foreign),
        vec![
            Note::Hint(VICTIM),
            Note::Deposing(VICTIM),
            // The first attempt failed.
            Note::Deposing(VICTIM),
            changed(None, 167, true),
            Note::Campaign(None, Certainty::Silence),
        ],
        &[
            r#"[INFO] ["the ACTIVE rootcoord is gone, taking over"] [verdict=hint] [victim=15] [victimEpoch=150]"#,
            DELETED,
            SESSION_DELETED,
            STOPPED[0],
            STOPPED[1],
            RETRYING,
            TRYING,
        ],
        "[verdict=hint] [epoch=168] [detected=100µs] [deposed=200µs] [won=200µs] [caughtUp=300µs] \
         [serving=100µs] [total=800µs]",
    );
}

#[test]
fn one_that_hands_over_keeps_its_session() {
    check_takeover(
        victim(),
        vec![Note::Campaign(Some(VICTIM), Certainty::HandedOver)],
        &[
            r#"[DEBUG] ["watch the ACTIVE key"] [DELETE="key:\"by-dev/meta/session/rootcoord\" mod_revision:150 "]"#,
            STOPPED[0],
            STOPPED[1],
            r#"[INFO] ["the ACTIVE rootcoord hands over, taking over"] [verdict=handover] [victim=15] [victimEpoch=150]"#,
            RETRYING,
            TRYING,
        ],
        "[verdict=handover] [epoch=168] [deposed=0s] [won=100µs] [caughtUp=300µs] [serving=100µs] [total=500µs]",
    );
}

#[test]
fn an_attempt_that_etcd_did_not_take_is_repeated_and_measured_as_one() {
    let driver = Driver::new(true);
    let campaign = || Note::Campaign(Some(VICTIM), Certainty::Certain);
    let lines = lines_after(
        &driver,
        into_standby(Some(victim())),
        [vec![Note::ProcessGone(VICTIM.server_id), campaign(), campaign()], into_service()].concat(),
    );
    let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(
        (count("DELETE"), count("taking over"), count("start retrying"), count("try to")),
        (2, 1, 1, 2)
    );
    assert_eq!(count("[won=200µs]"), 1, "{lines:#?}");
}

#[test]
fn the_first_of_all_takes_a_key_that_nobody_held() {
    let driver = Driver::new(true);
    let lines = lines_after(
        &driver,
        into_standby(None),
        [vec![Note::Campaign(None, Certainty::Silence)], into_service()].concat(),
    );
    assert_eq!(
        lines[..4],
        [
            r#"[INFO] ["the ACTIVE rootcoord does not exist, taking over"] [verdict=vacant]"#,
            TRYING,
            r#"[INFO] ["register ACTIVE service successfully"] [ServerID=19]"#,
            r#"[INFO] ["register ACTIVE rootcoord"]"#,
        ]
    );
}

#[test]
fn who_loses_follows_the_winner() {
    let winner = || Some(holder(Victim { epoch: Epoch(169), server_id: ServerId(23) }, Kind::Own));
    let registered = r#"[INFO] ["ACTIVE rootcoord has already been registered"]"#;
    let watching = r#"[INFO] ["rootcoord start to watch ACTIVE key by-dev/meta/session/rootcoord"]"#;
    let gone = vec![changed(None, 167, true), Note::Campaign(None, Certainty::Silence)];

    // Etcd's answer comes first.
    let driver = Driver::new(true);
    let before = [into_standby(Some(victim())), gone.clone()].concat();
    let lost = vec![Note::CampaignLost, changed(winner(), 169, false)];
    assert_eq!(lines_after(&driver, before.clone(), lost), [registered, watching]);
    assert_eq!(lines_of(LogLevel::Debug, || driver.notes(gone)).len(), 7, "as after the first holder");

    // The mirror is faster.
    let driver = Driver::new(true);
    let lost = vec![changed(winner(), 169, false), Note::CampaignLost];
    assert_eq!(lines_after(&driver, before, lost), [TRYING, registered, watching]);
}

#[test]
fn a_holder_that_is_known_already_is_no_news() {
    let driver = Driver::new(true);
    let start = into_standby(Some(victim()));
    let (known_late, known_early) =
        (start.iter().filter(|note| !matches!(note, Note::HolderChanged { .. })), &start);
    let early = lines_of(LogLevel::Debug, || driver.notes(known_early.clone()));
    let driver = Driver::new(true);
    let late = [known_late.cloned().collect(), vec![changed(Some(victim()), 160, false)]].concat();
    assert_eq!(lines_of(LogLevel::Debug, || driver.notes(late)), early);
}

#[test]
fn a_holder_that_follows_another_is_followed() {
    let driver = Driver::new(true);
    let next = Some(holder(Victim { epoch: Epoch(169), server_id: ServerId(23) }, Kind::Own));
    assert_eq!(
        lines_after(&driver, into_standby(Some(victim())), vec![changed(next, 169, true)]),
        [
            STOPPED[0],
            STOPPED[1],
            TRYING,
            r#"[INFO] ["ACTIVE rootcoord has already been registered"]"#,
            r#"[INFO] ["rootcoord start to watch ACTIVE key by-dev/meta/session/rootcoord"]"#,
        ]
    );
}

/// How the end of a term is told, after these notes.
#[track_caller]
#[test]
fn without_active_standby_it_waits_in_plain_words_and_gives_up() {
    let driver = Driver::new(false);
    let waiting = r#"[WARN] ["ACTIVE rootcoord is held by another instance and active-standby is off: waiting for it to go"] [holder=15] [address=10.0.0.15:53100]"#;
    let lines = lines_of(LogLevel::Debug, || {
        driver.notes([
            Note::Begun(OWN),
            Note::Stands(Standing::Standby { active: None }),
            registered(false),
            Note::Standby(None, Revision(0)),
            changed(Some(victim()), 160, false),
            Note::Standby(Some(victim()), Revision(160)),
            Note::Ended(Exit::KeyHeld),
        ]);
    });
    assert_eq!(
        lines[2..],
        [waiting, waiting, r#"[ERROR] ["Register failed"] [holder=15]"#],
        "after the start and the state"
    );

    let gone = vec![changed(None, 167, true), Note::Campaign(None, Certainty::Silence)];
    let lines = lines_of(LogLevel::Debug, || driver.notes([gone, into_service()].concat()));
    assert!(lines.iter().all(|line| !line.contains("STANDBY") && !line.contains("standby")), "{lines:#?}");
    let registered = format!(r#"["put session key into etcd"] [key={ACTIVE_KEY}]"#);
    assert!(lines.iter().any(|line| line.contains(&registered)), "{lines:#?}");
}

#[test]
fn etcd_is_missed_at_once_and_then_every_ten_seconds() {
    let driver = Driver::new(true);
    let missed = || Note::EtcdAwaited("a:2379".to_owned(), "connection refused".to_owned());
    let line = |waited: &str| {
        format!(
            r#"[WARN] ["waiting for etcd"] [endpoints=a:2379] [waited={waited}] [error="connection refused"]"#
        )
    };
    let lines = lines_of(LogLevel::Debug, || {
        for _ in 0..25 {
            driver.notes([missed()]);
            driver.later(Duration::from_micros(999_900));
        }
    });
    assert_eq!(lines, [line("0s"), line("10s"), line("20s")]);
    assert_eq!(driver.series("etcd_available"), ["milvus_coord_etcd_available 0"]);
    let lines = lines_of(LogLevel::Debug, || driver.notes([Note::EtcdAnswers]));
    assert_eq!(lines, [r#"[INFO] ["etcd answers"] [waited=25s]"#]);
    assert_eq!(driver.series("etcd_available"), ["milvus_coord_etcd_available 1"]);
}

#[test]
fn proofs_are_counted() {
    let driver = Driver::new(true);
    for proof in [Proof::Confirmed, Proof::Confirmed, Proof::Failed, Proof::Refuted] {
        driver.telling.proof(proof);
    }
    assert_eq!(
        driver.series("milvus_coord_proofs_total"),
        [
            r#"milvus_coord_proofs_total{result="confirmed"} 2"#,
            r#"milvus_coord_proofs_total{result="failed"} 1"#,
            r#"milvus_coord_proofs_total{result="refuted"} 1"#,
        ]
    );
}

#[test]
fn writes_that_the_fence_kept_out_are_counted() {
    let driver = Driver::new(true);
    let lines = lines_of(LogLevel::Info, || driver.telling.write_refused(Epoch(168)));
    assert_eq!(lines, [r#"[WARN] ["etcd refused a write of a term that is over"] [epoch=168]"#]);
    assert_eq!(driver.series("deposed_writes"), ["milvus_coord_deposed_writes_total 1"]);
}

#[test]
fn reloads_and_detours_are_counted() {
    use crate::{
        election::observer::MirrorListener as _,
        etcd::{call::Header, mirror::MirrorEvent},
        rpc::gatehouse::{Hooks as _, PushAway},
    };
    let metrics = Metrics::new(Role::RootCoord, &Stopped);
    let reloads = ReloadCounter::new(Arc::clone(&metrics));
    for _ in 0..3 {
        reloads.hear(&MirrorEvent::Reset);
        reloads.hear(&MirrorEvent::Loaded(Header::default()));
    }
    assert_eq!(metrics.pair.mirror_resets.get(), 2);
    let calls = CallCounter::new(Arc::clone(&metrics));
    calls.waited("/a", Duration::from_millis(1), true);
    calls.pushed_away("/a", PushAway::NodeNotMatch);
    calls.forwarded("/b", true);
    let text = metrics.render(&LiveFigures::default());
    for outcome in ["forwarded", "held", "pushed_away"] {
        assert!(text.contains(&format!(r#"milvus_coord_calls_total{{outcome="{outcome}"}} 1"#)), "{text}");
    }
}
