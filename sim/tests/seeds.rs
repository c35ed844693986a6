//! Scenarios by their seeds: the pair under random faults, in virtual time.

use std::process::Command;

/// How many scenarios a test run plays; `cargo run --release -p milvus-coord-sim` plays more.
const SEEDS: &str = "40";

#[test]
fn no_scenario_breaks_a_promise() {
    let played = Command::new(env!("CARGO_BIN_EXE_milvus-coord-sim"))
        .args(["--seeds", SEEDS])
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success(), "{said}\n{}", String::from_utf8_lossy(&played.stderr));
    assert!(said.contains(&format!("{SEEDS} seeds")) && said.contains(" 0 failed"), "{said}");
}
