//! Real etcd servers, one or several, on loopback.
//!
//! The program is `$MILVUS_COORD_ETCD`, else `etcd` from the path. Everything is
//! removed when the [`Etcd`] is dropped, also by a panic, and when the test process is killed.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::leash::Leashed;

/// How long a member may take to end after it was asked to, before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long the servers may take to be ready. Generous: test machines are busy.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What the servers shall be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many members.
    pub members: usize,
    /// Where they listen. Another one than loopback exists in a network namespace only.
    pub address: Ipv4Addr,
    /// `--heartbeat-interval`, milliseconds.
    pub heartbeat_ms: u32,
    /// `--election-timeout`, milliseconds. The least lease etcd grants is 1.5 times this, in whole seconds.
    pub election_ms: u32,
    /// TLS on the client side.
    pub tls: Option<Tls>,
    /// Appended to each member's command line: `--quota-backend-bytes=…`, `--auth-token-ttl=…`.
    pub extra_args: Vec<String>,
}

impl Default for Options {
    /// One member, with times that make leases of 2 s possible.
    fn default() -> Self {
        Self {
            members: 1,
            address: Ipv4Addr::LOCALHOST,
            heartbeat_ms: 100,
            election_ms: 1000,
            tls: None,
            extra_args: Vec::new(),
        }
    }
}

impl Options {
    /// That many members that elect a new leader within about a second.
    pub fn members(members: usize) -> Self {
        Self { members, heartbeat_ms: 50, election_ms: 500, ..Self::default() }
    }

    /// With one more argument for each member.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.extra_args.push(arg.into());
        self
    }
}

/// Files in PEM format.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate of the servers.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// If given, clients must show a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

/// A running etcd.
#[derive(Debug)]
pub struct Etcd {
    options: Options,
    program: PathBuf,
    folder: TempDir,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: String,
    client: u16,
    peer: u16,
    metrics: u16,
    process: Option<Leashed>,
}

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    // All listeners are held until the last port is known, so that none comes twice.
    let listeners =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<Vec<_>>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn program() -> PathBuf {
    std::env::var_os("MILVUS_COORD_ETCD").map_or_else(|| PathBuf::from("etcd"), PathBuf::from)
}

impl Etcd {
    /// One member with the default options.
    pub async fn single() -> io::Result<Self> {
        Self::start(Options::default()).await
    }

    /// Starts the members and waits until all are healthy.
    ///
    /// # Errors
    /// The program is missing, or the servers aren't healthy within a minute; the
    /// error then carries the end of a log.
    pub async fn start(options: Options) -> io::Result<Self> {
        let mut etcd = Self::prepare(options)?;
        for index in 0..etcd.members.len() {
            etcd.spawn(index)?;
        }
        etcd.wait_healthy().await?;
        Ok(etcd)
    }

    /// Chooses folder and ports without starting anything: for tests in which etcd comes up late.
    ///
    /// # Errors
    /// No temporary folder or no free ports.
    pub fn prepare(options: Options) -> io::Result<Self> {
        let folder = TempDir::with_prefix("milvus-coord-etcd-")?;
        let ports = free_ports(options.members * 3)?;
        let members = ports
            .chunks(3)
            .enumerate()
            .map(|(index, ports)| Member {
                name: format!("m{index}"),
                client: ports[0],
                peer: ports[1],
                metrics: ports[2],
                process: None,
            })
            .collect();
        Ok(Self { options, program: program(), folder, members })
    }

