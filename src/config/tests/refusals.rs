//! What is refused, and how it is told.

use super::*;

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_place() {
    assert_eq!(
        refused(
            "rootCoord:\n  port: 70000\n  activeStandby:\n    leaseSeconds: 1\nlog:\n  format: xml\n",
            &[
                ("ROOT_COORD_ENABLE_ACTIVE_STANDBY", "yes"),
                ("METRICS_PORT", "web"),
                ("ETCD_ENDPOINTS", "etcd, b:1")
            ],
        ),
        [
            "environment variable ETCD_ENDPOINTS: etcd.endpoints is \"etcd, b:1\"; it must be `host:port`, or \
             several separated by commas without blanks",
            "milvus.yaml:2: rootCoord.port is \"70000\"; it must be a whole number from 0 to 65535",
            "environment variable ROOT_COORD_ENABLE_ACTIVE_STANDBY: rootCoord.enableActiveStandby is \"yes\"; \
             it must be true or false",
            "milvus.yaml:4: rootCoord.activeStandby.leaseSeconds is \"1\"; it must be a whole number from 2 to 3600",
            "milvus.yaml:6: log.format is \"xml\"; it must be one of text, json",
            "environment variable METRICS_PORT: the port for HTTP is \"web\"; it must be a whole number from 0 to \
             65535",
        ]
    );
}

#[test]
fn a_broken_file_and_a_wrong_variable_are_told_together() {
    let problems = refused("etcd:\n  endpoints: [a:1\n", &[("ROOTCOORD_PORT", "x")]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("milvus.yaml:3: not valid YAML"), "{problems:?}");
    assert!(problems[1].contains("ROOTCOORD_PORT"), "{problems:?}");
}

#[test]
fn settings_that_need_each_other_are_held_together() {
    assert_eq!(
        refused("etcd:\n  ssl: {enabled: true, tlsCert: /a.pem}\n  auth: {enabled: true}\n", &[]),
        [
            "etcd.ssl.tlsKey must be set, because etcd.ssl.tlsCert is",
            "etcd.auth.userName must be set, because etcd.auth.enabled is true",
        ]
    );
    assert_eq!(
        refused("rootCoord: {activeStandby: {proofWindowMs: 2000, leaseSeconds: 2}}\n", &[]),
        ["milvus.yaml:1: rootCoord.activeStandby.proofWindowMs must be shorter than leaseSeconds"]
    );
    assert_eq!(refused("etcd: {use: {embed: true}}\nmetastore: {type: tikv}\n", &[]).len(), 2);
}

#[test]
fn the_settings_of_another_role_do_not_keep_this_one_from_starting() {
    load("dataCoord: {port: wrong}\nqueryNode: {port: wrong}\n", &[]);
}

#[test]
fn only_a_named_file_must_exist() {
    let missing = |config: Option<&str>| Sources {
        config: config.map(Into::into),
        environment: vec![("MILVUSCONF".into(), "/nonexistent".into())],
        working_directory: "/".into(),
    };
    let config = Config::load(&missing(None), Role::RootCoord).unwrap();
    assert_eq!(config.notes[0].text, "no configuration file in /nonexistent: defaults count");
    let error = Config::load(&missing(Some("/nonexistent/x.yaml")), Role::RootCoord).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/x.yaml: No such file"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = Config::load(&missing(empty.path().to_str()), Role::RootCoord).unwrap_err();
    assert!(error.to_string().contains("holds none of milvus.yaml"), "{error}");
}

#[test]
fn config_takes_the_place_of_milvusconf_as_file_or_folder() {
    let (named, other) = (folder("etcd: {rootPath: named}\n"), folder("etcd: {rootPath: other}\n"));
    let file = named.path().join("milvus.yaml");
    for config in [named.path(), file.as_path()] {
        let sources = Sources { config: Some(config.into()), ..sources(&other, &[]) };
        let config = Config::load(&sources, Role::RootCoord).unwrap();
        assert_eq!(config.settings.etcd.root_path, "named");
        assert_eq!(config.files, std::slice::from_ref(&file));
    }
}

#[test]
fn without_milvusconf_the_folder_is_configs_below_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("configs")).unwrap();
    std::fs::write(folder.path().join("configs/milvus.yaml"), "etcd: {rootPath: here}\n").unwrap();
    let sources = Sources { working_directory: folder.path().into(), ..Sources::default() };
    assert_eq!(Config::load(&sources, Role::RootCoord).unwrap().settings.etcd.root_path, "here");
}

#[test]
fn garbage_is_an_error_that_names_the_file() {
    let long = format!("a: {}\n", "x".repeat(3 << 20)).into_bytes();
    for (garbage, what) in [
        (b"a: 1\nb: \xff\xfe\n".to_vec(), "line 2 is not UTF-8"),
        (vec![0; 64], "not valid YAML"),
        (long, "longer than"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("milvus.yaml"), garbage).unwrap();
        let error = Config::load(&sources(&folder, &[]), Role::RootCoord).unwrap_err().to_string();
        assert!(error.contains("milvus.yaml:") && error.contains(what), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("milvus.yaml")).unwrap();
    let error = Config::load(&sources(&folder, &[]), Role::RootCoord).unwrap_err().to_string();
    assert!(error.contains("milvus.yaml: Is a directory"), "{error}");
}

/// Every number of the table at its bounds: the types that it is read as must hold it.
#[test]
fn no_allowed_number_is_too_large_for_its_type() {
    for item in table::items() {
        let Kind::Number { least, most } = item.kind else { continue };
        for value in [least, most] {
            let store = store("", &[]);
            store.set(item.key, value.to_string());
            for role in Role::ALL {
                let _ = Settings::read(&store, role);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_value_can_make_it_panic(key in prop::sample::select(table::items().map(|item| item.key).collect::<Vec<_>>()), value: String) {
        let store = store("", &[]);
        store.set(key, value);
        for role in Role::ALL {
            let _ = Settings::read(&store, role);
        }
        store.show("", Role::RootCoord);
    }
}
