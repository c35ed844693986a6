//! A connection that remembers how it ended.
//!
//! Whether a peer *ended* a connection or merely fell silent decides about a takeover,
//! and by the time an error has come up through HTTP/2 that is hard to tell. So it is
//! noted where it is certain: at the socket.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::Instant,
};
use tonic::transport::{Channel, Endpoint};

use crate::net::{BoxIo, Dial};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the peer's reset or end of stream: its kernel closed the socket.
    ByPeer,
    /// By this side right after the peer had spoken: it said goodbye in good order.
    Farewell,
    /// By this side, a time-out, or a network error: says nothing about the peer.
    Otherwise,
}

/// A goodbye is acted upon at once; a ping that is not answered takes seconds.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is known of a connection from outside.
#[derive(Clone, Debug)]
pub struct Fate {
    end: watch::Receiver<Option<End>>,
    heard: Arc<AtomicBool>,
}

impl Fate {
    /// Waits for the end.
    pub async fn ended(&mut self) -> End {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.unwrap_or(End::Otherwise),
            Err(_) => End::Otherwise,
        }
    }

    /// Whether the peer ever sent a byte.
    pub fn heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }
}

/// The connection.
struct Traced {
    io: BoxIo,
    end: watch::Sender<Option<End>>,
    heard: Arc<AtomicBool>,
    heard_at: Option<Instant>,
}

impl Traced {
    fn note(&self, end: End) {
        self.end.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert(end);
            first
        });
    }

    fn note_error(&self, error: &io::Error) {
        let by_peer = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        self.note(if by_peer { End::ByPeer } else { End::Otherwise });
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let spoke = self.heard_at.is_some_and(|at| at.elapsed() < FAREWELL);
        self.note(if spoke { End::Farewell } else { End::Otherwise });
    }
}

impl AsyncRead for Traced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let wanted = buf.remaining() > 0;
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        match &polled {
            Poll::Ready(Ok(())) if wanted && buf.filled().len() == before => self.note(End::ByPeer),
            Poll::Ready(Ok(())) => {
                self.heard.store(true, Ordering::Release);
                self.heard_at = Some(Instant::now());
            }
            Poll::Ready(Err(error)) => self.note_error(error),
            Poll::Pending => {}
        }
        polled
    }
}

impl AsyncWrite for Traced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Err(error)) = &polled {
            self.note_error(error);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Host and port of an `address` as sessions name it.
///
/// # Errors
/// If it has no port.
pub fn split_address(address: &str) -> io::Result<(&str, u16)> {
    address
        .rsplit_once(':')
        .and_then(|(host, port)| {
            Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
        })
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("no port in address {address:?}")))
}

/// Dials `address` for one HTTP/2 connection that is never re-established behind the caller's back.
///
/// # Errors
/// The operating system's, of the dialling.
pub async fn connect(dial: &dyn Dial, address: &str, timeout: Duration) -> io::Result<(Channel, Fate)> {
    let (host, port) = split_address(address)?;
    let io = tokio::time::timeout(timeout, dial.dial(host, port))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let (end, receiver) = watch::channel(None);
    let heard = Arc::new(AtomicBool::new(false));
    let traced = Traced { io, end, heard: Arc::clone(&heard), heard_at: None };
    let fate = Fate { end: receiver, heard };

    let mut once = Some(traced);
    let connector = tower::service_fn(move |_: http::Uri| {
        let io = once.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        async move { io.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://peer")
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    let channel = endpoint.connect_with_connector(connector).await.map_err(io::Error::other)?;
    Ok((channel, fate))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::Tcp;

    const TCP: Tcp = Tcp { connect_timeout: Duration::from_secs(5) };

    async fn listening() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[tokio::test]
    async fn a_closed_and_a_reset_connection_were_ended_by_the_peer() {
        for linger in [None, Some(Duration::ZERO)] {
            let (listener, address) = listening().await;
            let (_channel, mut fate) = connect(&TCP, &address, Duration::from_secs(5)).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            if linger.is_some() {
                accepted.set_zero_linger().unwrap();
            }
            drop(accepted);
            let end = tokio::time::timeout(Duration::from_secs(10), fate.ended()).await.unwrap();
            assert_eq!(end, End::ByPeer, "{linger:?}");
            assert!(!fate.heard());
        }
    }

    #[tokio::test]
    async fn dropping_the_channel_says_nothing_about_the_peer() {
        let (listener, address) = listening().await;
        let (channel, mut fate) = connect(&TCP, &address, Duration::from_secs(5)).await.unwrap();
        let _accepted = listener.accept().await.unwrap();
        drop(channel);
        let end = tokio::time::timeout(Duration::from_secs(10), fate.ended()).await.unwrap();
        assert_eq!(end, End::Otherwise);
    }

    #[tokio::test]
    async fn a_refused_dial_is_told_as_such() {
        let (listener, address) = listening().await;
        drop(listener);
        let refused = connect(&TCP, &address, Duration::from_secs(5)).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn addresses_are_split_at_the_port() {
        assert_eq!(split_address("127.0.0.1:53100").unwrap(), ("127.0.0.1", 53100));
        assert_eq!(split_address("[::1]:53100").unwrap(), ("::1", 53100));
        assert!(split_address("nowhere").is_err());
        assert!(split_address("host:port").is_err());
    }
}
