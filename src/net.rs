//! How this process reaches others and is reached: a seam, so that a simulated
//! network can take the place of the real one.

use std::{fmt, future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use crate::descriptors::{ClosedEarly, raise};

/// A future that the caller need not know the type of.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A byte stream to a peer.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An accepted or established connection.
pub type BoxIo = Box<dyn Io>;

/// Opens connections.
pub trait Dial: Send + Sync + fmt::Debug {
    /// Connects to `host:port`; names are looked up anew each time.
    ///
    /// # Errors
    /// The operating system's own error, unwrapped: whether a peer *refused* or was
    /// *silent* decides about a takeover.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxIo>>;
}

/// Accepts connections.
pub trait Accept: Send + fmt::Debug {
    /// Waits for the next connection.
    ///
    /// # Errors
    /// The operating system's.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxIo, SocketAddr)>>;

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// TCP as the operating system has it.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    /// After how long an attempt ends as `TimedOut`.
    pub connect_timeout: Duration,
}

impl Dial for Tcp {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async move {
            let connect = TcpStream::connect((host, port));
            let stream = tokio::time::timeout(self.connect_timeout, connect)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxIo)
        })
    }
}

/// Listens, on a descriptor that the kernel closes before those of connections.
///
/// # Errors
/// The operating system's.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?.into_std()?;
    TcpListener::from_std(raise(listener.into(), ClosedEarly::Listener).into())
}

impl Accept for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxIo, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = Self::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as BoxIo, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, os::fd::AsRawFd};

    use super::*;

    #[tokio::test]
    async fn a_listener_is_closed_before_its_connections() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let _dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(listener.as_raw_fd() > accepted.as_raw_fd());
    }
}
