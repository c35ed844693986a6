//! Connections to etcd's members.
//!
//! Every byte goes through a [`Dial`], so that a simulated network can take the
//! place of the real one. A connection is opened as a whole (look-up, TCP, TLS,
//! HTTP/2, login) before a call is handed to it, and is never reopened behind the
//! caller's back: what fails before that was certainly not sent.

use std::{fmt, io, sync::Arc, time::Duration};

use etcd_client::{Channel, Client, ConnectOptions, KvClient, LeaseClient, WatchClient};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};
use tonic::transport;

use crate::{
    clock::{BootInstant, Clock},
    etcd::{
        call::Header,
        classify::{BoxError, Failure, classify},
        cluster::{Cluster, Floor, Incident, Tracker},
        lane::{Lane, Line, OpenFailure},
        settings::{BadSettings, Endpoint, EtcdSettings},
        tls::Tls,
    },
    ids::Revision,
    net::Dial,
};

/// The largest answer that is decoded. A watch that lags behind gets up to a thousand
/// revisions at once, and a snapshot page may hold large values.
pub(crate) const DECODE_LIMIT: usize = 128 << 20;

/// How long a login may take. Etcd hashes the password, which is slow on purpose.
const LOGIN_LIMIT: Duration = Duration::from_secs(5);
/// How often a connection with open calls is pinged. Etcd counts more than one ping
/// in 5 s as abuse and ends the connection.
const PING_INTERVAL: Duration = Duration::from_secs(7);
/// After how long an unanswered ping ends the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// What may be under way on one stream and on one connection without being read.
const WINDOWS: (u32, u32) = (4 << 20, 8 << 20);

