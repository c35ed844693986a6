//! What an operator can rely on, told with whole configurations.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    reader::Reader,
    testing::{self, folder, sources, store},
    *,
};

const SECRET: &str = "hunter2";

#[track_caller]
fn load(file: &str, environment: &[(&str, &str)]) -> Config {
    let folder = folder(file);
    Config::load(&sources(&folder, environment), Role::RootCoord).unwrap()
}

/// The problems without the temporary folder's name.
#[track_caller]
fn refused(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let folder = folder(file);
    let error = Config::load(&sources(&folder, environment), Role::RootCoord).unwrap_err();
    let path = format!("{}/", folder.path().display());
    error.to_string().lines().map(|line| line.replace(&path, "")).collect()
}

mod precedence {
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
        let store =
            store("msgChannel:\n  chanNamePrefix:\n    rootCoordTimeTick:\n", &[("ROOTCOORD_PORT", "")]);
        let (settings, _) = Settings::read(&store, Role::RootCoord).unwrap();
        assert_eq!(settings.channels.root_coord_time_tick, "by-dev-");
        assert_eq!(settings.node.port, 0);
    }

    #[test]
    fn an_empty_limit_is_the_default_as_in_milvus() {
        let config =
            load("rootCoord: {grpc: {serverMaxSendSize: }}\ngrpc: {client: {dialTimeout: ''}}\n", &[]);
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
}

mod names {
    use super::*;

    const SHIPPED: &str = "rootCoord:\n  enableActiveStandby: false\n";

    #[track_caller]
    fn enabled(file: &str, environment: &[(&str, &str)]) -> bool {
        load(file, environment).settings.active_standby.enabled
    }

    #[test]
    fn both_names_of_active_standby_work_everywhere() {
        assert!(enabled("rootCoord: {enableActiveStandby: true}\n", &[]));
        assert!(enabled("rootCoord: {activeStandby: {enabled: true}}\n", &[]));
        assert!(enabled(SHIPPED, &[("ROOT_COORD_ENABLE_ACTIVE_STANDBY", "true")]));
        assert!(enabled(SHIPPED, &[("ROOTCOORD_ACTIVESTANDBY_ENABLED", "true")]));
        assert!(!enabled(
            "rootCoord: {activeStandby: {enabled: true}}\n",
            &[("ROOTCOORD_ENABLEACTIVESTANDBY", "0")]
        ));
    }

    #[test]
    fn within_a_file_the_later_name_counts_and_the_log_says_so() {
        let config =
            load("rootCoord:\n  enableActiveStandby: false\n  activeStandby:\n    enabled: true\n", &[]);
        assert!(config.settings.active_standby.enabled);
        let note = config.notes.iter().find(|note| note.warning).unwrap();
        assert!(
            note.text.contains("milvus.yaml:2)") && note.text.contains("milvus.yaml:4)"),
            "{}",
            note.text
        );
        assert!(note.text.ends_with("true counts"), "{}", note.text);
    }

    #[test]
    fn two_spellings_of_one_key_in_a_file_must_agree() {
        let twice = |second: &str| format!("rootCoord:\n  port: 1\nroot_coord:\n  port: {second}\n");
        assert_eq!(load(&twice("1"), &[]).settings.node.port, 1);
        assert_eq!(
            refused(&twice("2"), &[]),
            [
                "milvus.yaml:4: `root_coord.port` is the same key as `rootCoord.port` (milvus.yaml:2): keep one"
            ]
        );
    }
}

mod environments {
    use super::*;

