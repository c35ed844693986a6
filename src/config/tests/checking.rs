//! `config check`.

use super::*;

const FILE: &str = include_str!("../fixture.yaml");

/// The keys and values of a Milvus 2.3 file, as far as they matter here.
#[test]
fn a_file_of_milvus_works_and_no_key_of_it_is_unknown() {
    let folder = folder(FILE);
    let report = check(&sources(&folder, &[]));
    assert_eq!(report.problems, []);
    assert_eq!(report.notes.len(), 1, "only the session's lease: {:?}", report.notes);
    let settings = Config::load(&sources(&folder, &[]), Role::QueryCoord).unwrap().settings;
    assert_eq!(settings.node.port, 19531);
    assert_eq!(settings.node.ip, None);
    assert_eq!(settings.queue, Some(QueueSettings::Pulsar(PulsarSettings::default())));
    assert!(settings.etcd.tls.is_none());
}

#[test]
fn unknown_keys_have_a_place_and_their_nearest() {
    let folder = folder("rootCoord:\n  prot: 1\nmy:\n  own: 2\nkafka:\nrootCoord.address: x\n");
    let path = format!("{}/", folder.path().display());
    let report = check(&sources(&folder, &[("ETCD_ENDPOINT", "x"), ("HOME", "/root")]));
    let warnings: Vec<_> = report.notes.iter().map(|note| note.text.replace(&path, "")).collect();
    assert_eq!(
        warnings,
        [
            "rootCoord.address (milvus.yaml:6) is ignored: coordinators find each other by their sessions in etcd",
            "environment variable ETCD_ENDPOINT is no setting; did you mean the one for etcd.endpoints?",
            "milvus.yaml:2: unknown key rootCoord.prot; did you mean rootCoord.port?",
            "milvus.yaml:4: unknown key my.own",
        ]
    );
}

#[test]
fn every_value_has_its_source() {
    let folder = folder("common:\n  activeStandby: {leaseSeconds: 9}\n");
    let path = format!("{}/", folder.path().display());
    let report = check(&sources(&folder, &[("ROOT_COORD_PORT", "1")]));
    let source = |key: &str| {
        let value = report.values.iter().find(|value| value.key == key).unwrap();
        (value.value.clone(), value.source.replace(&path, ""))
    };
    assert_eq!(source("rootCoord.port"), ("1".into(), "environment variable ROOT_COORD_PORT".into()));
    assert_eq!(source("dataCoord.port"), ("13333".into(), "default".into()));
    assert_eq!(
        source("rootCoord.activeStandby.leaseSeconds"),
        ("9".into(), "milvus.yaml:2 (common.activeStandby.leaseSeconds)".into())
    );
}

#[test]
fn the_same_problem_of_all_roles_is_told_once() {
    let folder = folder("log: {level: loud}\ndataCoord: {port: x}\n");
    assert_eq!(check(&sources(&folder, &[])).problems.len(), 2);
}
