//! Where the management port is.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::errno::Errno;
use tokio::net::TcpListener;
use tracing::{info, warn};

/// Every interface, of both kinds of addresses.
pub const ANY_INTERFACE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The port that Milvus has when nothing is set.
pub const DEFAULT_PORT: u16 = 9091;

/// How far above a default port that is taken another is looked for.
const LOOK_ABOVE: u16 = 100;

/// What is known about the wanted port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagementPort {
    /// `METRICS_PORT`: this one or none.
    Set(u16),
    /// Nothing is set: from this one on upwards, the first that is free.
    From(u16),
}

impl Default for ManagementPort {
    fn default() -> Self {
        Self::From(DEFAULT_PORT)
    }
}

/// The port that was asked for cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on the management port {address}")]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// The operating system's.
    #[source]
    pub source: io::Error,
}

/// Listens on the management port, and says where.
///
/// # Errors
/// [`BindError`], in the case of [`ManagementPort::From`] only if the machine refuses every port.
pub async fn bind(interface: IpAddr, port: ManagementPort) -> Result<TcpListener, BindError> {
    let (listener, wanted) = match port {
        ManagementPort::Set(port) => (listen(interface, port).await?, port),
        ManagementPort::From(first) => (first_free(interface, first).await?, first),
    };
    let port = listener.local_addr().map_or(wanted, |address| address.port());
    info!(addr = format!(":{port}"), "management listen");
    Ok(listener)
}

async fn first_free(interface: IpAddr, first: u16) -> Result<TcpListener, BindError> {
    let taken = match listen(interface, first).await {
        Err(error) if error.source.kind() == io::ErrorKind::AddrInUse => error,
        other => return other,
    };
    for port in first.saturating_add(1)..first.saturating_add(LOOK_ABOVE) {
        if let Ok(listener) = listen(interface, port).await {
            warn!(taken = first, port, "the management port is taken, another is used");
            return Ok(listener);
        }
    }
    // The kernel's choice is better than no port at all.
    let listener = listen(interface, 0).await.map_err(|_| taken)?;
    let port = listener.local_addr().map_or(0, |address| address.port());
    warn!(taken = first, port, "the management port is taken, another is used");
    Ok(listener)
}

async fn listen(interface: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(interface, port);
    match TcpListener::bind(address).await {
        // A machine without IPv6.
        Err(error)
            if interface == ANY_INTERFACE
                && (error.kind() == io::ErrorKind::AddrNotAvailable
                    || error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32)) =>
        {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            TcpListener::bind(address).await.map_err(|source| BindError { address, source })
        }
        other => other.map_err(|source| BindError { address, source }),
    }
}
