//! Which source counts.

use super::*;

/// One setting in every source; from the highest to the lowest, each is then taken away.
#[test]
fn each_source_goes_before_the_next() {
    const KEY: &str = "rootCoord.grpc.serverMaxSendSize";
    let known = table::known(KEY);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, size: u32| {
        let text = format!("rootCoord: {{grpc: {{serverMaxSendSize: {size}}}}}\n");
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    let sources = |variables: &[(&str, &str)]| testing::sources(&folder, variables);
    let value = |store: &ConfigStore| store.resolve(known).value;

    write("milvus.yaml", 1);
    let store = |variables: &[(&str, &str)]| read_sources(&sources(variables)).0;
    let variables = [("ROOTCOORD_GRPC_SERVERMAXSENDSIZE", "4"), ("GRPC_SERVERMAXSENDSIZE", "9")];
    assert_eq!(value(&store(&variables[1..])), "1", "the file goes before a fallback in the environment");
    write("default.yaml", 2);
    assert_eq!(value(&store(&[])), "2");
    write("user.yaml", 3);
    assert_eq!(value(&store(&[])), "3");
    let all = store(&variables);
    assert_eq!(value(&all), "4");
    all.load_dynamic([("rootcoord/grpc/serverMaxSendSize".into(), "5".into())]);
    assert_eq!(value(&all), "5");
    all.set(KEY, "6");
    assert_eq!(value(&all), "6");
    all.hide(KEY);
    assert_eq!(value(&all), "9", "a hidden key is absent everywhere: its fallback counts");
    all.reset(KEY);
    assert_eq!(value(&all), "5");
    all.apply_dynamic("rootcoord/grpc/serverMaxSendSize", None);
    assert_eq!(value(&all), "4");
}

#[test]
fn without_anything_the_defaults_count() {
    let config = load("", &[]);
    assert_eq!(config.settings.etcd.endpoints, ["localhost:2379"]);
    assert_eq!(config.settings.etcd.meta_root, "by-dev/meta");
    assert_eq!(config.settings.etcd.kv_root, "by-dev/kv");
    assert_eq!(config.settings.etcd.config_prefix(), "by-dev/config");
    assert_eq!(config.settings.node.port, 53100);
    assert!(!config.settings.active_standby.enabled);
    assert_eq!(config.settings.active_standby.lease, Duration::from_secs(5));
    assert_eq!(config.settings.active_standby.proof_window, Duration::from_millis(100));
    assert_eq!(config.settings.channels.root_coord_time_tick, "by-dev-rootcoord-timetick");
    assert_eq!(config.settings.queue, None);
    assert_eq!(config.settings.metrics_port, None);
}

#[test]
fn an_empty_value_is_present_and_hides_fallback_and_default() {
    let store = store("msgChannel:\n  chanNamePrefix:\n    rootCoordTimeTick:\n", &[("ROOTCOORD_PORT", "")]);
    let (settings, _) = Settings::read(&store, Role::RootCoord).unwrap();
    assert_eq!(settings.channels.root_coord_time_tick, "by-dev-");
    assert_eq!(settings.node.port, 0);
}

#[test]
fn an_empty_limit_is_the_default_as_in_milvus() {
    let config = load("rootCoord: {grpc: {serverMaxSendSize: }}\ngrpc: {client: {dialTimeout: ''}}\n", &[]);
    assert_eq!(config.settings.grpc.server.send, 536_870_912);
    assert_eq!(config.settings.grpc.client.dial_timeout, Duration::from_millis(200));
}

#[test]
fn an_empty_name_that_must_be_there_is_refused() {
    assert_eq!(
        refused("etcd:\n  rootPath:\n", &[("ETCD_ENDPOINTS", "")]),
        [
            "milvus.yaml:2: etcd.rootPath is empty; it must not be empty",
            "environment variable ETCD_ENDPOINTS: etcd.endpoints is empty; it must not be empty",
        ]
    );
}

#[test]
fn a_role_goes_before_common() {
    let file = "common: {activeStandby: {leaseSeconds: 8, strict: true}}\nrootCoord: {activeStandby: {leaseSeconds: 3}}\n";
    let pair = load(file, &[]).settings.active_standby;
    assert_eq!((pair.lease, pair.strict), (Duration::from_secs(3), true));
}

proptest! {
    #[test]
    fn any_spelling_of_a_variable_sets_the_key(cuts in prop::collection::vec(any::<bool>(), 40), upper: bool) {
        let mut name = String::new();
        for (letter, cut) in "rootCoord.enableActiveStandby".replace('.', "").chars().zip(cuts) {
            if cut && !name.is_empty() {
                name.push('_');
            }
            name.push(if upper { letter.to_ascii_uppercase() } else { letter });
        }
        let store = store("rootCoord: {enableActiveStandby: false}\n", &[(&name, "true")]);
        let (settings, _) = Settings::read(&store, Role::RootCoord).unwrap();
        prop_assert!(settings.active_standby.enabled);
    }
}
