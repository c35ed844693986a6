//! Scenarios by their seeds: the pair under random faults, in virtual time.

use std::process::{Command, Output};

/// How many scenarios a test run plays; `cargo run --release -p milvus-coord-sim` plays more.
const SEEDS: &str = "500";

fn simulate(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_milvus-coord-sim");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn no_scenario_breaks_a_promise() {
    let played = simulate(&["--seeds", SEEDS]);
    let said = said(&played);
    assert!(played.status.success(), "{said}\n{}", String::from_utf8_lossy(&played.stderr));
    assert!(said.contains(&format!("{SEEDS} seeds, 0 failed")), "{said}");
}

/// The digest covers every call with its times and answers and every revision of etcd's.
#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in ["2", "4"] {
        let (first, second) = (simulate(&["--seed", seed]), simulate(&["--seed", seed]));
        assert!(first.status.success(), "{}", said(&first));
        assert_eq!(said(&first), said(&second), "line by line");
        let brief = simulate(&["--seed", seed, "--brief"]);
        assert!(said(&first).ends_with(&said(&brief)), "watching changes nothing: {}", said(&brief));
    }
}

/// Without fences some of a few seeds fail; what the batch says of one is what it is played by.
#[test]
fn a_failing_seed_is_named_and_fails_again() {
    let batch = simulate(&["--seeds", "12", "--without", "fence"]);
    let report = said(&batch);
    assert_eq!(batch.status.code(), Some(1), "{report}");
    let again = report.lines().find_map(|line| line.strip_prefix("again: milvus-coord-sim "));
    let arguments: Vec<&str> = again.expect("one of them is named").split(' ').collect();
    let replayed = simulate(&[&arguments[..], &["--brief"]].concat());
    assert_eq!(replayed.status.code(), Some(1), "{}", said(&replayed));
    assert!(report.contains(said(&replayed).trim_end()), "{report}\n{}", said(&replayed));
}
