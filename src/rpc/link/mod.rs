//! One HTTP/2 connection to one address: opened once, ended once, never reopened
//! behind its user's back.
//!
//! Every error says whether the peer may have processed the call, and how the
//! connection ended. A connection counts as open when the peer's first byte has
//! arrived: the kernel of a frozen process accepts, too.

mod body;
mod ended;
mod owner;
mod slot;
mod wire;

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use http::uri::{Authority, Parts, PathAndQuery, Scheme, Uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

pub(crate) use self::owner::Tasks;
use self::wire::{Wire, WireLog};
pub use self::{
    body::LinkBody,
    ended::{Ended, Silence},
    owner::LinkOwner,
    slot::Slot,
};
use crate::net::{BoxFuture, Dial};

/// Largest set of headers that is accepted, as grpc-go has it.
pub(crate) const MAX_HEADER_LIST: u32 = 16 << 20;
/// What a peer may send ahead on one stream and on all streams together.
pub(crate) const STREAM_WINDOW: u32 = 2 << 20;
/// See [`STREAM_WINDOW`]. Wide, because calls that wait with unread bodies share it.
pub(crate) const CONNECTION_WINDOW: u32 = 32 << 20;

/// How connections are made and watched.
#[derive(Clone, Copy, Debug)]
pub struct LinkSettings {
    /// From the first packet to the peer's first byte.
    pub connect_timeout: Duration,
    /// How often the peer is pinged, calls or no calls.
    pub ping_every: Duration,
    /// How long the answer to a ping may take before the connection is given up.
    pub ping_timeout: Duration,
}

impl Default for LinkSettings {
    /// As Milvus's own clients have it.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(200),
            ping_every: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(20),
        }
    }
}

/// Why a call over a link brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Not of the form `host:port`.
    #[error("{0:?} is no address of the form host:port")]
    Address(String),
    /// No connection came about: certainly not processed.
    #[error("no connection to {address}: {ended}")]
    NotOpened {
        /// Where to.
        address: String,
        /// What that says of the peer.
        ended: Ended,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The call was not sent, or the peer said that it did not take it: certainly not processed.
    #[error("{address} did not take the call")]
    NotTaken {
        /// Where to.
        address: String,
        /// In which words.
        #[source]
        source: hyper::Error,
    },
    /// The connection ended under the call, which may have been processed.
    #[error("connection to {address} lost: {ended}")]
    Lost {
        /// Where to.
        address: String,
        /// What that says of the peer.
        ended: Ended,
        /// What the HTTP/2 layer made of it.
        #[source]
        source: hyper::Error,
    },
    /// The peer broke off this one call, which may have been processed.
    #[error("{address} broke off the call")]
    BrokenOff {
        /// Where to.
        address: String,
        /// In which words.
        #[source]
        source: hyper::Error,
    },
}

impl LinkError {
    /// The peer certainly has not processed the call and will not.
    pub fn certainly_not_processed(&self) -> bool {
        match self {
            Self::Address(_) | Self::NotOpened { .. } | Self::NotTaken { .. } => true,
            Self::Lost { .. } | Self::BrokenOff { .. } => false,
        }
    }

    /// How the connection ended, if it did.
    pub fn ended(&self) -> Option<Ended> {
        match self {
            Self::NotOpened { ended, .. } | Self::Lost { ended, .. } => Some(*ended),
            Self::Address(_) | Self::NotTaken { .. } | Self::BrokenOff { .. } => None,
        }
    }
}

/// An open connection. Clones share it; it is closed when the last one and the
/// last answer are dropped.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    address: String,
    authority: Authority,
    send: SendRequest<Body>,
    wire: Arc<WireLog>,
    end: OnceLock<Ended>,
    over: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wire.cut();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.0.address).field("end", &self.0.end.get()).finish()
    }
}

