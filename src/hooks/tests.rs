//! Hooks with real commands.

use std::{fs, os::fd::AsRawFd, path::PathBuf};

use tempfile::TempDir;

use super::{
    queue::{Listening, Queue},
    *,
};
use crate::{
    clock::{BootInstant, SystemClock},
    election::{
        life::{Exit, Loss},
        notes::{NoWitness, Note, Witness as _},
        standing::Standing,
    },
    ids::{Epoch, Revision, ServerId},
    telemetry::metrics::{LiveFigures, Metrics},
};

const SOON: Duration = Duration::from_secs(20);

/// Hooks of an instance whose life the test plays.
struct Scene {
    folder: TempDir,
    metrics: Arc<Metrics>,
    queue: Arc<Queue>,
    life: Listening<NoWitness>,
    running: tokio::task::JoinSet<()>,
}

/// What a hook does besides writing its name into `log`, by default nothing.
fn scene(on_active: &str, on_standby: &str, on_stop: &str) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let hook = |rest: &str| HookSetting {
        command: format!("cd {place}; echo $MILVUS_COORD_STATE $MILVUS_COORD_REASON >> log; {rest}"),
        timeout: Duration::from_secs(1),
    };
    let settings = HookSettings {
        on_active: hook(on_active),
        on_standby: hook(on_standby),
        on_fault: HookSetting { command: String::new(), timeout: Duration::from_secs(1) },
        on_stop: hook(on_stop),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::new(Role::RootCoord, &*clock);
    let queue = Arc::new(Queue::default());
    let mut running = tokio::task::JoinSet::new();
    running.spawn(run(
        Arc::clone(&queue),
        HookContext { role: Role::RootCoord, address: "10.0.0.4:53100".into() },
        move || settings.clone(),
        Events::new(Role::RootCoord, Arc::clone(&metrics)),
        clock,
    ));
    let life = Listening { queue: Arc::clone(&queue), inner: NoWitness };
    let scene = Scene { folder, metrics, queue, life, running };
    scene.note(&Note::Begun(ServerId(4)));
    scene
}

impl Scene {
    fn note(&self, note: &Note) {
        self.life.note(BootInstant::default(), note);
    }

    fn standby(&self) {
        self.note(&Note::Standby(None, Revision(1)));
    }

    fn active(&self, epoch: i64) {
        self.note(&Note::Stands(Standing::Active { epoch: Epoch(epoch) }));
    }

