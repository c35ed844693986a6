//! The gRPC server: HTTP/2 connections in, answers out.
//!
//! The accept loop does nothing but accept: a new connection gets its handshake at
//! once, in whatever state the role is. Never is a connection accepted and then
//! closed for lack of room: to an instance that watches this one, that would look
//! like death. Too many connections wait in the kernel's queue instead, which is
//! silence.

mod accept;
mod descriptors;
mod front;
mod gather;
mod health;
mod inbound;
mod reflection;
mod services;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::front::Front;
pub(crate) use self::services::Handle;
pub use self::{
    inbound::Inbound,
    reflection::ReflectionError,
    services::{Answer, Services, Sizes},
};
use crate::{net::Accept, rpc::gatehouse::Gatehouse};

/// How connections are served.
#[derive(Clone, Copy, Debug)]
pub struct ServerSettings {
    /// The most connections at once, as far as there are descriptors. More wait unaccepted.
    pub most_connections: usize,
    /// Pings a client that has been idle for that long.
    pub ping_every: Duration,
    /// Ends a connection whose ping wasn't answered for that long.
    pub ping_timeout: Duration,
}

impl Default for ServerSettings {
    /// The pings are those of the original.
    fn default() -> Self {
        Self {
            most_connections: 8192,
            ping_every: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    gatehouse: Arc<Gatehouse>,
    /// No new connections; running calls end.
    stop: CancellationToken,
    /// Everything ends.
    kill: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.kill.cancel();
        self.gatehouse.close();
    }
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener is not usable.
    #[error("listener without an address")]
    Listener(#[source] io::Error),
    /// The interface's descriptors are damaged.
    #[error("reflection")]
    Reflection(#[source] ReflectionError),
}

impl Server {
    /// Serves `services`, behind the gatehouse where they are the role's, and the
    /// standard health and reflection services. Raises the process's limit of file
    /// descriptors to what the system grants.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        listener: Box<dyn Accept>,
        services: Services,
        gatehouse: Arc<Gatehouse>,
        settings: ServerSettings,
    ) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::Listener)?;
        let reporter = tonic_health::server::HealthReporter::new();
        let guarded: Vec<_> = services.guarded().collect();
        let health = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
        let services = services.add(tonic_health::pb::health_server::HealthServer::new(health), false);
        let services = reflection::add(services).map_err(StartError::Reflection)?;

        let (stop, kill, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let report = health::report(reporter, guarded, gatehouse.standing());
        tasks.spawn(stop.clone().run_until_cancelled_owned(report));
        let front = Arc::new(Front::new(services, gatehouse.clone()));
        let most = descriptors::connections(settings.most_connections, descriptors::raise_limit());
        let acceptor = accept::Acceptor {
            front,
            settings: ServerSettings { most_connections: most, ..settings },
            stop: stop.clone(),
            kill: kill.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(acceptor.run(listener));
        Ok(Self { address, gatehouse, stop, kill, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener, tells clients to go, lets running calls end, and ends
    /// what is left after `grace`, the gatehouse's connections too. Tells whether
    /// nothing was left.
    pub async fn stop(self, grace: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        let in_time = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        self.kill.cancel();
        self.gatehouse.close();
        self.tasks.wait().await;
        in_time
    }
}

#[cfg(test)]
mod tests;