    /// The environment of the user guide's compose file.
    #[test]
    fn the_compose_environment_works() {
        let config = load(
            "",
            &[
                ("PATH", "/usr/bin"),
                ("ETCD_ENDPOINTS", "etcd:2379"),
                ("MINIO_ADDRESS", "minio:9000"),
                ("PULSAR_ADDRESS", "pulsar://pulsar:6650"),
                ("ROOT_COORD_ADDRESS", "rootcoord:53100"),
                ("ROOT_COORD_ENABLE_ACTIVE_STANDBY", "true"),
                ("METRICS_PORT", "9092"),
            ],
        );
        assert_eq!(config.settings.etcd.endpoints, ["etcd:2379"]);
        assert!(config.settings.active_standby.enabled);
        assert_eq!(config.settings.queue, Some(QueueSettings::Pulsar { url: "pulsar://pulsar:6650".into() }));
        assert_eq!(config.settings.metrics_port, Some(9092));
        let texts: Vec<_> = config.notes.iter().map(|note| note.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "rootCoord.address (environment variable ROOT_COORD_ADDRESS) is ignored: coordinators find each \
              other by their sessions in etcd"
            ]
        );
    }

    #[test]
    fn services_of_kubernetes_do_not_become_settings() {
        let config = load(
            "",
            &[
                ("ROOTCOORD_PORT", "tcp://10.0.0.5:53100"),
                ("METRICS_PORT", "tcp://10.0.0.7:9091"),
                ("ETCD_SERVICE_HOST", "10.0.0.6"),
            ],
        );
        assert_eq!(config.settings.node.port, 53100);
        assert_eq!(config.settings.metrics_port, None);
        assert_eq!(config.notes.len(), 2);
    }

    #[test]
    fn the_queue_is_pulsar_before_kafka_and_none_is_no_error() {
        let queue = |pairs: &[(&str, &str)]| load("", pairs).settings.queue;
        let pulsar = |url: &str| Some(QueueSettings::Pulsar { url: url.into() });
        let kafka = Some(QueueSettings::Kafka { brokers: "a:1,b:2".into() });
        let (p, k) = (("PULSAR_ADDRESS", "host"), ("KAFKA_BROKERLIST", "a:1,b:2"));
        assert_eq!(queue(&[]), None);
        assert_eq!(queue(&[p, k]), pulsar("pulsar://host:6650"));
        assert_eq!(queue(&[p, k, ("MQ_TYPE", "kafka")]), kafka);
        assert_eq!(queue(&[k]), kafka);
        assert_eq!(queue(&[p, ("PULSAR_PORT", "7")]), pulsar("pulsar://host:7"));
        assert_eq!(
            refused("mq: {type: rocksmq}\n", &[]),
            ["milvus.yaml:1: mq.type is \"rocksmq\"; it must be one of default, pulsar, kafka"]
        );
    }

    #[test]
    fn the_session_ttl_is_said_not_to_count() {
        let notes = load("common: {session: {ttl: 60}}\n", &[]).notes;
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].text.contains("ttl = 60 (") && notes[0].text.ends_with("leaseSeconds = 5"),
            "{}",
            notes[0].text
        );
    }
}

mod refusals {
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
}

mod table_and_settings {
    use super::*;

    #[test]
    fn everything_in_the_table_is_read_by_some_role() {
        let store = store("", &[]);
        let mut reader = Reader::new(&store);
        for role in Role::ALL {
            Settings::read_with(&mut reader, role);
        }
        for known in table::all() {
            let read_as_fallback = table::all().iter().any(|other| {
                reader.seen.contains(other.item.key) && other.fallbacks.contains(&known.names[0])
            });
            assert!(
                reader.seen.contains(known.item.key) || read_as_fallback,
                "nothing reads {}",
                known.item.key
            );
        }
    }
}

mod secrets {
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
}

mod dynamic {
    use super::*;
    use crate::config::testing::captured;

    fn told(events: &[ConfigEvent]) -> Vec<(&str, &str, &str)> {
        events.iter().map(|event| (event.event_type, event.key.as_str(), event.value.as_str())).collect()
    }

    #[test]
    fn a_change_counts_at_the_next_read_and_is_told_in_both_forms() {
        let config = load("rootCoord: {minSegmentSizeToEnableIndex: 7}\n", &[]);
        let live = config.live();
        assert_eq!(live.min_segment_size_to_enable_index(), 7);
        let key = "rootCoord/minSegmentSizeToEnableIndex";
        let squeezed = "rootcoordminsegmentsizetoenableindex";
        let (events, log) = captured(|| config.store.apply_dynamic(key, Some("8")));
        assert_eq!(live.min_segment_size_to_enable_index(), 8);
        assert_eq!(told(&events), [("CREATE", key, "8"), ("UPDATE", squeezed, "8")]);
        assert_eq!(log.matches("receive update event").count(), 2, "{log}");
        assert!(
            log.contains(
                r#"{"EventSource":"EtcdSource","EventType":"CREATE","Key":"rootCoord/minSegmentSizeToEnableIndex","Value":"8","HasUpdated":false}"#
            ),
            "{log}"
        );
        let events = config.store.apply_dynamic(key, Some("9"));
        assert_eq!(told(&events), [("UPDATE", key, "9"), ("UPDATE", squeezed, "9")]);
        assert_eq!(config.store.apply_dynamic(key, Some("9")), []);
        let events = config.store.apply_dynamic(key, None);
        assert_eq!(told(&events), [("DELETE", key, "9"), ("DELETE", squeezed, "9")]);
        assert_eq!(live.min_segment_size_to_enable_index(), 7);
        assert_eq!(config.store.apply_dynamic(key, None), []);
    }

