//! A TCP proxy between a client and a server that can delay, hang and cut.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How much is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// How many chunks may be on the way in one direction of one connection; more and
/// the sender is slowed down, as by a full window.
const ON_THE_WAY: usize = 256;

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They arrive at once.
    Pass,
    /// They arrive this much later.
    Delay(Duration),
    /// They wait until the flow is another one: silence, without loss.
    Hang,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What the client sends.
    ToServer,
    /// What the server answers.
    ToClient,
}

/// A running proxy. Dropping it resets all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    controls: Arc<Controls>,
    open: watch::Sender<bool>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Controls {
    to_server: watch::Sender<Flow>,
    to_client: watch::Sender<Flow>,
    /// Replaced by [`Proxy::cut`]: connections hold the token they were made under.
    cut: watch::Sender<CancellationToken>,
}

impl Proxy {
    /// Listens on a free port of loopback, and connects each client to `target`
    /// (`host:port`).
    ///
    /// # Panics
    /// When it can't listen.
    pub async fn start(target: &str) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, target).await
    }

    /// The same at another address of the host that this runs on.
    ///
    /// # Panics
    /// When it can't listen.
    pub async fn start_at(address: Ipv4Addr, target: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("the listener's address");
        let controls = Arc::new(Controls {
            to_server: watch::Sender::new(Flow::Pass),
            to_client: watch::Sender::new(Flow::Pass),
            cut: watch::Sender::new(CancellationToken::new()),
        });
        let open = watch::Sender::new(true);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let accept =
            accept(listener, target.to_owned(), Arc::clone(&controls), open.subscribe(), tasks.clone());
        let stopped = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = accept => {}
            }
        });
        Self { address, controls, open, stop, tasks }
    }

    /// Where clients connect to: `127.0.0.1:40001`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets what happens to the bytes of one direction, of present and future connections.
    pub fn set(&self, way: Way, flow: Flow) {
        match way {
            Way::ToServer => self.controls.to_server.send_replace(flow),
            Way::ToClient => self.controls.to_client.send_replace(flow),
        };
    }

    /// Silence both ways.
    pub fn hang(&self) {
        self.set(Way::ToServer, Flow::Hang);
        self.set(Way::ToClient, Flow::Hang);
    }

    /// Resets every connection. New ones are accepted.
    pub fn cut(&self) {
        self.controls.cut.send_replace(CancellationToken::new()).cancel();
    }

    /// Resets every connection and each new one, at once after it was accepted.
    pub fn refuse(&self) {
        self.open.send_replace(false);
        self.cut();
    }

    /// All is well again.
    pub fn heal(&self) {
        self.set(Way::ToServer, Flow::Pass);
        self.set(Way::ToClient, Flow::Pass);
        self.open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut();
        self.tasks.close();
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    controls: Arc<Controls>,
    open: watch::Receiver<bool>,
    tasks: TaskTracker,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        if !*open.borrow() {
            reset(client);
            continue;
        }
        let cut = controls.cut.borrow().clone();
        let (to_server, to_client) = (controls.to_server.subscribe(), controls.to_client.subscribe());
        let carry = carry(client, target.clone(), to_server, to_client, cut);
        tasks.spawn(carry);
    }
}

async fn carry(
    mut client: TcpStream,
    target: String,
    to_server: watch::Receiver<Flow>,
    to_client: watch::Receiver<Flow>,
    cut: CancellationToken,
) {
    let connected = tokio::select! {
        connected = TcpStream::connect(&target) => connected,
        () = cut.cancelled() => return reset(client),
    };
    let Ok(mut server) = connected else { return reset(client) };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let whole = {
        let (client_in, client_out) = client.split();
        let (server_in, server_out) = server.split();
        let both = async {
            tokio::join!(pump(client_in, server_out, to_server), pump(server_in, client_out, to_client))
        };
        tokio::select! {
            ended = both => ended.0 && ended.1,
            () = cut.cancelled() => false,
        }
    };
    if !whole {
        reset(client);
        reset(server);
    }
}

/// Carries the bytes of one direction. `true`: to their regular end.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut flow: watch::Receiver<Flow>) -> bool {
    let (send, mut arrive) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let entering = flow.clone();
    let read = async move {
        let mut buffer = vec![0; CHUNK];
        loop {
            match from.read(&mut buffer).await {
                Ok(0) => return true,
                Ok(count) => {
                    let delay = match *entering.borrow() {
                        Flow::Delay(delay) => delay,
                        Flow::Pass | Flow::Hang => Duration::ZERO,
                    };
                    if send.send((Instant::now() + delay, buffer[..count].to_vec())).await.is_err() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = arrive.recv().await {
            tokio::time::sleep_until(due).await;
            let passes = flow.wait_for(|flow| *flow != Flow::Hang).await.is_ok();
            if !passes || to.write_all(&bytes).await.is_err() {
                return false;
            }
        }
        // The end of the stream waits for its turn, too.
        flow.wait_for(|flow| *flow != Flow::Hang).await.is_ok() && to.shutdown().await.is_ok()
    };
    let (read, written) = tokio::join!(read, write);
    read && written
}

/// Closes a connection so that the other end sees a reset.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncBufReadExt, task::JoinSet};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A server that answers each line with itself.
    async fn echo() -> (JoinSet<()>, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        });
        (tasks, address)
    }

    async fn line(stream: &mut TcpStream) -> std::io::Result<String> {
        stream.write_all(b"hello\n").await?;
        let mut answer = String::new();
        tokio::io::BufReader::new(stream).read_line(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn bytes_pass_late_or_not_at_all_as_told() {
        let (_server, target) = echo().await;
        let proxy = Proxy::start(&target).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(line(&mut stream).await.unwrap(), "hello\n");

        let delay = Duration::from_millis(50);
        proxy.set(Way::ToClient, Flow::Delay(delay));
        let before = Instant::now();
        line(&mut stream).await.unwrap();
        assert!(before.elapsed() >= delay);

        proxy.hang();
        let silent = tokio::time::timeout(delay, line(&mut stream)).await;
        assert!(silent.is_err(), "{silent:?}");
        proxy.heal();
        assert_eq!(tokio::time::timeout(SOON, line(&mut stream)).await.unwrap().unwrap(), "hello\n");
    }

    #[tokio::test]
    async fn a_cut_is_a_reset_and_can_be_healed() {
        let (_server, target) = echo().await;
        let proxy = Proxy::start(&target).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        line(&mut stream).await.unwrap();
        proxy.refuse();
        let mut byte = [0];
        let end = tokio::time::timeout(SOON, stream.read(&mut byte)).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(tokio::time::timeout(SOON, refused.read(&mut byte)).await.unwrap().is_err());
        proxy.heal();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(line(&mut stream).await.unwrap(), "hello\n");
    }
}
