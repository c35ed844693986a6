//! Secrets appear nowhere.

use super::*;

#[test]
fn secrets_appear_nowhere() {
    let file = format!(
        "etcd:\n  auth: {{enabled: true, userName: u, password: {SECRET}}}\nminio: {{secretAccessKey: {SECRET}}}\n"
    );
    let config = load(&file, &[("KAFKA_SASLPASSWORD", SECRET), ("SOME_TOKEN", SECRET)]);
    assert_eq!(config.settings.etcd.auth.as_ref().unwrap().password.expose(), SECRET);
    let folder = folder(&file);
    let sources =
        sources(&folder, &[("KAFKA_SASLPASSWORD", SECRET), ("ETCD_ENDPOINTS", "http://u:hunter2@e:1")]);
    let report = check(&sources);
    let shown = format!("{config:?} {:?} {sources:?} {report:?}", config.store.show("", Role::RootCoord));
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn a_wrong_value_with_a_secret_in_it_is_refused_without_it() {
    let problems = refused("etcd:\n  endpoints: http://u:hunter2@e:1\n", &[]);
    assert_eq!(
        problems,
        ["milvus.yaml:2: etcd.endpoints is \"http://******@e:1\"; it must not contain a user; use \
          etcd.auth.userName and etcd.auth.password"]
    );
}