    fn lost(&self, epoch: i64) {
        self.note(&Note::TermEnded(Epoch(epoch), Loss::Deposed));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until a hook has written that.
    async fn wrote(&self, name: &str, text: &str) {
        let written = async {
            while !self.read(name).contains(text) {
                // Another process writes the file: it can only be looked at.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(SOON, written).await;
        assert!(waited.is_ok(), "no {text:?} in {:?}", self.read(name));
    }

    /// Ends the life and waits for the last hook.
    async fn end(&mut self) {
        self.queue.ended(Exit::Done);
        tokio::time::timeout(SOON, self.running.join_next()).await.unwrap().unwrap().unwrap();
    }

    #[track_caller]
    fn counted(&self, hook: Hook, end: &str, times: u32) {
        let text = self.metrics.render(&LiveFigures::default());
        let line = format!("milvus_coord_hooks_total{{end=\"{end}\",hook=\"{hook}\"}} {times}");
        assert!(text.contains(&line), "no {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_run_one_at_a_time_in_the_order_of_events_and_know_why() {
    // Much slower than what follows it.
    let mut scene = scene("sleep 0.3; env | grep ^MILVUS_COORD_ > environment; echo done >> log", "", "");
    scene.standby();
    scene.wrote("log", "standby").await;
    scene.active(70);
    scene.wrote("log", "active").await;
    scene.lost(70);
    scene.standby();
    scene.wrote("log", "done\nstandby").await;
    scene.end().await;
    let expected = "standby registered\nactive vacant\ndone\nstandby registered\nstop stopped\n";
    assert_eq!(scene.read("log"), expected);
    let environment = scene.read("environment");
    for line in [
        "MILVUS_COORD_ROLE=rootcoord\n",
        "MILVUS_COORD_ADDRESS=10.0.0.4:53100\n",
        "MILVUS_COORD_SERVER_ID=4\n",
        "MILVUS_COORD_EPOCH=70\n",
        "MILVUS_COORD_STATE=active\n",
        "MILVUS_COORD_REASON=vacant\n",
    ] {
        assert!(environment.contains(line), "{environment}");
    }
    scene.counted(Hook::OnActive, "done", 1);
    scene.counted(Hook::OnStandby, "done", 2);
    scene.counted(Hook::OnStop, "done", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_is_outdated_before_it_begins_is_left_out() {
    let mut scene = scene("while ! [ -e go ]; do sleep 0.01; done", "", "");
    scene.active(70);
    scene.wrote("log", "active").await;
    scene.lost(70);
    scene.standby();
    scene.active(80);
    scene.lost(80);
    scene.standby();
    fs::write(scene.path("go"), "").unwrap();
    scene.wrote("log", "standby").await;
    scene.end().await;
    assert_eq!(scene.read("log"), "active vacant\nstandby registered\nstop stopped\n");
    scene.counted(Hook::OnStandby, "left_out", 1);
    scene.counted(Hook::OnActive, "left_out", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_killed_with_all_that_it_has_started() {
    let mut scene = scene("sleep 1000 & echo $! > child; trap '' TERM; wait", "", "");
    scene.active(70);
    scene.wrote("child", "\n").await;
    scene.lost(70);
    scene.standby();
    scene.wrote("log", "standby").await;
    scene.counted(Hook::OnActive, "killed", 1);
    let child = scene.read("child").trim().to_owned();
    // A zombie is as dead; whoever is its parent now reaps it.
    let state = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hook_leaves_behind_does_not_run_beside_the_next_one() {
    let mut scene = scene("(sleep 0.5; echo late >> log) & echo begun > child", "sleep 0.8", "");
    scene.active(70);
    scene.wrote("child", "begun").await;
    scene.lost(70);
    scene.standby();
    scene.end().await;
    assert!(!scene.read("log").contains("late"));
    scene.counted(Hook::OnActive, "done", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_or_is_missing_is_counted_and_the_next_one_runs() {
    let mut scene = scene("exit 3", "/nonexistent/hook", "kill -9 $$");
    scene.active(70);
    scene.wrote("log", "active").await;
    scene.lost(70);
    scene.standby();
    scene.wrote("log", "standby").await;
    scene.end().await;
    scene.counted(Hook::OnActive, "failed", 1);
    scene.counted(Hook::OnStandby, "failed", 1);
    scene.counted(Hook::OnStop, "failed", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_prints_a_lot_gets_rid_of_it() {
    let mut scene = scene("head -c 2000000 /dev/zero; echo through > loud", "yes", "");
    scene.active(70);
    scene.wrote("loud", "through").await;
    scene.lost(70);
    scene.standby();
    scene.wrote("log", "standby").await;
    scene.end().await;
    scene.counted(Hook::OnActive, "done", 1);
    scene.counted(Hook::OnStandby, "killed", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_process_waits_for_the_last_one_only_so_long() {
    let mut scene = scene("sleep 1000", "", "sleep 1000");
    scene.active(70);
    scene.wrote("log", "active").await;
    let begun = SystemClock.boot();
    scene.end().await;
    // A second for the one that ran, one for the last one, and a busy machine.
    let took = SystemClock.boot().since(begun);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(scene.read("log"), "active vacant\nstop stopped\n");
    scene.counted(Hook::OnActive, "killed", 1);
    scene.counted(Hook::OnStop, "killed", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_inherits_nothing_that_could_keep_a_connection_or_a_lock_alive() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
    let socket = socket.to_str().unwrap();
    assert!(socket.starts_with("socket:"), "{socket}");
    let mut scene = scene("ls -l /proc/$$/fd > files; echo end >> files", "", "");
    scene.active(70);
    scene.wrote("files", "end").await;
    scene.end().await;
    let open = scene.read("files");
    assert!(open.contains("pipe:"), "its output: {open}");
    assert!(!open.contains(socket), "{open}");
}
