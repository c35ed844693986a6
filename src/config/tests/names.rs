//! Several names of one key.

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
    let config = load("rootCoord:\n  enableActiveStandby: false\n  activeStandby:\n    enabled: true\n", &[]);
    assert!(config.settings.active_standby.enabled);
    let note = config.notes.iter().find(|note| note.warning).unwrap();
    assert!(note.text.contains("milvus.yaml:2)") && note.text.contains("milvus.yaml:4)"), "{}", note.text);
    assert!(note.text.ends_with("true counts"), "{}", note.text);
}

#[test]
fn two_spellings_of_one_key_in_a_file_must_agree() {
    let twice = |second: &str| format!("rootCoord:\n  port: 1\nroot_coord:\n  port: {second}\n");
    assert_eq!(load(&twice("1"), &[]).settings.node.port, 1);
    assert_eq!(
        refused(&twice("2"), &[]),
        ["milvus.yaml:4: `root_coord.port` is the same key as `rootCoord.port` (milvus.yaml:2): keep one"]
    );
}