impl Link {
    /// Connects to `host:port`. Ends at the latest when `owner` does.
    ///
    /// # Errors
    /// [`LinkError::Address`] and [`LinkError::NotOpened`].
    pub async fn connect(
        dial: &dyn Dial,
        address: &str,
        settings: LinkSettings,
        owner: &LinkOwner,
    ) -> Result<Self, LinkError> {
        let (host, port) = split(address).ok_or_else(|| LinkError::Address(address.to_owned()))?;
        let authority = Authority::try_from(address).map_err(|_| LinkError::Address(address.to_owned()))?;
        let not_opened = |ended, source| LinkError::NotOpened { address: address.to_owned(), ended, source };
        let open = async {
            let io = dial
                .dial(host, port)
                .await
                .map_err(|error| not_opened(Ended::of_dial(error.kind()), error))?;
            let (wire, log) = Wire::new(io);
            let ended_early = |log: &WireLog, error: Option<hyper::Error>| {
                let ended = log.end().unwrap_or(Ended::Silent(Silence::Other));
                let source = match error {
                    Some(error) => io::Error::other(error),
                    None => io::Error::new(io::ErrorKind::UnexpectedEof, "ended before the first byte"),
                };
                not_opened(ended, source)
            };
            let (send, connection) = Builder::new(Tasks(owner.tasks.clone()))
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(MAX_HEADER_LIST)
                .keep_alive_interval(settings.ping_every)
                .keep_alive_timeout(settings.ping_timeout)
                .keep_alive_while_idle(true)
                .handshake::<_, Body>(TokioIo::new(wire))
                .await
                .map_err(|error| ended_early(&log, Some(error)))?;
            let over = CancellationToken::new();
            let link = Self(Arc::new(Inner {
                address: address.to_owned(),
                authority,
                send,
                wire: log.clone(),
                end: OnceLock::new(),
                over: over.clone(),
            }));
            let watched = Arc::downgrade(&link.0);
            let wire = log.clone();
            let stop = owner.stop.clone();
            owner.tasks.spawn(async move {
                let result = stop.run_until_cancelled(connection).await;
                let own = match &result {
                    Some(Err(error)) if error.is_timeout() => Ended::Silent(Silence::Timeout),
                    Some(_) if wire.given_up_on_a_word() => Ended::Farewell,
                    _ => Ended::Silent(Silence::Other),
                };
                // The HTTP/2 layer has a task of its own for the socket.
                wire.cut();
                if let Some(link) = watched.upgrade() {
                    let _ = link.end.set(wire.end().unwrap_or(own));
                }
                over.cancel();
            });
            tokio::select! {
                biased;
                () = log.heard() => Ok(link),
                _ = link.ended() => Err(ended_early(&log, None)),
            }
        };
        match tokio::time::timeout(settings.connect_timeout, open).await {
            Ok(result) => result,
            Err(elapsed) => Err(not_opened(Ended::Silent(Silence::Timeout), io::Error::from(elapsed))),
        }
    }

    /// The `host:port` that it was opened to.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Whether calls can still be sent.
    pub fn is_open(&self) -> bool {
        !self.0.over.is_cancelled() && !self.0.send.is_closed()
    }

    /// Waits for the end, and says how it came.
    pub async fn ended(&self) -> Ended {
        self.0.over.cancelled().await;
        self.0.end.get().copied().unwrap_or(Ended::Silent(Silence::Other))
    }

    /// Ends the connection at once, with all that runs on it.
    pub fn close(&self) {
        self.0.wire.cut();
    }

    /// Sends one request and waits for the head of the answer.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn send(
        &self,
        mut request: http::Request<Body>,
    ) -> Result<http::Response<LinkBody>, LinkError> {
        *request.uri_mut() = self.absolute(std::mem::take(request.uri_mut()));
        let mut send = self.0.send.clone();
        match send.try_send_request(request).await {
            Ok(response) => Ok(response.map(|incoming| LinkBody::new(incoming, self.clone()))),
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                let source = error.into_error();
                if unsent {
                    return Err(LinkError::NotTaken { address: self.0.address.clone(), source });
                }
                Err(self.failed(source))
            }
        }
    }

    /// What an error of the HTTP/2 layer means.
    fn failed(&self, source: hyper::Error) -> LinkError {
        let address = self.0.address.clone();
        let mut cause = std::error::Error::source(&source);
        while let Some(error) = cause {
            if let Some(h2) = error.downcast_ref::<h2::Error>().filter(|h2| h2.is_remote()) {
                let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
                // A stream only ends with the peer's GOAWAY if its number lies above the last one taken.
                return if refused || h2.is_go_away() {
                    LinkError::NotTaken { address, source }
                } else {
                    LinkError::BrokenOff { address, source }
                };
            }
            cause = error.source();
        }
        let quiet = if source.is_timeout() { Silence::Timeout } else { Silence::Other };
        let ended = self.0.wire.end().unwrap_or(Ended::Silent(quiet));
        LinkError::Lost { address, ended, source }
    }

    fn absolute(&self, uri: Uri) -> Uri {
        let mut parts = Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.0.authority.clone());
        parts.path_and_query =
            Some(uri.into_parts().path_and_query.unwrap_or(PathAndQuery::from_static("/")));
        Uri::from_parts(parts).expect("scheme, authority and path make a URI")
    }
}

impl tower::Service<http::Request<Body>> for Link {
    type Response = http::Response<LinkBody>;
    type Error = LinkError;
    type Future = BoxFuture<'static, Result<Self::Response, LinkError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let link = self.clone();
        Box::pin(async move { link.send(request).await })
    }
}

/// `host:port`, where a host with colons stands in brackets.
fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests;