/// Calls to etcd. Clones share connections and what is known about the cluster.
#[derive(Clone)]
pub struct Etcd {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lane: Lane,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd")
            .field("endpoints", &self.shared.endpoints)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

impl Etcd {
    /// Checks the settings. Connections are opened by the first call.
    ///
    /// # Errors
    /// [`BadSettings`], certificates that can't be read included.
    pub fn new(
        settings: EtcdSettings,
        dial: Arc<dyn Dial>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BadSettings> {
        let tls = settings.tls.map(Tls::new).transpose()?;
        let members = settings
            .endpoints
            .iter()
            .map(|text| Endpoint::parse(text, tls.is_some()))
            .collect::<Result<Vec<_>, _>>()?;
        if members.is_empty() {
            return Err(BadSettings::NoEndpoint);
        }
        let endpoints = members.iter().map(Endpoint::to_string).collect::<Vec<_>>().join(",");
        let lines = std::array::from_fn(|_| Line::new(members.len()));
        let shared = Shared {
            members,
            endpoints,
            tls,
            auth: settings.auth,
            connect_timeout: settings.connect_timeout,
            hedge_after: settings.hedge_after,
            dial,
            clock,
            lines,
            tracker: Mutex::default(),
            cluster: watch::Sender::default(),
        };
        Ok(Self { shared: Arc::new(shared), lane: Lane::Control })
    }

    /// The same etcd by the connections of another kind. [`Lane::Control`] is the default.
    #[must_use]
    pub fn on(&self, lane: Lane) -> Self {
        Self { shared: Arc::clone(&self.shared), lane }
    }

    /// Later calls of this lane go to another member, or by a new connection if there is only one.
    pub fn use_another_member(&self) {
        let line = self.line();
        line.give_up(&line.current());
    }

    /// Which etcd answers. A changed [`incarnation`](Cluster::incarnation) means that
    /// another one does, or that it was restored from a backup: whatever was built on
    /// earlier answers is void.
    pub fn cluster(&self) -> watch::Receiver<Cluster> {
        self.shared.cluster.subscribe()
    }

    /// The newest revision that any answer or event has shown.
    pub fn newest_revision(&self) -> Revision {
        self.shared.tracker.lock().revision()
    }

    /// The clocks that deadlines are counted on.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// The configured members, for messages.
    pub fn endpoints(&self) -> &str {
        &self.shared.endpoints
    }

    pub(crate) fn line(&self) -> &Line {
        &self.shared.lines[self.lane as usize]
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.shared.tracker.lock().cluster().incarnation
    }

    pub(crate) fn highest_raft_term(&self) -> u64 {
        self.shared.tracker.lock().cluster().raft_term
    }
}

/// What all clones of an [`Etcd`] share.
pub(crate) struct Shared {
    members: Vec<Endpoint>,
    pub(crate) endpoints: String,
    tls: Option<Tls>,
    auth: Option<(String, String)>,
    connect_timeout: Duration,
    pub(crate) hedge_after: Duration,
    dial: Arc<dyn Dial>,
    pub(crate) clock: Arc<dyn Clock>,
    lines: [Line; 3],
    tracker: Mutex<Tracker>,
    cluster: watch::Sender<Cluster>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// An open connection to one member, logged in.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) kv: KvClient,
    pub(crate) watch: WatchClient,
    pub(crate) lease: LeaseClient,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Shared {
    /// Opens a connection to that member.
    pub(crate) async fn open(&self, member: usize) -> Result<Connection, OpenFailure> {
        let endpoint = &self.members[member];
        let opening = async {
            let late = |_| {
                let source = io::Error::from(io::ErrorKind::TimedOut);
                OpenFailure::failed(endpoint.to_string(), source.into())
            };
            let channel =
                timeout(self.connect_timeout, self.open_channel(endpoint)).await.map_err(late)??;
            timeout(LOGIN_LIMIT, self.log_in(channel, endpoint)).await.map_err(late)?
        };
        let result = opening.await;
        if let Err(error) = &result {
            tracing::debug!(member = %endpoint, %error, "etcd member can not be reached");
        }
        result
    }

    async fn open_channel(&self, endpoint: &Endpoint) -> Result<transport::Channel, OpenFailure> {
        let failed = |source: BoxError| OpenFailure::failed(endpoint.to_string(), source);
        let io = self.dial.dial(&endpoint.host, endpoint.port).await.map_err(|e| failed(e.into()))?;
        let (io, scheme) = match &self.tls {
            Some(tls) => (tls.wrap(endpoint, io).await.map_err(failed)?, "https"),
            None => (io, "http"),
        };
        let uri = |scheme| format!("{scheme}://{endpoint}").parse::<http::Uri>();
        // The transport is told "http" because the encryption is done already; what it
        // tells the server is the truth.
        let plain = uri("http").map_err(|e| failed(e.into()))?;
        let origin = uri(scheme).map_err(|e| failed(e.into()))?;
        let once = Mutex::new(Some(TokioIo::new(io)));
        let connector = tower::service_fn(move |_: http::Uri| {
            let io = once.lock().take();
            async move { io.ok_or_else(|| io::Error::other("the connection has ended")) }
        });
        transport::Endpoint::from(plain)
            .origin(origin)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(false)
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .connect_with_connector(connector)
            .await
            .map_err(|e| failed(e.into()))
    }

    async fn log_in(
        &self,
        channel: transport::Channel,
        endpoint: &Endpoint,
    ) -> Result<Connection, OpenFailure> {
        // A member without a leader then refuses at once, and ends its streams.
        let options = ConnectOptions::new().with_require_leader(true);
        let plain = Client::from_channel(Channel::Tonic(channel.clone()), Some(options.clone()));
        let logged_in = match &self.auth {
            None => plain.await,
            Some((user, password)) => {
                let options = options.with_user(user, password);
                match Client::from_channel(Channel::Tonic(channel), Some(options)).await {
                    Err(error) if is_without_auth(&error) => plain.await,
                    other => other,
                }
            }
        };
        match logged_in {
            Ok(client) => Ok(Connection {
                kv: client.kv_client().max_decoding_message_size(DECODE_LIMIT),
                watch: client.watch_client().max_decoding_message_size(DECODE_LIMIT),
                lease: client.lease_client(),
            }),
            Err(error) => Err(match classify(error) {
                Failure::Refused(refusal) => OpenFailure::Denied(refusal.to_string()),
                Failure::AnswerTooLarge(text) => OpenFailure::failed(endpoint.to_string(), text.into()),
                Failure::NotSent(source) | Failure::StaleLogin(source) | Failure::Lost(source) => {
                    OpenFailure::failed(endpoint.to_string(), source)
                }
            }),
        }
    }

    /// To be taken right before a call is sent.
    pub(crate) fn before_sending(&self) -> (Floor, BootInstant) {
        (self.tracker.lock().floor(), self.clock.boot())
    }

    /// A call that went through the majority was answered.
    pub(crate) fn answered(&self, floor: &Floor, header: Header) {
        let now = self.clock.boot();
        let mut tracker = self.tracker.lock();
        let incident = tracker.linearizable(floor, header, now);
        let cluster = tracker.cluster();
        drop(tracker);
        self.publish(incident, cluster);
    }

    /// A single member said something.
    pub(crate) fn heard(&self, floor: &Floor, header: Header) {
        let mut tracker = self.tracker.lock();
        let incident = tracker.local(floor, header);
        let cluster = tracker.cluster();
        drop(tracker);
        self.publish(incident, cluster);
    }

    fn publish(&self, incident: Option<Incident>, cluster: Cluster) {
        if let Some(incident) = incident {
            tracing::error!(%incident, "etcd is not the one it was");
        }
        self.cluster.send_if_modified(|published| {
            // Two answers may get here in the other order.
            let newer =
                (cluster.incarnation, cluster.raft_term) >= (published.incarnation, published.raft_term);
            let changed = newer && *published != cluster;
            if changed {
                *published = cluster;
            }
            changed
        });
    }
}

/// A user is configured but etcd asks for none: as harmless as for etcd's own client.
fn is_without_auth(error: &etcd_client::Error) -> bool {
    matches!(error, etcd_client::Error::GRpcStatus(status)
        if status.message().contains("authentication is not enabled"))
}

/// Etcd's header in this project's terms.
pub(crate) fn header(header: Option<&etcd_client::ResponseHeader>) -> Header {
    header.map_or_else(Header::default, |header| Header {
        cluster_id: header.cluster_id(),
        member_id: header.member_id(),
        revision: Revision(header.revision()),
        raft_term: header.raft_term(),
    })
}
