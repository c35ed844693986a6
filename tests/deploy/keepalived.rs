//! The virtual IP: the real keepalived with the sample configuration, between network
//! namespaces. Two hosts with an instance each, etcd on a third one, and a client on a fourth
//! one that knows the virtual address only.

use std::{
    fs,
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use milvus_coord_testbed::{
    bed::Bed,
    etcd::{Etcd, Options},
    grpc::Direct,
    instance::{Instance, SOON},
    log::Mark,
    namespaces::{Host, Network},
    or_skip,
    process::Process,
};
use nix::{ifaddrs::getifaddrs, sys::signal::Signal};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{PROGRAM, file};

/// What the clients know.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// The port that `milvus-coord health` asks without being told.
const PORT: u16 = 53100;
/// For an address to move that waits for no lease: it takes less than two seconds; here a busy
/// machine must not fail a test.
const FAST: Duration = Duration::from_secs(10);
/// The same after a lease of two seconds.
const AFTER_LEASE: Duration = Duration::from_secs(20);
/// What a client waits for an answer before it connects anew.
const PATIENCE: Duration = Duration::from_millis(300);

/// By what keepalived learns where its instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ways {
    Script,
    File,
    Both,
}

/// What happens to the ACTIVE one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Terminate,
    Freeze,
}

/// A host of the pair.
struct Member {
    name: &'static str,
    host: Host,
    ways: Ways,
    folder: TempDir,
    instance: Instance,
    keepalived: Process,
}

fn state_file(folder: &TempDir) -> PathBuf {
    folder.path().join("rootcoord.vrrp")
}

/// The sample with the places of this test, and without what it shall do without.
fn configuration(ways: Ways, folder: &TempDir) -> String {
    let mut text = fs::read_to_string(file("docker/keepalived/keepalived.conf")).unwrap();
    let mut replace = |what: &str, by: &str| {
        assert!(text.contains(what), "the sample has no {what:?}");
        text = text.replace(what, by);
    };
    replace("$ADDRESS=192.0.2.100/24\n", &format!("$ADDRESS={ADDRESS}/24\n"));
    replace("/usr/local/bin/milvus-coord health", &format!("{PROGRAM} health"));
    replace("\"/run/milvus/rootcoord.vrrp\"", &format!("{:?}", state_file(folder)));
    // A clone may lie in a folder that others may write to.
    replace("    enable_script_security\n", "");
    match ways {
        Ways::Script => replace("    track_file {\n        rootcoord_state\n    }\n", ""),
        Ways::File => replace("    track_script {\n        rootcoord_is_active\n    }\n", ""),
        Ways::Both => {}
    }
    text
}

impl Member {
    fn new(bed: &Bed, name: &'static str, host: &Host, ways: Ways) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = bed
            .elsewhere(name)
            .on(host)
            .port(PORT)
            .set("common.activeStandby.leaseSeconds", 2)
            .environment("MILVUS_COORD_VRRP", state_file(&folder).display());
        if ways != Ways::Script {
            for hook in ["onActive", "onStandby", "onFault", "onStop"] {
                let key = format!("common.activeStandby.hooks.{hook}.command");
                plan = plan.set(&key, file("docker/keepalived/vrrp-state").display());
            }
        }
        let configuration_file = folder.path().join("keepalived.conf");
        fs::write(&configuration_file, configuration(ways, &folder)).unwrap();
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file"]);
        command.arg(&configuration_file);
        command.arg("--pid").arg(folder.path().join("pid"));
        command.arg("--vrrp_pid").arg(folder.path().join("vrrp-pid"));
        let log = folder.path().join("log");
        let keepalived = host.run(|| Process::start(&format!("keepalived of {name}"), command, &log));
        Self { name, host: host.clone(), ways, instance: plan.start(), keepalived, folder }
    }

