//! Ends of terms.

use super::*;

fn check_end(notes: Vec<Note>, expected: &[&str]) {
    let driver = Driver::new(true);
    let before = [into_standby(None), vec![Note::Campaign(None, Certainty::Silence)], into_service()];
    assert_eq!(lines_after(&driver, before.concat(), notes), expected);
}

#[test]
fn the_end_of_a_term_has_its_cause() {
    let over = |cause: &str| format!(r#"[WARN] ["the term is over"] [epoch=168] [cause={cause}]"#);
    let lost = r#"[WARN] ["connection lost detected, shuting down"]"#;
    check_end(
        vec![changed(None, 170, true), Note::TermEnded(EPOCH, Loss::Deposed), Note::Ended(Exit::TermLost)],
        &[
            r#"[INFO] ["session key is deleted, exit..."] [role=rootcoord] [key=by-dev/meta/session/rootcoord]"#,
            lost,
            &over("key_deleted"),
            r#"[ERROR] ["Root Coord disconnected from etcd, process will exit"] ["Server Id"=19]"#,
        ],
    );
    let next = holder(Victim { epoch: Epoch(171), server_id: ServerId(23) }, Kind::Own);
    check_end(
        vec![changed(Some(next), 171, true), Note::TermEnded(EPOCH, Loss::Deposed)],
        &[&over("deposed")],
    );
    check_end(
        vec![Note::LeaseGone(LeaseId(7)), Note::TermEnded(EPOCH, Loss::LeaseGone)],
        &[
            r#"[WARN] ["the lease of the session is over, registering again"] [serverID=19] [leaseID=7]"#,
            lost,
            &over("lease_lost"),
        ],
    );
    check_end(vec![Note::TermEnded(EPOCH, Loss::ForeignWrite)], &[&over("foreign_write")]);
    check_end(
        vec![
            Note::ActivationFailed(EPOCH, "the window is unusable".to_owned()),
            Note::TermEnded(EPOCH, Loss::ActivationFailed),
        ],
        &[
            r#"[ERROR] ["rootcoord could not begin to serve"] [epoch=168] [reason="the window is unusable"]"#,
            &over("activation_failed"),
        ],
    );
    check_end(
        vec![Note::Leaving(0), Note::TermEnded(EPOCH, Loss::Left(LeaveCause::Signal))],
        &[
            r#"[INFO] ["ending, and no standby is there: the ACTIVE key is given back"]"#,
            r#"[INFO] ["the term is over"] [epoch=168] [cause=stopped]"#,
        ],
    );
    check_end(
        vec![Note::HandedOver(Err("no answer within 3s".to_owned()))],
        &[
            r#"[WARN] ["the ACTIVE key could not be handed over and is given back"] [reason="no answer within 3s"]"#,
            r#"[INFO] ["the term is over"] [epoch=168] [cause=stopped]"#,
        ],
    );
}

#[test]
fn a_lost_term_is_followed_by_standby() {
    let driver = Driver::new(true);
    let next = || holder(Victim { epoch: Epoch(171), server_id: ServerId(23) }, Kind::Own);
    let before = [
        into_standby(None),
        vec![Note::Campaign(None, Certainty::Silence)],
        into_service(),
        vec![changed(Some(next()), 171, true), Note::TermEnded(EPOCH, Loss::Deposed)],
    ];
    let active = Some((Peer { server_id: ServerId(23), address: next().address }, Epoch(171)));
    let lines = lines_after(
        &driver,
        before.concat(),
        vec![
            Note::Stands(Standing::Standby { active }),
            registered(true),
            Note::Standby(Some(next()), Revision(172)),
        ],
    );
    let texts: Vec<_> = lines.iter().map(|line| line.split('"').nth(1).unwrap()).collect();
    assert_eq!(
        texts,
        [
            "update rootcoord state",
            "put session key into etcd",
            "Service registered successfully",
            "serverName: rootcoord enter STANDBY mode",
            "serverName: rootcoord is in STANDBY ...",
            "try to register as ACTIVE rootcoord service...",
            "ACTIVE rootcoord has already been registered",
            "rootcoord start to watch ACTIVE key by-dev/meta/session/rootcoord",
        ]
    );
}
