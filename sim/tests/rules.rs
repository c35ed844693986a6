//! Every rule that carries the safety is needed, and the checks see when it is missing.

use std::process::Command;

use milvus_coord::election::rules::Rule;
use milvus_coord_sim::scenario::directed::{ALL, Directed};

/// Whether the scenario passed, and what was said of it.
fn play(directed: &Directed, without: Option<Rule>) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milvus-coord-sim"));
    command.args(["--brief", "--scenario", directed.name]);
    if let Some(rule) = without {
        command.args(["--without", &format!("{rule:?}")]);
    }
    let played = command.output().expect("the program starts");
    (played.status.success(), String::from_utf8_lossy(&played.stdout).into_owned())
}

#[test]
fn each_scenario_passes_with_all_rules_and_is_caught_without_its_own() {
    for directed in &ALL {
        let (passed, said) = play(directed, None);
        assert!(passed, "with all rules: {said}");
        let (passed, said) = play(directed, Some(directed.rule));
        assert!(!passed, "without {:?} nothing was found: {said}", directed.rule);
        assert!(said.contains(directed.violation), "without {:?}: {said}", directed.rule);
    }
}

#[test]
fn every_rule_has_a_scenario() {
    for rule in Rule::ALL {
        assert!(ALL.iter().any(|directed| directed.rule == rule), "{rule:?}");
    }
}