    /// Waits on a thread of its host until it has the virtual address.
    fn address_comes(&self, limit: Duration) -> thread::JoinHandle<Option<Instant>> {
        let host = self.host.clone();
        thread::spawn(move || {
            host.run(|| {
                let since = Instant::now();
                while since.elapsed() < limit {
                    if has_address() {
                        return Some(Instant::now());
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                None
            })
        })
    }

    fn has_address(&self) -> bool {
        self.host.run(has_address)
    }

    /// What systemd does once the process is gone.
    fn stop_post(&self) {
        if self.ways == Ways::Script {
            return;
        }
        let status = Command::new(file("docker/keepalived/vrrp-state"))
            .args(["stop", "rootcoord"])
            .env("MILVUS_COORD_VRRP", state_file(&self.folder))
            .status();
        assert!(status.unwrap().success());
    }

    async fn stand_by_again(&mut self, fault: Fault, mark: Mark) {
        if fault == Fault::Freeze {
            self.instance.process.thaw();
            self.instance.process.log.wait(mark, "rootcoord is in STANDBY ...", SOON).await;
        } else {
            self.instance.process.exit(SOON).await;
            self.instance = self.instance.plan().start();
            self.instance.standby().await;
        }
    }

    /// Ends keepalived so that it takes its address along.
    async fn end(&self) {
        self.keepalived.signal(Signal::SIGTERM);
        self.keepalived.exit(SOON).await;
    }
}

fn has_address() -> bool {
    getifaddrs().into_iter().flatten().any(|interface| {
        let address = interface.address.and_then(|address| Some(address.as_sockaddr_in()?.ip()));
        address.map(IpAddr::V4) == Some(ADDRESS.into())
    })
}

/// Somebody who calls the virtual address all the time.
struct Client {
    stop: CancellationToken,
    newest: watch::Receiver<Option<Instant>>,
    /// Dropping it ends the one that calls.
    task: JoinSet<Vec<Instant>>,
}

impl Client {
    fn start() -> Self {
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        let (answered, newest) = watch::channel(None);
        task.spawn(call_again_and_again(stop.clone(), answered));
        Self { stop, newest, task }
    }

    /// When it had answers; the last one after this moment.
    async fn stop(mut self) -> Vec<Instant> {
        let now = Instant::now();
        let newer = self.newest.wait_for(|answer| answer.is_some_and(|at| at > now));
        tokio::time::timeout(SOON, newer).await.expect("the client has answers again").unwrap();
        self.stop.cancel();
        self.task.join_next().await.expect("it was started").unwrap()
    }
}

async fn call_again_and_again(
    stop: CancellationToken,
    answered: watch::Sender<Option<Instant>>,
) -> Vec<Instant> {
    let mut answers = Vec::new();
    let address = format!("{ADDRESS}:{PORT}");
    while !stop.is_cancelled() {
        // No server id: a client of the address does not know who is behind it.
        let Ok(Ok(direct)) = tokio::time::timeout(PATIENCE, Direct::connect(&address, None)).await else {
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        };
        while let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, direct.alloc_timestamp(1)).await {
            answers.push(Instant::now());
            answered.send_replace(answers.last().copied());
            if stop.is_cancelled() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    answers
}

/// The longest time without an answer that ended after `from`.
fn longest_gap(answers: &[Instant], from: Instant) -> Duration {
    let gaps = answers.windows(2).filter(|pair| pair[1] > from).map(|pair| pair[1] - pair[0]);
    gaps.max().expect("there were answers before and after")
}

/// Plays those faults one after the other; each time the two change places.
fn play(ways: Ways, faults: &[Fault]) {
    if Command::new("keepalived").arg("--version").output().is_err() {
        let reason: Result<(), _> = Err("there is no keepalived");
        or_skip!(reason);
    }
    let network = or_skip!(Network::new(4));
    let store = network.host(1);
    let options = Options { address: store.address(), ..Options::default() };
    let etcd = store.block_on(async || Etcd::start(options).await).unwrap();
    network.host(0).block_on(async || {
        let bed = Bed::around(PROGRAM, etcd);
        let mut active = Member::new(&bed, "first", network.host(2), ways);
        active.instance.serves(SOON).await;
        let arrives = active.address_comes(SOON);
        let mut standby = Member::new(&bed, "second", network.host(3), ways);
        standby.instance.standby().await;
        assert!(joined(arrives).is_some(), "{}", active.keepalived.log.tail(40));

        for fault in faults {
            let client = Client::start();
            answered(&active).await;
            let limit = if *fault == Fault::Freeze { AFTER_LEASE } else { FAST };
            let mark = active.instance.process.log.mark();
            let arrives = standby.address_comes(limit);
            let since = match fault {
                Fault::Kill => {
                    let killed = active.instance.kill().await;
                    active.stop_post();
                    killed
                }
                Fault::Terminate => active.instance.terminate(),
                Fault::Freeze => active.instance.process.freeze().await,
            };
            let arrived = joined(arrives);
            let (from, to) = (active.keepalived.log.tail(30), standby.keepalived.log.tail(30));
            let arrived = arrived.unwrap_or_else(|| panic!("no address after {fault:?}\n{from}\n{to}"));
            bed.wait_active(&standby.instance, limit).await;
            // Back again, it takes nothing away.
            active.stand_by_again(*fault, mark).await;
            std::mem::swap(&mut active, &mut standby);
            answered(&active).await;
            assert!(active.has_address() && !standby.has_address(), "{} lost the address", active.name);
            let gap = longest_gap(&client.stop().await, since);
            assert!(gap < limit, "{fault:?}: {gap:?} without an answer");
            let figures =
                format!("{ways:?}, {fault:?}: address {:?}, longest gap {gap:?}\n", arrived - since);
            // Past the capture of the test harness: figures are what an operator asks for.
            let _ = std::io::stderr().write_all(figures.as_bytes());
        }
        active.end().await;
        standby.end().await;
        bed.audit().await;
    });
}

/// Waits until calls through the address have been answered for a while.
async fn answered(active: &Member) {
    let direct = active.instance.direct().await.unwrap();
    let virtual_address = format!("{ADDRESS}:{PORT}");
    let called = async {
        let mut in_a_row = 0;
        while in_a_row < 50 {
            let called = async { Direct::connect(&virtual_address, None).await?.alloc_timestamp(1).await };
            in_a_row = if called.await.is_ok() { in_a_row + 1 } else { 0 };
        }
    };
    tokio::time::timeout(SOON, called).await.expect("calls through the virtual address are answered");
    direct.alloc_timestamp(1).await.unwrap();
}

fn joined(thread: thread::JoinHandle<Option<Instant>>) -> Option<Instant> {
    tokio::task::block_in_place(|| thread.join()).unwrap()
}

#[test]
fn the_address_follows_by_the_sample_as_it_is() {
    play(Ways::Both, &[Fault::Kill, Fault::Terminate, Fault::Freeze]);
}

#[test]
fn the_address_follows_by_the_hooks_alone() {
    play(Ways::File, &[Fault::Kill, Fault::Terminate]);
}

#[test]
fn the_address_follows_by_the_script_alone() {
    play(Ways::Script, &[Fault::Kill, Fault::Terminate, Fault::Freeze]);
}
