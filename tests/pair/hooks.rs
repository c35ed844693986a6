//! Operators' commands at changes of state.

use std::{fs, path::Path, time::Duration};

use milvus_coord_testbed::{
    bed::Bed,
    instance::{Instance, Plan},
    load::Load,
};

use crate::bounds::{FAST, LEASE, LEASE_END, LONG_LEASE, PROGRAM, SHORT_LEASE, SOON};

fn hook(plan: Plan, name: &str, command: &str, timeout: u32) -> Plan {
    plan.set(&format!("common.activeStandby.hooks.{name}.command"), command)
        .set(&format!("common.activeStandby.hooks.{name}.timeout"), timeout)
}

/// Every hook adds a line to the file `log`: state, reason, whether there is a term.
fn telling(plan: Plan, folder: &Path) -> Plan {
    let log = folder.join("log");
    let line = format!(
        "echo $MILVUS_COORD_STATE $MILVUS_COORD_REASON ${{MILVUS_COORD_EPOCH:+in a term}} >> {}",
        log.display()
    );
    ["onActive", "onStandby", "onFault", "onStop"]
        .into_iter()
        .fold(plan, |plan, name| hook(plan, name, &line, 10))
}

fn told(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("log")).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// Waits until a hook is said to have ended.
async fn ended(instance: &Instance, name: &str) {
    instance.says(&format!(r#"["hook ended"] [hook={name}]"#), SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_hangs_holds_up_neither_the_takeover_nor_an_answer() {
    let bed = Bed::new(PROGRAM).await;
    let folder = tempfile::tempdir().unwrap();
    let (begun, go) = (folder.path().join("begun"), folder.path().join("go"));
    let command = format!("touch {}; while ! [ -e {} ]; do sleep 0.02; done", begun.display(), go.display());
    let first = bed.elsewhere("first").set(LEASE, LONG_LEASE);
    let second = hook(bed.elsewhere("second").set(LEASE, LONG_LEASE), "onActive", &command, 600);
    let (first, second) = bed.pair_of(first, second).await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 200, SOON).await;
    let killed = first.kill().await;
    second.serves(FAST).await;
    load.success_since(killed, FAST).await;
    load.successes(200, SOON).await;
    client.create_database("meanwhile").await.unwrap();
    // All that was answered while the hook was running, which only now may end.
    let ended_before = second.process.log.find(Default::default(), r#"["hook ended"]"#);
    assert!(ended_before.is_none(), "{ended_before:?}");
    fs::write(&go, "").unwrap();
    ended(&second, "onActive").await;
    assert!(begun.exists());
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    let metrics = second.http("/metrics").await.unwrap().body;
    assert!(metrics.contains(r#"milvus_coord_hooks_total{end="done",hook="onActive"} 1"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_tell_a_life_from_standby_to_its_end() {
    let bed = Bed::new(PROGRAM).await;
    let folder = tempfile::tempdir().unwrap();
    let second = telling(bed.plan("second").set(LEASE, LONG_LEASE), folder.path());
    let (first, second) = bed.pair_of(bed.plan("first").set(LEASE, LONG_LEASE), second).await;
    ended(&second, "onStandby").await;
    first.kill().await;
    second.serves(FAST).await;
    ended(&second, "onActive").await;
    second.terminate();
    assert_eq!(second.process.exit(SOON).await.code, Some(0));
    let expected = ["standby registered", "active certain in a term", "stop stopped in a term"];
    assert_eq!(told(folder.path()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_deposed_while_it_stood_still_tells_a_fault_and_then_stands_by() {
    let bed = Bed::new(PROGRAM).await;
    let folder = tempfile::tempdir().unwrap();
    let first = telling(bed.plan("first").set(LEASE, SHORT_LEASE), folder.path());
    let (first, second) = bed.pair_of(first, bed.plan("second").set(LEASE, SHORT_LEASE)).await;
    ended(&first, "onActive").await;
    let mark = first.process.log.mark();
    first.process.freeze().await;
    second.serves(LEASE_END).await;
    first.process.thaw();
    first.process.log.wait(mark, r#"["hook ended"] [hook=onStandby]"#, SOON).await;
    let told = told(folder.path());
    // Which of the two it learns first is chance.
    let told: Vec<_> = told.iter().map(|line| line.replace("lease_lost", "deposed")).collect();
    let expected = ["active vacant in a term", "fault deposed in a term", "standby registered"];
    assert_eq!(told.iter().rev().take(3).rev().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_process_waits_for_its_last_hook_no_longer_than_that_may_take() {
    let bed = Bed::new(PROGRAM).await;
    let plan = hook(bed.plan("alone"), "onStop", "sleep 1000", 2);
    // What systemd says to the process is none of a hook's business.
    let spy = "test -z \"$NOTIFY_SOCKET$WATCHDOG_USEC\"";
    let alone = hook(plan.environment("NOTIFY_SOCKET", "/nonexistent/notify"), "onActive", spy, 10).start();
    alone.serves(SOON).await;
    ended(&alone, "onActive").await;
    let asked = alone.terminate();
    let exit = alone.process.exit(SOON).await;
    assert_eq!(exit.code, Some(0));
    let took = exit.at - asked;
    assert!((Duration::from_secs(2)..Duration::from_secs(15)).contains(&took), "{took:?}");
    alone.says(r#"["hook failed"] [hook=onStop]"#, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_is_no_later_while_the_hook_of_the_one_that_was_killed_runs_on() {
    // Whatever it had open (the lock by which its end is seen, its streams) must go with it.
    let bed = Bed::new(PROGRAM).await;
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("pid");
    let command = format!("echo $$ > {}.new; mv {0}.new {0}; sleep 1000", begun.display());
    let first = hook(bed.plan("first").set(LEASE, LONG_LEASE), "onActive", &command, 600);
    let (first, second) = bed.pair_of(first, bed.plan("second").set(LEASE, LONG_LEASE)).await;
    let hook = fs::read_to_string(&begun).expect("the hook runs since before the standby was there");
    let hook: i32 = hook.trim().parse().unwrap();
    first.kill().await;
    second.serves(FAST).await;
    // Its group is its own; nobody is left to end it but the test.
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(hook), nix::sys::signal::Signal::SIGKILL).unwrap();
}
