//! The kernel of a simulated machine: the turmoil host that owns its sockets.
//!
//! Processes run elsewhere and ask it to connect and to listen. So a process can be
//! frozen while its machine goes on accepting connections and taking bytes for it, and
//! killed while its machine says goodbye for it and refuses newcomers.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::copy_bidirectional,
    sync::{mpsc, oneshot},
};
use tokio_util::task::TaskTracker;
use turmoil::net::{TcpListener, TcpStream};

use super::{
    process::Connections,
    socket::{ProcessEnd, Socket},
};
use crate::fake_etcd::record::Origin;

/// How many connections a kernel accepts for a process that does not: Linux's default for the
/// queue of a listener is larger, but the effect is the same.
const BACKLOG: usize = 64;
/// A refused connection takes this long.
const REFUSAL: Duration = Duration::from_millis(1);
/// How often a port that a dead process held is tried again, a millisecond apart.
const BIND_ATTEMPTS: u32 = 5;

/// Between which machines connections are refused although the peer lives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Firewall(Arc<Mutex<BTreeSet<(IpAddr, IpAddr)>>>);

impl Firewall {
    pub(crate) fn reject(&self, from: IpAddr, to: IpAddr) {
        self.0.lock().insert((from, to));
    }

    pub(crate) fn allow(&self, from: IpAddr, to: IpAddr) {
        self.0.lock().remove(&(from, to));
    }

    fn rejects(&self, from: IpAddr, to: IpAddr) -> bool {
        self.0.lock().contains(&(from, to))
    }
}

/// The addresses of all hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<Mutex<BTreeMap<String, IpAddr>>>);

impl Names {
    pub(crate) fn add(&self, name: &str, ip: IpAddr) {
        self.0.lock().insert(name.to_owned(), ip);
    }

    fn find(&self, host: &str) -> Option<IpAddr> {
        host.parse().ok().or_else(|| self.0.lock().get(host).copied())
    }
}

/// What a process asks its kernel for.
#[derive(Debug)]
pub(crate) enum Call {
    Connect { host: String, port: u16, origin: Origin, reply: oneshot::Sender<io::Result<ProcessEnd>> },
    Listen { port: u16, reply: oneshot::Sender<io::Result<Listening>> },
}

/// A listener as the process holds it. Its end ends the kernel's.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) accepted: mpsc::Receiver<(ProcessEnd, SocketAddr)>,
    pub(crate) at: SocketAddr,
}

/// What the world keeps of a kernel.
#[derive(Clone, Debug)]
pub(crate) struct KernelHandle {
    pub(crate) ip: IpAddr,
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) open: Open,
    /// What connecting fails with locally: no descriptors, no ports, no route.
    pub(crate) trouble: Arc<Mutex<Option<i32>>>,
}

/// The connections of a machine, with their other sides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Open(Arc<Mutex<Vec<(IpAddr, Socket)>>>);

impl Open {
    fn add(&self, peer: IpAddr, socket: &Socket) {
        let mut open = self.0.lock();
        open.retain(|(_, socket)| !socket.is_over());
        open.push((peer, socket.clone()));
    }

    /// Resets every connection with `peer`.
    pub(crate) fn reset(&self, peer: IpAddr) {
        for (_, socket) in self.0.lock().iter().filter(|(other, _)| *other == peer) {
            socket.reset();
        }
    }
}

/// What a kernel works with.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) ip: IpAddr,
    pub(crate) names: Names,
    pub(crate) firewall: Firewall,
    pub(crate) open: Open,
    pub(crate) trouble: Arc<Mutex<Option<i32>>>,
    pub(crate) connections: Connections,
    pub(crate) tasks: TaskTracker,
}

impl Kernel {
    /// Serves the machine's processes for ever.
    pub(crate) async fn run(self, mut calls: mpsc::Receiver<Call>) {
        while let Some(call) = calls.recv().await {
            let kernel = self.clone();
            self.tasks.spawn(async move {
                match call {
                    Call::Connect { host, port, origin, reply } => {
                        kernel.connect(&host, port, origin, reply).await;
                    }
                    Call::Listen { port, reply } => kernel.listen(port, reply).await,
                }
            });
        }
    }

    async fn connect(
        &self,
        host: &str,
        port: u16,
        origin: Origin,
        mut reply: oneshot::Sender<io::Result<ProcessEnd>>,
    ) {
        // A process that gave up, or ended, takes its attempt with it.
        let stream = tokio::select! {
            biased;
            () = reply.closed() => return,
            stream = self.open_stream(host, port) => stream,
        };
        let connected = stream.and_then(|stream| {
            let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
            Ok((stream, local, peer))
        });
        let answer = connected.map(|(stream, local, peer)| {
            self.connections.note(local, origin);
            self.relay(stream, peer)
        });
        // If nobody takes it, its end is dropped, and the connection with it.
        let _ = reply.send(answer);
    }

    async fn open_stream(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        if let Some(errno) = *self.trouble.lock() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let to = self.names.find(host).ok_or_else(|| io::Error::other(format!("unknown host {host}")))?;
        if self.firewall.rejects(self.ip, to) {
            tokio::time::sleep(REFUSAL).await;
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        TcpStream::connect((to, port)).await
    }

    async fn listen(&self, port: u16, reply: oneshot::Sender<io::Result<Listening>>) {
        let listener = match self.bind(port).await {
            Ok(listener) => listener,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let port = listener.local_addr().map_or(port, |at| at.port());
        let (sender, accepted) = mpsc::channel(BACKLOG);
        let at = SocketAddr::new(self.ip, port);
        if reply.send(Ok(Listening { accepted, at })).is_err() {
            return;
        }
        loop {
            // No room in the queue: newcomers meet silence.
            let room = tokio::select! {
                biased;
                () = sender.closed() => return,
                room = sender.reserve() => room,
            };
            let Ok(room) = room else { return };
            let accepted = tokio::select! {
                biased;
                () = sender.closed() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, from)) = accepted else { return };
            room.send((self.relay(stream, from), from));
        }
    }

    async fn bind(&self, port: u16) -> io::Result<TcpListener> {
        let mut attempts = 0;
        loop {
            match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts < BIND_ATTEMPTS => {
                    attempts += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                bound => return bound,
            }
        }
    }

    /// Connects a stream of the network with a socket for the process.
    fn relay(&self, mut stream: TcpStream, peer: SocketAddr) -> ProcessEnd {
        let socket = Socket::default();
        self.open.add(peer.ip(), &socket);
        let (process, mut end) = (socket.process_end(), socket.kernel_end());
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                _ = copy_bidirectional(&mut stream, &mut end) => {}
                () = socket.over() => {}
            }
        });
        process
    }
}
