//! Turmoil's sockets behind the seam, for what runs as a turmoil host itself: etcd's
//! members and clients.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use milvus_coord::net::{Accept, BoxFuture, BoxIo, Dial};
use turmoil::net::{TcpListener, TcpStream};

/// Connects from the host that asks.
#[derive(Clone, Copy, Debug)]
pub struct TurmoilDial {
    /// After how long an attempt ends as `TimedOut`.
    pub connect_timeout: Duration,
}

impl Dial for TurmoilDial {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async move {
            let stream = tokio::time::timeout(self.connect_timeout, TcpStream::connect((host, port)))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(Box::new(stream) as BoxIo)
        })
    }
}

/// A listener of the host that made it.
pub struct TurmoilListener(TcpListener);

impl fmt::Debug for TurmoilListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurmoilListener").finish_non_exhaustive()
    }
}

impl TurmoilListener {
    /// Listens on all addresses of the host.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn bind(port: u16) -> io::Result<Self> {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.map(Self)
    }
}

impl Accept for TurmoilListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxIo, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            Ok((Box::new(stream) as BoxIo, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
