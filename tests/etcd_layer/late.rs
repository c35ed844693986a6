//! A way to etcd on which a request can be stuck, and arrive long after its sender
//! has given up.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::PATIENCE;

/// What happens to what the client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    /// It is kept.
    Hold,
    /// What was kept stays kept; what comes now (the sender's giving up) is dropped.
    Seal,
    /// What was kept arrives, and what comes by new connections.
    Release,
}

/// What a client sends before its first frame (RFC 9113, section 3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// Counts the ends of requests or of answers among the frames that go one way. The
/// bytes alone tell nothing: a server acknowledges and measures as soon as a request
/// comes in, long before it has carried it out.
#[derive(Debug, Default)]
struct Ends {
    /// Bytes of the preface or of a payload still to come.
    skip: usize,
    /// The beginning of a frame's header (RFC 9113, section 4.1).
    header: Vec<u8>,
}

impl Ends {
    const HEADER: usize = 9;

    fn of_requests() -> Self {
        Self { skip: PREFACE, ..Self::default() }
    }

    fn of_answers() -> Self {
        Self::default()
    }

    /// How many ended within these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut ends = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (Self::HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let [long, mid, short, kind, flags, ..] = self.header[..]
                && self.header.len() == Self::HEADER
            {
                self.skip = usize::from(long) << 16 | usize::from(mid) << 8 | usize::from(short);
                ends += usize::from(match kind {
                    // DATA and HEADERS: END_STREAM.
                    0 | 1 => flags & 1 == 1,
                    // RST_STREAM.
                    3 => true,
                    _ => false,
                });
                self.header.clear();
            }
        }
        ends
    }
}

/// The way. Answers of the server always pass, as long as the client listens.
#[derive(Debug)]
pub(crate) struct LateWay {
    address: String,
    mode: watch::Sender<Mode>,
    held: watch::Receiver<usize>,
    arrived: watch::Receiver<usize>,
    stop: CancellationToken,
}

impl LateWay {
    pub(crate) async fn to(target: String) -> Self {
        let target = target.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mode = watch::Sender::new(Mode::Pass);
        let (held_in, held) = watch::channel(0);
        let (arrived_in, arrived) = watch::channel(0);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (modes, stopped, carriers) = (mode.clone(), stop.clone(), tasks.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&target).await.unwrap();
                let carry = carry(client, server, modes.subscribe(), held_in.clone(), arrived_in.clone());
                carriers.spawn(stopped.clone().run_until_cancelled_owned(carry));
            }
        }));
        Self { address, mode, held, arrived, stop }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// From now on requests get stuck.
    pub(crate) fn hold(&self) {
        self.mode.send_replace(Mode::Hold);
    }

    /// Waits until a request is stuck. Whatever is sent from now on, on whichever
    /// connection, is dropped.
    pub(crate) async fn seal(&mut self) {
        let stuck = self.held.wait_for(|requests| *requests > 0);
        timeout(PATIENCE, stuck).await.expect("a request within the time").unwrap();
        self.mode.send_replace(Mode::Seal);
    }

    /// Lets the stuck request arrive, and waits until the server has answered it.
    pub(crate) async fn release(&mut self) {
        self.arrived.mark_unchanged();
        self.mode.send_replace(Mode::Release);
        timeout(PATIENCE, self.arrived.changed()).await.expect("an answer within the time").unwrap();
    }
}

impl Drop for LateWay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn carry(
    client: TcpStream,
    server: TcpStream,
    mut mode: watch::Receiver<Mode>,
    held: watch::Sender<usize>,
    arrived: watch::Sender<usize>,
) {
    let (mut client_in, mut client_out) = client.into_split();
    let (mut server_in, mut server_out) = server.into_split();
    let mut kept = Vec::new();
    let (mut requests, mut answers) = (Ends::of_requests(), Ends::of_answers());
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut client_lives = true;
    // Something of this connection was dropped: the rest makes no sense to the server.
    let mut torn = false;
    loop {
        tokio::select! {
            read = client_in.read(&mut up), if client_lives => {
                let count = read.unwrap_or(0);
                client_lives = count > 0;
                let ended = requests.count(&up[..count]);
                let now = *mode.borrow();
                match now {
                    Mode::Pass | Mode::Release if count > 0 && !torn => {
                        server_out.write_all(&up[..count]).await.unwrap();
                    }
                    Mode::Pass | Mode::Release if !torn => return,
                    Mode::Hold => {
                        kept.extend_from_slice(&up[..count]);
                        held.send_modify(|requests| *requests += ended);
                        torn = true;
                    }
                    Mode::Seal => torn = true,
                    Mode::Pass | Mode::Release => {}
                }
            }
            read = server_in.read(&mut down) => {
                let count = read.unwrap_or(0);
                if count == 0 {
                    return;
                }
                let ended = answers.count(&down[..count]);
                if ended > 0 && *mode.borrow() == Mode::Release {
                    arrived.send_modify(|answers| *answers += ended);
                }
                // The client may be gone; the server shall not know.
                let _ = client_out.write_all(&down[..count]).await;
            }
            changed = mode.changed() => {
                if changed.is_err() {
                    return;
                }
                if *mode.borrow_and_update() == Mode::Release && !kept.is_empty() {
                    server_out.write_all(&kept).await.unwrap();
                    kept.clear();
                }
            }
        }
    }
}
