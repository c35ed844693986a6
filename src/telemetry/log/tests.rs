use std::{error::Error, fs, path::Path, time::Duration};

use tracing::{debug, dispatcher::with_default, error, error_span, info, warn};

use super::*;
use crate::{
    etcd::call::{CallError, Refusal},
    telemetry::testing::{Logged, lines_of},
};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn lines_of_events() {
    let lines = lines_of(LogLevel::Info, || {
        info!("serverName: rootcoord is in STANDBY ...");
        error!("Server Id" = 3, "Root Coord disconnected from etcd, process will exit");
        debug!("not at this level");
        let key = "by-dev/meta/session/rootcoord";
        warn!(key, empty = "", yes = true, half = 0.5, none = f64::NAN, ?key, address = %"a b", "values");
        let refused = CallError::Refused { what: "the put", refusal: Refusal::NoSpace };
        warn!(error = &refused as &dyn Error, "with its cause");
        tracing::warn!(target: "h2::codec", "from a library");
        tracing::info!(target: "h2::codec", "not from a library at this level");
    });
    assert_eq!(
        lines,
        [
            r#"[INFO] ["serverName: rootcoord is in STANDBY ..."]"#,
            r#"[ERROR] ["Root Coord disconnected from etcd, process will exit"] ["Server Id"=3]"#,
            r#"[WARN] [values] [key=by-dev/meta/session/rootcoord] [empty=] [yes=true] [half=0.5] [none=NaN] [key="\"by-dev/meta/session/rootcoord\""] [address="a b"]"#,
            r#"[WARN] ["with its cause"] [error="etcd refused the put: etcd's space quota is used up"]"#,
            r#"[WARN] ["from a library"]"#,
        ]
    );
}

#[test]
fn spans_below_the_level_are_not_kept() {
    let lines = lines_of(LogLevel::Info, || {
        assert!(tracing::debug_span!(target: "h2::proto", "Connection").is_disabled());
        assert!(tracing::debug_span!("own").is_disabled());
        error_span!("call", method = "AllocTimestamp").in_scope(|| info!("kept"));
    });
    assert_eq!(lines, ["[INFO] [kept] [method=AllocTimestamp]"]);
}

#[test]
fn the_trace_id_stands_first() {
    let lines = lines_of(LogLevel::Info, || {
        let outer =
            error_span!("call", method = "AllocTimestamp", traceID = "0af7651916cd43dd8448eb211c80319c");
        let _outer = outer.enter();
        info!(count = 2, "inside");
        let late = error_span!("late", traceID = tracing::field::Empty, user = tracing::field::Empty);
        late.record("traceID", tracing::field::display("ffff651916cd43dd8448eb211c80319c"));
        late.record("user", "root");
        late.in_scope(|| info!("deeper"));
    });
    assert_eq!(
        lines,
        [
            "[INFO] [inside] [traceID=0af7651916cd43dd8448eb211c80319c] [method=AllocTimestamp] [count=2]",
            "[INFO] [deeper] [traceID=ffff651916cd43dd8448eb211c80319c] [method=AllocTimestamp] [user=root]",
        ]
    );
}

#[test]
fn the_level_changes_while_it_runs() {
    let log = Logged::new(LogFormat::Text, LogLevel::Warn);
    let handle = log.guard.handle();
    with_default(log.guard.dispatch(), || {
        let step = |number: u32| {
            debug!(number, "debug");
            info!(number, "info");
            error!(number, "error");
        };
        step(1);
        handle.set_level(LogLevel::Debug);
        assert_eq!(handle.level(), LogLevel::Debug);
        step(2);
        handle.set_level(LogLevel::Fatal);
        step(3);
        handle.set_level(LogLevel::Info);
        step(4);
    });
    assert_eq!(
        log.read(),
        [
            "[ERROR] [error] [number=1]",
            "[DEBUG] [debug] [number=2]",
            "[INFO] [info] [number=2]",
            "[ERROR] [error] [number=2]",
            "[INFO] [info] [number=4]",
            "[ERROR] [error] [number=4]",
        ]
    );
}

#[test]
fn json_has_the_same_keys() {
    let Logged { folder, guard, .. } = Logged::new(LogFormat::Json, LogLevel::Info);
    with_default(guard.dispatch(), || {
        let _span = error_span!("call", traceID = "0af7").entered();
        info!("Server Id" = 3, address = "a:1", took = ?Duration::from_millis(5), "with \"fields\"");
    });
    guard.handle().name_file(ServerId(9));
    drop(guard);
    let line = fs::read_to_string(folder.path().join("made/when/missing/rootcoord-9.log")).unwrap();
    let mut line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let line = line.as_object_mut().unwrap();
    assert!(line["time"].as_str().unwrap().starts_with("2022/09/2"));
    assert!(line["caller"].as_str().unwrap().starts_with("log/tests.rs:"));
    let rest: Vec<_> = line.iter().filter(|(key, _)| !["time", "caller"].contains(&key.as_str())).collect();
    assert_eq!(
        serde_json::to_string(&rest).unwrap(),
        r#"[["level","INFO"],["message","with \"fields\""],["traceID","0af7"],["Server Id",3],["address","a:1"],["took","5ms"]]"#
    );
}

#[test]
fn the_file_gets_its_name_with_the_server_id() {
    let log = Logged::new(LogFormat::Text, LogLevel::Info);
    let folder = log.folder.path().join("made/when/missing");
    let exists = |name: &str| Path::new(&folder).join(name).exists();
    with_default(log.guard.dispatch(), || info!("waiting for etcd"));
    assert!(log.guard.flush(SOON));
    assert!(exists(&format!("rootcoord-pid{}.log", process::id())));
    log.guard.handle().name_file(ServerId(15));
    with_default(log.guard.dispatch(), || info!("registered"));
    assert!(log.guard.flush(SOON));
    assert!(exists("rootcoord-15.log"));
    assert_eq!(log.read(), [r#"[INFO] ["waiting for etcd"]"#, "[INFO] [registered]"]);
}

#[test]
fn nothing_is_lost_or_torn_between_threads() {
    const EACH: usize = 2_000;
    let log = Logged::new(LogFormat::Text, LogLevel::Info);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let dispatch = log.guard.dispatch().clone();
            scope.spawn(move || {
                with_default(&dispatch, || (0..EACH).for_each(|number| info!(thread, number, "line")));
            });
        }
    });
    let lines = log.read();
    assert_eq!(lines.len(), 4 * EACH);
    for thread in 0..4 {
        let of_thread = lines.iter().filter(|line| line.contains(&format!("[thread={thread}]")));
        for (number, line) in of_thread.enumerate() {
            assert_eq!(*line, format!("[INFO] [line] [thread={thread}] [number={number}]"));
        }
    }
}