    fn scheme(&self) -> &'static str {
        if self.options.tls.is_some() { "https" } else { "http" }
    }

    fn data_dir(&self, index: usize) -> PathBuf {
        self.folder.path().join(&self.members[index].name)
    }

    fn args(&self, index: usize) -> Vec<String> {
        let member = &self.members[index];
        let (scheme, address) = (self.scheme(), self.options.address);
        let client_url = format!("{scheme}://{address}:{}", member.client);
        let peer_url = format!("http://{address}:{}", member.peer);
        let everyone = self
            .members
            .iter()
            .map(|m| format!("{}=http://{address}:{}", m.name, m.peer))
            .collect::<Vec<_>>()
            .join(",");
        let mut args = vec![
            format!("--name={}", member.name),
            format!("--data-dir={}", self.data_dir(index).display()),
            format!("--listen-client-urls={client_url}"),
            format!("--advertise-client-urls={client_url}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--listen-metrics-urls=http://127.0.0.1:{}", member.metrics),
            format!("--initial-cluster={everyone}"),
            "--initial-cluster-state=new".to_owned(),
            format!("--heartbeat-interval={}", self.options.heartbeat_ms),
            format!("--election-timeout={}", self.options.election_ms),
        ];
        if let Some(tls) = &self.options.tls {
            args.push(format!("--cert-file={}", tls.cert.display()));
            args.push(format!("--key-file={}", tls.key.display()));
            if let Some(ca) = &tls.client_ca {
                args.push("--client-cert-auth".to_owned());
                args.push(format!("--trusted-ca-file={}", ca.display()));
            }
        }
        args.extend(self.options.extra_args.iter().cloned());
        args
    }

    /// Starts a member that isn't running, without waiting for it.
    ///
    /// # Errors
    /// The program could not be started.
    ///
    /// # Panics
    /// It is running.
    pub fn spawn(&mut self, index: usize) -> io::Result<()> {
        assert!(self.members[index].process.is_none(), "member {index} is running");
        let log = self.log_file(index);
        let process = Leashed::start(&self.program, self.args(index), &log, self.folder.path())?;
        self.members[index].process = Some(process);
        Ok(())
    }

    /// Waits until every running member says that it is healthy.
    ///
    /// # Errors
    /// A member ended, or the time is over.
    pub async fn wait_healthy(&mut self) -> io::Result<()> {
        for index in 0..self.members.len() {
            if self.members[index].process.is_some() {
                self.wait_member_healthy(index).await?;
            }
        }
        Ok(())
    }

    /// Waits until that member says that it is healthy.
    ///
    /// # Errors
    /// It ended, or the time is over; the error carries the end of its log.
    pub async fn wait_member_healthy(&mut self, index: usize) -> io::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if healthy(self.members[index].metrics).await {
                return Ok(());
            }
            let ended = match &mut self.members[index].process {
                Some(process) => process.ended()?.is_some(),
                None => true,
            };
            if ended || Instant::now() >= deadline {
                let state = if ended { "ended" } else { "is not healthy" };
                let log = self.log_tail(index);
                return Err(io::Error::other(format!("etcd member {index} {state}:\n{log}")));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The client addresses of all members, with scheme.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|index| self.endpoint(index)).collect()
    }

    /// The client address of one member, with scheme.
    pub fn endpoint(&self, index: usize) -> String {
        format!("{}://{}:{}", self.scheme(), self.options.address, self.members[index].client)
    }

    /// The client port of one member.
    pub fn client_port(&self, index: usize) -> u16 {
        self.members[index].client
    }

    /// The process id of a running member.
    pub fn pid(&self, index: usize) -> Option<i32> {
        self.members[index].process.as_ref().map(Leashed::pid)
    }

    /// Whether the member was started and not stopped or killed since.
    pub fn is_running(&self, index: usize) -> bool {
        self.members[index].process.is_some()
    }

    /// Ends a member as an operator would, and waits for its end.
    ///
    /// # Errors
    /// The operating system's.
    pub fn stop(&mut self, index: usize) -> io::Result<()> {
        self.thaw(index)?;
        match self.members[index].process.take() {
            Some(process) => process.stop(STOP_GRACE),
            None => Ok(()),
        }
    }

    /// Ends a member with SIGKILL, and waits for its end.
    pub fn kill(&mut self, index: usize) {
        self.members[index].process = None;
    }

    /// Stops a running member between two instructions (SIGSTOP).
    ///
    /// # Errors
    /// The operating system's.
    pub fn freeze(&self, index: usize) -> io::Result<()> {
        self.signal(index, Signal::SIGSTOP)
    }

    /// Lets a frozen member go on (SIGCONT).
    ///
    /// # Errors
    /// The operating system's.
    pub fn thaw(&self, index: usize) -> io::Result<()> {
        self.signal(index, Signal::SIGCONT)
    }

    fn signal(&self, index: usize, signal: Signal) -> io::Result<()> {
        self.members[index].process.as_ref().map_or(Ok(()), |process| process.signal(signal))
    }

    /// Starts a stopped member on its old data and ports, and waits until it is healthy.
    ///
    /// # Errors
    /// It could not be started, or isn't healthy in time.
    pub async fn start_again(&mut self, index: usize) -> io::Result<()> {
        self.spawn(index)?;
        self.wait_member_healthy(index).await
    }

    /// Removes the data of a member that isn't running: it comes up empty, as another cluster.
    ///
    /// # Errors
    /// The operating system's.
    ///
    /// # Panics
    /// It is running.
    pub fn wipe(&mut self, index: usize) -> io::Result<()> {
        assert!(self.members[index].process.is_none(), "member {index} is running");
        std::fs::remove_dir_all(self.data_dir(index))
    }

    /// Copies the data of all members, none of which may be running, to be
    /// [restored](Self::restore) later: a backup.
    ///
    /// # Errors
    /// The operating system's.
    ///
    /// # Panics
    /// A member is running.
    pub fn back_up(&self) -> io::Result<Backup> {
        assert!(self.members.iter().all(|m| m.process.is_none()), "a member is running");
        let folder = TempDir::with_prefix("milvus-coord-etcd-backup-")?;
        for member in &self.members {
            copy_folder(&self.folder.path().join(&member.name), &folder.path().join(&member.name))?;
        }
        Ok(Backup { folder })
    }

    /// Replaces the data of all members, none of which may be running.
    ///
    /// # Errors
    /// The operating system's.
    ///
    /// # Panics
    /// A member is running.
    pub fn restore(&mut self, backup: &Backup) -> io::Result<()> {
        assert!(self.members.iter().all(|m| m.process.is_none()), "a member is running");
        for member in &self.members {
            let data = self.folder.path().join(&member.name);
            std::fs::remove_dir_all(&data)?;
            copy_folder(&backup.folder.path().join(&member.name), &data)?;
        }
        Ok(())
    }

    /// A plain client of all members, for what a test does behind the product's back. Not for TLS.
    ///
    /// # Errors
    /// The client's.
    pub async fn client(&self) -> Result<etcd_client::Client, etcd_client::Error> {
        etcd_client::Client::connect(self.endpoints(), None).await
    }

    /// Compacts the history up to and without `revision`.
    ///
    /// # Errors
    /// The client's.
    pub async fn compact(&self, revision: i64) -> Result<(), etcd_client::Error> {
        self.client().await?.compact(revision, None).await.map(drop)
    }

    /// Where the member's data, log and whatever a test adds are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log_file(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("{}.log", self.members[index].name))
    }

    /// The end of a member's log.
    pub fn log_tail(&self, index: usize) -> String {
        let log = std::fs::read(self.log_file(index)).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4096)..]).into_owned()
    }
}