    #[test]
    fn a_wrong_value_leaves_the_last_one_and_warns() {
        let config = load("", &[]);
        let live = config.live();
        let key = "grpc.gracefulStopTimeout";
        config.store.apply_dynamic(key, Some("3"));
        let (events, log) = captured(|| config.store.apply_dynamic(key, Some("soon")));
        assert_eq!(events, []);
        assert!(
            log.contains("WARN") && log.contains("soon") && log.contains("must be a time in seconds"),
            "{log}"
        );
        assert_eq!(live.graceful_stop_timeout(), Duration::from_secs(3));
        config.store.load_dynamic([(key.into(), "soon".into())]);
        assert_eq!(live.graceful_stop_timeout(), Duration::from_secs(10));
    }

    #[test]
    fn what_would_split_the_cluster_counts_only_at_the_start() {
        let mut config = load("", &[]);
        config.adopt_dynamic([("common/chanNamePrefix/cluster".into(), "in-etcd".into())]);
        assert_eq!(config.settings.channels.cluster, "in-etcd");
        for key in ["common/chanNamePrefix/cluster", "rootCoord.dmlChannelNum", "common.defaultPartitionName"]
        {
            let (events, log) = captured(|| config.store.apply_dynamic(key, Some("9")));
            assert_eq!(events, []);
            assert!(log.contains("ignore event for forbidden key"), "{log}");
        }
        let (settings, _) = Settings::read(&config.store, Role::RootCoord).unwrap();
        assert_eq!(settings.channels.cluster, "in-etcd");
    }

    #[test]
    fn what_counts_from_the_next_start_on_is_said_so() {
        let config = load("", &[]);
        let (_, log) = captured(|| config.store.apply_dynamic("rootCoord/port", Some("9")));
        assert!(log.contains("counts from the next start on"), "{log}");
    }

    #[test]
    fn after_a_lost_watch_only_the_differences_are_told() {
        let store = store("", &[]);
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|&(key, value)| (key.into(), value.into())).collect()
        };
        store.load_dynamic(pairs(&[("a", "1"), ("b", "1"), ("c", "1")]));
        let events = store.replace_dynamic(pairs(&[("b", "1"), ("c", "2"), ("d", "1")]));
        assert_eq!(told(&events), [("DELETE", "a", "1"), ("UPDATE", "c", "2"), ("CREATE", "d", "1")]);
    }

    #[test]
    fn two_spellings_in_etcd_have_one_value_in_whichever_order_they_came() {
        let spellings = ["rootCoord.minSegmentSizeToEnableIndex", "rootCoord/minSegmentSizeToEnableIndex"];
        for order in [[0, 1], [1, 0]] {
            let config = load("", &[]);
            for at in order {
                config.store.apply_dynamic(spellings[at], Some(&at.to_string()));
            }
            assert_eq!(config.live().min_segment_size_to_enable_index(), 1);
            config.store.apply_dynamic(spellings[1], None);
            assert_eq!(config.live().min_segment_size_to_enable_index(), 0);
        }
    }

    #[test]
    fn secrets_of_etcd_are_not_logged() {
        let store = store("", &[]);
        let ((), log) = captured(|| {
            store.apply_dynamic("minio/secretAccessKey", Some(SECRET));
            store.apply_dynamic("minio/secretAccessKey", None);
            store.apply_dynamic("etcd/endpoints", Some("u:hunter2@e:1"));
            store.apply_dynamic("etcd/endpoints", Some("http://u:hunter2@e:1"));
        });
        assert!(log.contains("receive update event") && !log.contains(SECRET), "{log}");
    }

    #[test]
    fn settings_in_etcd_that_cannot_be_together_are_not_taken_over() {
        let mut config = load("", &[]);
        let before = config.settings.clone();
        let ((), log) = captured(|| {
            config.adopt_dynamic([("rootCoord/activeStandby/proofWindowMs".into(), "6000".into())])
        });
        assert_eq!(config.settings, before);
        assert!(log.contains("must be shorter than leaseSeconds"), "{log}");
    }
}

mod checking {
    use super::*;

    const FILE: &str = include_str!("fixture.yaml");

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
        assert_eq!(settings.queue, Some(QueueSettings::Pulsar { url: "pulsar://localhost:6650".into() }));
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
}
