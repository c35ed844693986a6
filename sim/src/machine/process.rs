//! A process: a tokio runtime on a paused clock that somebody drives, or does not.

use std::{collections::HashMap, fmt, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use milvus_coord::{
    clock::Clock,
    net::{Accept, BoxFuture, BoxIo, Dial},
};
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    kernel::{Call, Listening},
    time::{MachineTime, ProcessClock},
};
use crate::fake_etcd::record::Origin;

/// Who opened which connection.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Mutex<HashMap<SocketAddr, Origin>>>);

impl Connections {
    pub(crate) fn note(&self, local: SocketAddr, origin: Origin) {
        self.0.lock().insert(local, origin);
    }

    /// The process behind a connection that comes from there.
    pub fn origin(&self, from: SocketAddr) -> Origin {
        self.0.lock().get(&from).cloned().unwrap_or_else(|| Origin::new(&from.to_string()))
    }
}

/// What a process finds when it starts.
#[derive(Clone, Debug)]
pub struct Env {
    /// Its name, which no other process and no restart of it has.
    pub origin: Origin,
    /// Its machine's address.
    pub ip: std::net::IpAddr,
    /// Its machine's clocks.
    pub clock: Arc<dyn Clock>,
    calls: mpsc::Sender<Call>,
}

impl Env {
    /// The way to others. An attempt ends as `TimedOut` after `connect_timeout`.
    pub fn dial(&self, connect_timeout: Duration) -> Arc<dyn Dial> {
        Arc::new(KernelDial { calls: self.calls.clone(), origin: self.origin.clone(), connect_timeout })
    }

    /// Listens on a port of the machine; 0: any.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn listen(&self, port: u16) -> io::Result<Box<dyn Accept>> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(Call::Listen { port, reply }).await.map_err(|_| gone())?;
        let listening = answer.await.map_err(|_| gone())??;
        Ok(Box::new(KernelListener(listening)))
    }
}

fn gone() -> io::Error {
    io::Error::other("the machine is gone")
}

#[derive(Debug)]
struct KernelDial {
    calls: mpsc::Sender<Call>,
    origin: Origin,
    connect_timeout: Duration,
}

impl Dial for KernelDial {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let call = Call::Connect { host: host.to_owned(), port, origin: self.origin.clone(), reply };
            let connect = async {
                self.calls.send(call).await.map_err(|_| gone())?;
                answer.await.map_err(|_| gone())?
            };
            let end = tokio::time::timeout(self.connect_timeout, connect)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(Box::new(end) as BoxIo)
        })
    }
}

#[derive(Debug)]
struct KernelListener(Listening);

impl Accept for KernelListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxIo, SocketAddr)>> {
        Box::pin(async move {
            let (end, from) = self.0.accepted.recv().await.ok_or_else(gone)?;
            Ok((Box::new(end) as BoxIo, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.at)
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its main function returned this.
    Returned(i32),
    /// Its main function panicked.
    Panicked,
}

/// A process.
pub struct Process {
    runtime: Runtime,
    main: Option<JoinHandle<i32>>,
    clock: Arc<ProcessClock>,
    /// Local time by which tokio's clock is behind the machine's.
    behind: Duration,
    frozen: bool,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("frozen", &self.frozen).finish_non_exhaustive()
    }
}

impl Process {
    /// Starts one. It runs when it is ticked.
    pub(crate) fn start<F, Fut>(
        origin: Origin,
        ip: std::net::IpAddr,
        time: Arc<MachineTime>,
        calls: mpsc::Sender<Call>,
        main: F,
    ) -> Self
    where
        F: FnOnce(Env) -> Fut,
        Fut: Future<Output = i32> + Send + 'static,
    {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing");
        let clock = ProcessClock::new(time);
        let env = Env { origin, ip, clock: Arc::clone(&clock) as Arc<dyn Clock>, calls };
        let main = main(env);
        let main = runtime.spawn(main);
        Self { runtime, main: Some(main), clock, behind: Duration::ZERO, frozen: false }
    }

    /// Lets `by` of local time pass. A frozen process does not run, and runs through all of
    /// it when it is thawed, all its timers at once.
    pub(crate) fn tick(&mut self, by: Duration) {
        self.behind += by;
        if self.frozen {
            return;
        }
        // Timers have a grain of a millisecond: the rest is carried over.
        let run = Duration::from_millis(u64::try_from(self.behind.as_millis()).unwrap_or(u64::MAX));
        if run.is_zero() {
            return;
        }
        let (clock, behind) = (&self.clock, self.behind);
        self.runtime.block_on(async {
            clock.anchor(behind);
            tokio::time::sleep(run).await;
            clock.lift();
        });
        self.behind -= run;
    }

    /// Stops it between two instructions.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Lets it go on. Its clocks have gone on meanwhile.
    pub(crate) fn thaw(&mut self) {
        if !std::mem::take(&mut self.frozen) {
            return;
        }
        let passed = Duration::from_millis(u64::try_from(self.behind.as_millis()).unwrap_or(u64::MAX));
        let clock = &self.clock;
        self.behind -= passed;
        let rest = self.behind;
        self.runtime.block_on(async {
            tokio::time::advance(passed).await;
            clock.anchor(rest);
        });
        clock.lift();
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// How its main function ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        if !self.main.as_ref()?.is_finished() {
            return None;
        }
        let main = self.main.take()?;
        Some(match self.runtime.block_on(main) {
            Ok(code) => Ended::Returned(code),
            Err(_) => Ended::Panicked,
        })
    }
}
