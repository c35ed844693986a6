//! Several hosts on one machine: network namespaces behind a bridge, so that a cable
//! can be cut.
//!
//! The bridge lives in a namespace of its own, and no address is added to the
//! machine's own. A socket belongs to the namespace of the thread that made it:
//! what runs in [`Host::run`] or [`Host::block_on`], and every process started
//! there, is on that host.

use std::{
    fs::File,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use nix::sched::{CloneFlags, setns};

/// Where `ip netns` keeps the names.
const NAMES: &str = "/var/run/netns";

/// Begins the name of every namespace made here; then comes the process id.
const PREFIX: &str = "milvus-coord-";

/// A switch and some hosts. Dropping it removes them.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    hosts: Vec<Host>,
}

/// One host. It has one interface besides loopback.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: String,
    address: Ipv4Addr,
}

impl Network {
    /// Makes that many hosts, all connected.
    ///
    /// # Errors
    /// Why this machine can't: usually, no root.
    pub fn new(hosts: u8) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        sweep();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{PREFIX}{}-{number}", std::process::id());
        // From here on, whatever fails, what was made is removed.
        let mut network = Self { prefix, hosts: Vec::new() };
        let switch = network.switch();
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for index in 0..hosts {
            let host = Host {
                namespace: format!("{}-h{index}", network.prefix),
                address: Ipv4Addr::new(192, 0, 2, 11 + index),
            };
            let (name, port) = (host.namespace.clone(), format!("v{index}"));
            ip(&["netns", "add", &name])?;
            network.hosts.push(host);
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ip(&[
                "link", "add", &port, "netns", &switch, "type", "veth", "peer", "name", "eth0", "netns",
                &name,
            ])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
            let address = format!("192.0.2.{}/24", 11 + index);
            ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
            // Refused rather than unknown: a rule of iptables that can't be set would
            // make a partition test pass without a partition.
            network.hosts[usize::from(index)].iptables(&["-S"])?;
        }
        Ok(network)
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.prefix)
    }

    /// The host with that number, from 0.
    pub fn host(&self, index: usize) -> &Host {
        &self.hosts[index]
    }

    /// Silence between two hosts: packets are dropped both ways.
    ///
    /// # Panics
    /// When the rule can't be set.
    pub fn cut(&self, a: &Host, b: &Host) {
        let other = b.address.to_string();
        a.rule(&["-A", "INPUT", "-s", &other, "-j", "DROP"]);
        a.rule(&["-A", "OUTPUT", "-d", &other, "-j", "DROP"]);
    }

    /// What `from` sends to `to` is dropped; the other way all is well.
    ///
    /// # Panics
    /// When the rule can't be set.
    pub fn cut_one_way(&self, from: &Host, to: &Host) {
        to.rule(&["-A", "INPUT", "-s", &from.address.to_string(), "-j", "DROP"]);
    }

    /// A firewall at `at` that answers for `from`'s connections with a reset: open
    /// ones and new ones look as if the process there were dead.
    ///
    /// # Panics
    /// When the rule can't be set.
    pub fn reject(&self, at: &Host, from: &Host) {
        let source = from.address.to_string();
        at.rule(&["-A", "INPUT", "-p", "tcp", "-s", &source, "-j", "REJECT", "--reject-with", "tcp-reset"]);
    }

    /// Cuts a host off from all others.
    ///
    /// # Panics
    /// When the rule can't be set.
    pub fn isolate(&self, host: &Host) {
        host.rule(&["-A", "INPUT", "-i", "eth0", "-j", "DROP"]);
        host.rule(&["-A", "OUTPUT", "-o", "eth0", "-j", "DROP"]);
    }

    /// Removes every rule of every host.
    ///
    /// # Panics
    /// When that fails.
    pub fn heal(&self) {
        for host in &self.hosts {
            host.rule(&["-F"]);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            let _ = ip(&["netns", "del", &host.namespace]);
        }
        let _ = ip(&["netns", "del", &self.switch()]);
    }
}

impl Host {
    /// Its address on the switch.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Runs `work` on a thread of this host, and waits for it.
    ///
    /// # Panics
    /// When `work` does, or the namespace can't be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter();
            work()
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Runs what is asynchronous on this host to its end, with a runtime of its own.
    ///
    /// # Panics
    /// When it does, or the namespace can't be entered.
    pub fn block_on<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        self.run(|| {
            // Its threads are started from this one, and so are on this host, too.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(work())
        })
    }

    fn enter(&self) {
        let path: PathBuf = Path::new(NAMES).join(&self.namespace);
        let namespace = File::open(&path).unwrap_or_else(|e| panic!("can't open {}: {e}", path.display()));
        setns(namespace, CloneFlags::CLONE_NEWNET)
            .unwrap_or_else(|e| panic!("can't enter {}: {e}", self.namespace));
    }

    fn iptables(&self, rule: &[&str]) -> Result<(), String> {
        let mut args = vec!["netns", "exec", &self.namespace, "iptables", "-w"];
        args.extend(rule);
        ip(&args)
    }

    fn rule(&self, rule: &[&str]) {
        self.iptables(rule).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// Removes what test programs left that were killed before they could.
fn sweep() {
    let Ok(names) = std::fs::read_dir(NAMES) else { return };
    for name in names.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if let Some(pid) = pid
            && !Path::new("/proc").join(pid).exists()
        {
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|e| format!("ip: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use std::{
        io::ErrorKind,
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use super::*;

    #[test]
    fn hosts_reach_each_other_until_cut() {
        let network = crate::or_skip!(Network::new(2));
        let (a, b) = (network.host(0), network.host(1));
        let listener = a.run(|| TcpListener::bind((a.address(), 0))).unwrap();
        let there = listener.local_addr().unwrap();
        let dial = || b.run(|| TcpStream::connect_timeout(&there, Duration::from_millis(300)));
        assert!(dial().is_ok());

        network.cut(a, b);
        assert_eq!(dial().unwrap_err().kind(), ErrorKind::TimedOut);
        network.heal();
        assert!(dial().is_ok());

        network.reject(a, b);
        assert_eq!(dial().unwrap_err().kind(), ErrorKind::ConnectionRefused);
        network.heal();
        network.cut_one_way(b, a);
        assert_eq!(dial().unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(
            TcpStream::connect_timeout(&there, Duration::from_millis(300)).is_err(),
            "the machine itself is no host"
        );
    }
}