/// The data of all members at one time.
#[derive(Debug)]
pub struct Backup {
    folder: TempDir,
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Asks a member's `/health`, which stands on a port without TLS.
async fn healthy(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    };
    matches!(timeout(Duration::from_secs(2), ask).await, Ok(Ok(answer)) if answer.contains(r#""health":"true""#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn serves_stops_and_comes_back_with_its_data() -> Result<(), Box<dyn std::error::Error>> {
        let mut etcd = Etcd::single().await?;
        #[expect(clippy::disallowed_methods, reason = "the test bed itself")]
        etcd.client().await?.put("k", "v", None).await?;
        etcd.stop(0)?;
        etcd.start_again(0).await?;
        let kept = etcd.client().await?.get("k", None).await?;
        assert_eq!(kept.kvs()[0].value(), b"v");
        let folder = etcd.folder().to_owned();
        drop(etcd);
        assert!(!folder.exists());
        Ok(())
    }

    #[tokio::test]
    async fn three_members_outlive_one() -> Result<(), Box<dyn std::error::Error>> {
        let mut etcd = Etcd::start(Options::members(3)).await?;
        etcd.kill(0);
        let mut client = etcd_client::Client::connect([etcd.endpoint(1)], None).await?;
        let deadline = Instant::now() + Duration::from_secs(20);
        #[expect(clippy::disallowed_methods, reason = "the test bed itself")]
        while client.put("k", "v", None).await.is_err() {
            assert!(Instant::now() < deadline, "no leader");
        }
        Ok(())
    }
}
