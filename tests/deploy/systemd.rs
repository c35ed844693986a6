//! What a process tells systemd: a socket takes systemd's place.

use std::{path::Path, time::Duration};

use milvus_coord_testbed::{
    bed::Bed,
    instance::{Plan, SOON},
};
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::UnixDatagram;

use crate::PROGRAM;

/// The socket, and what was read from it.
struct Systemd {
    folder: TempDir,
    socket: UnixDatagram,
    /// The newest one.
    status: Mutex<String>,
}

impl Systemd {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { folder, socket, status: Mutex::default() }
    }

    fn starts(&self, plan: Plan) -> Plan {
        plan.environment("NOTIFY_SOCKET", self.folder.path().join("notify").display())
    }

    /// The next message.
    async fn message(&self, limit: Duration) -> Option<String> {
        let mut bytes = [0; 4096];
        let count = tokio::time::timeout(limit, self.socket.recv(&mut bytes)).await.ok()?.unwrap();
        let message = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if let Some(status) = message.lines().find_map(|line| line.strip_prefix("STATUS=")) {
            status.clone_into(&mut self.status.lock());
        }
        Some(message)
    }

    /// Reads until the newest status contains this. READY must not be said meanwhile: once is enough.
    async fn status(&self, text: &str) {
        while !self.status.lock().contains(text) {
            let message = self.message(SOON).await;
            let message = message.unwrap_or_else(|| panic!("no {text:?}, but {:?}", self.status.lock()));
            assert!(!message.contains("READY"), "{message}");
        }
    }

    /// Reads until a message has a line that begins so, and returns all of that message.
    async fn says(&self, start: &str) -> String {
        let mut heard = Vec::new();
        loop {
            let Some(message) = self.message(SOON).await else { panic!("no {start:?} after {heard:?}") };
            if message.lines().any(|line| line.starts_with(start)) {
                return message;
            }
            heard.push(message);
        }
    }
}

fn config(folder: &Path, text: &str) {
    std::fs::write(folder.join("milvus.yaml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_it_stands_by_and_its_status_follows_a_takeover() {
    let bed = Bed::new(PROGRAM).await;
    let first = bed.plan("first").start();
    first.serves(SOON).await;
    let systemd = Systemd::new();
    let second = systemd.starts(bed.plan("second")).start();
    systemd.says("READY=1").await;
    // The line and the message come by different ways: neither tells when the other was sent.
    second.says("is in STANDBY", SOON).await;
    systemd.status(&format!(": STANDBY; {}", bed.active().await.server_id)).await;
    systemd.status(&format!("is ACTIVE, epoch {}", bed.active().await.revision)).await;
    first.kill().await;
    second.serves(SOON).await;
    systemd.status(&format!(": ACTIVE, epoch {}", bed.active().await.revision)).await;
    second.terminate();
    systemd.says("STOPPING=1").await;
    assert_eq!(second.process.exit(SOON).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_while_etcd_is_silent_but_alive_for_the_watchdog() {
    let mut bed = Bed::new(PROGRAM).await;
    bed.etcd.kill(0);
    let systemd = Systemd::new();
    let plan = systemd.starts(bed.plan("alone")).environment("WATCHDOG_USEC", 400_000);
    let alone = plan.start();
    assert_eq!(systemd.says("STATUS=").await.trim(), "STATUS=waiting for etcd");
    for _ in 0..5 {
        assert_eq!(systemd.message(SOON).await.as_deref(), Some("WATCHDOG=1\n"));
    }
    alone.terminate();
    systemd.says("STOPPING=1").await;
    alone.process.exit(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_hears_nothing_of_one_that_stands_still() {
    let bed = Bed::new(PROGRAM).await;
    let systemd = Systemd::new();
    let plan = systemd.starts(bed.plan("alone")).environment("WATCHDOG_USEC", 400_000);
    let alone = plan.start();
    systemd.says("READY=1").await;
    systemd.says("WATCHDOG=1").await;
    systemd.says("WATCHDOG=1").await;
    alone.process.freeze().await;
    while systemd.message(Duration::ZERO).await.is_some() {}
    assert_eq!(systemd.message(Duration::from_secs(1)).await, None);
    alone.process.thaw();
    systemd.says("WATCHDOG=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_reads_the_file_again_and_says_when_it_is_done() {
    let bed = Bed::new(PROGRAM).await;
    let folder = tempfile::tempdir().unwrap();
    config(folder.path(), "log: {level: info}\n");
    let systemd = Systemd::new();
    let plan = systemd.starts(bed.plan("alone")).environment("MILVUSCONF", folder.path().display());
    let alone = plan.start();
    systemd.says("READY=1").await;
    alone.serves(SOON).await;
    let marker = folder.path().join("marker");
    config(
        folder.path(),
        &format!(
            "log: {{level: debug}}\nrootCoord: {{dmlChannelNum: 3, activeStandby: {{hooks: {{onStop: \
             {{command: 'touch {}'}}}}}}}}\n",
            marker.display()
        ),
    );
    alone.process.signal(Signal::SIGHUP);
    let reloading = systemd.says("RELOADING=1").await;
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(since.is_some_and(|since| since.parse::<u64>().is_ok_and(|since| since > 0)), "{reloading}");
    systemd.says("READY=1").await;
    alone
        .says(r#"["setting changed: it counts from the next start on"] [key=rootCoord.dmlChannelNum]"#, SOON)
        .await;
    assert_eq!(alone.http("/log/level").await.unwrap().body.trim(), r#"{"level":"debug"}"#);

    // One that is wrong changes nothing, and ends nothing.
    config(folder.path(), "log: {level: loud}\n");
    alone.process.signal(Signal::SIGHUP);
    systemd.says("RELOADING=1").await;
    systemd.says("READY=1").await;
    alone.says("the configuration files are not taken over", SOON).await;
    assert_eq!(alone.http("/log/level").await.unwrap().body.trim(), r#"{"level":"debug"}"#);
    alone.terminate();
    alone.process.exit(SOON).await;
    assert!(marker.exists(), "the hook that was read by the reload has run");
}
