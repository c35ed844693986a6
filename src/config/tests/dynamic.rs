//! Settings from etcd.

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
    for key in ["common/chanNamePrefix/cluster", "rootCoord.dmlChannelNum", "common.defaultPartitionName"] {
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
    let ((), log) =
        captured(|| config.adopt_dynamic([("rootCoord/activeStandby/proofWindowMs".into(), "6000".into())]));
    assert_eq!(config.settings, before);
    assert!(log.contains("must be shorter than leaseSeconds"), "{log}");
}
