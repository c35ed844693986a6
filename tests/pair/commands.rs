//! What an operator types.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use milvus_coord_testbed::{bed::Bed, instance::Instance, load::Load};
use serde_json::Value;
use tokio::process::Command;

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

/// Runs a command with the settings of the bed's cluster, to its end.
pub(crate) async fn milvus_coord(bed: &Bed, arguments: &[&str], port: Option<u16>) -> Output {
    let mut command = Command::new(PROGRAM);
    let endpoints: Vec<String> = bed.etcd.endpoints().iter().map(|e| e.replace("http://", "")).collect();
    command.args(arguments).env_clear().env("ETCD_ENDPOINTS", endpoints.join(",")).stdin(Stdio::null());
    command.current_dir(bed.etcd.folder()).kill_on_drop(true);
    if let Some(port) = port {
        command.env("ROOTCOORD_PORT", port.to_string());
    }
    tokio::time::timeout(SOON, command.output()).await.expect("the command ends").expect("the command starts")
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub(crate) fn rows(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(output)))
}

/// The row of `status --json` for an instance.
pub(crate) async fn status_of(bed: &Bed, instance: &Instance) -> Value {
    let all = rows(&milvus_coord(bed, &["status", "--json"], None).await);
    let is_it = |row: &&Value| row["address"] == instance.address();
    all.iter().find(is_it).unwrap_or_else(|| panic!("{} is not in {all:#?}", instance.address())).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_who_is_active_since_when_and_how_far_behind_the_other_is() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    let key = bed.active().await;
    let (active, standby) = (status_of(&bed, &first).await, status_of(&bed, &second).await);
    assert_eq!((&active["role"], &active["state"]), (&"rootcoord".into(), &"ACTIVE".into()));
    assert_eq!((&standby["role"], &standby["state"]), (&"rootcoord".into(), &"STANDBY".into()));
    assert_eq!(active["server_id"], key.server_id);
    assert_eq!(active["epoch"], key.revision);
    assert!(active["active_since_ms"].as_i64().unwrap() > 1_600_000_000_000, "{active}");
    assert!(active["software"].as_str().unwrap().starts_with("milvus-coord/"), "{active}");
    for row in [&active, &standby] {
        assert!((0..=5).contains(&row["lease_left_s"].as_i64().unwrap()), "{row}");
    }
    assert!(standby["lag_revisions"].as_i64().unwrap() <= 5, "{standby}");

    let table = milvus_coord(&bed, &["status"], None).await;
    assert_eq!(table.status.code(), Some(0));
    let table = text(&table);
    for word in ["ACTIVE", "STANDBY", &first.address(), &second.address()] {
        assert!(table.contains(word), "no {word} in\n{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_a_frozen_instance_as_one_that_does_not_answer() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, LONG_LEASE);
    let (_first, second) = bed.pair_of(plan("first"), plan("second")).await;
    second.process.freeze().await;
    let row = status_of(&bed, &second).await;
    assert!(row["error"].is_string(), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_without_etcd_fails_and_names_it() {
    let mut bed = Bed::new(PROGRAM).await;
    bed.etcd.kill(0);
    let output = milvus_coord(&bed, &["status"], None).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let port = bed.etcd.client_port(0).to_string();
    assert!(text(&output).contains(&port), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_the_state_by_its_exit_code() {
    let mut bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    for (instance, code) in [(&first, 0), (&second, 1)] {
        let local = milvus_coord(&bed, &["health", "rootcoord"], Some(instance.port())).await;
        assert_eq!(local.status.code(), Some(code), "{}", text(&local));
        let named =
            milvus_coord(&bed, &["health", "rootcoord", "--address", &instance.address()], None).await;
        assert_eq!(named.status.code(), Some(code), "{}", text(&named));
    }
    let gone = second.address();
    second.kill().await;
    let output = milvus_coord(&bed, &["health", "rootcoord", "--address", &gone], None).await;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));

    bed.etcd.kill(0);
    let waiting = bed.plan("waiting").start();
    waiting.says("etcd", SOON).await;
    let output = milvus_coord(&bed, &["health", "rootcoord", "--address", &waiting.address()], None).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn switchover_changes_the_roles_without_a_failed_call_and_back() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.elsewhere(name).set(LEASE, LONG_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let ids = [bed.session_of(&first).await.server_id, bed.session_of(&second).await.server_id];
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;
    for (round, to) in [&second, &first, &second].into_iter().enumerate() {
        client.create_database(&format!("d{round}")).await.unwrap();
        let from = if to.address() == first.address() { &second } else { &first };
        let mark = from.process.log.mark();
        let output = milvus_coord(&bed, &["switchover", "rootcoord"], None).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert_eq!(bed.active().await.address, to.address());
        load.successes(100, SOON).await;
        from.process.log.wait(mark, "rootcoord is in STANDBY ...", SOON).await;
        // Milvus's clients replace a connection once a second at most: more often and they
        // would wait longer than one pause.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    let most = history.calls.iter().map(|call| call.attempts).max().unwrap();
    assert!(most <= 2, "a client was pushed on {most} times for one call");
    assert_eq!(client.list_databases().await.unwrap(), ["d0", "d1", "d2", "default"]);
    for (instance, id) in [&first, &second].into_iter().zip(ids) {
        assert!(instance.process.ended().is_none());
        assert_eq!(bed.session_of(instance).await.server_id, id, "the processes go on");
    }
    assert_eq!(bed.audit().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn switchover_to_a_named_standby_chooses_that_one() {
    let bed = Bed::new(PROGRAM).await;
    let (_first, _second) = bed.pair().await;
    let third = bed.plan("third").start();
    third.standby().await;
    let id = bed.session_of(&third).await.server_id.to_string();
    let output = milvus_coord(&bed, &["switchover", "rootcoord", "--to", &id], None).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    bed.wait_active(&third, FAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switchover_without_a_standby_fails_and_disturbs_nobody() {
    let bed = Bed::new(PROGRAM).await;
    let only = bed.plan("only").start();
    only.serves(SOON).await;
    let term = bed.active().await;
    let load = Load::under_way(&bed.client().await, 100, SOON).await;
    for arguments in [&["switchover", "rootcoord"][..], &["switchover", "rootcoord", "--to", "999"]] {
        let output = milvus_coord(&bed, arguments, None).await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("standby"), "{}", text(&output));
    }
    load.successes(100, SOON).await;
    let history = load.stop().await;
    history.assert_no_failures();
    assert!(history.calls.iter().all(|call| call.attempts == 1), "no call was pushed away");
    assert_eq!(bed.active().await.revision, term.revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_know_every_command() {
    let bed = Bed::around(PROGRAM, milvus_coord_testbed::etcd::Etcd::prepare(Default::default()).unwrap());
    for shell in ["bash", "zsh", "fish"] {
        let output = milvus_coord(&bed, &["completions", shell], None).await;
        assert_eq!(output.status.code(), Some(0));
        for command in ["run", "status", "history", "switchover", "pause", "resume", "health", "config"] {
            assert!(text(&output).contains(command), "{shell}: no {command}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_refused_at_start_and_found_by_config_check() {
    let bed = Bed::new(PROGRAM).await;
    let wrong = bed.plan("wrong").set(LEASE, "soon").start();
    assert_eq!(wrong.process.exit(SOON).await.code, Some(2));
    wrong.says("leaseSeconds", SOON).await;
    wrong.says("COMMON_ACTIVESTANDBY_LEASESECONDS", SOON).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("milvus.yaml");
    std::fs::write(&file, "common:\n  activeStandby:\n    leaseSeconds: soon\n").unwrap();
    let file = file.display().to_string();
    let output = milvus_coord(&bed, &["config", "check", "--config", &file], None).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("leaseSeconds") && text(&output).contains("milvus.yaml:3"),
        "{}",
        text(&output)
    );
}
