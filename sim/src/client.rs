//! Clients as Milvus has them: they find the ACTIVE one by its session key, tell it which
//! server they mean, and look again when it is not that or does not answer.

mod schema;

use std::{ops::Range, time::Duration};

use etcd_client::Channel as EtcdChannel;
use hyper_util::rt::TokioIo;
use milvus_coord::{election::session::Session, ids::Role, net::Dial};
use milvus_proto::{
    common::{MsgBase, Status as Answer},
    milvus::{CreateDatabaseRequest, DropDatabaseRequest, ListDatabasesRequest},
    rootcoord::{AllocIdRequest, AllocTimestampRequest, root_coord_client::RootCoordClient},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    coord,
    fake_etcd::server::Now,
    history::{Call, History, Outcome},
    net::TurmoilDial,
    world::ETCD_PORT,
};

/// One call.
const CALL: Duration = Duration::from_secs(2);
/// One question to etcd.
const LOOK_UP: Duration = Duration::from_millis(500);
/// How long one DDL request is repeated.
const PERSISTENCE: Duration = Duration::from_secs(6);
/// Before a call is repeated.
const PAUSE: Range<Duration> = Duration::from_millis(20)..Duration::from_millis(120);

/// What a client is made with.
#[derive(Clone)]
pub struct ClientSettings {
    /// Its number.
    pub id: usize,
    /// Its own source of chance.
    pub seed: u64,
    /// Etcd's hosts.
    pub etcd: Vec<String>,
    /// Where its calls are noted.
    pub history: History,
    /// The simulation's time.
    pub now: Now,
    /// What it is about, if it does what it likes.
    pub subject: Subject,
    /// The databases that it and others create and drop.
    pub names: Vec<String>,
    /// Between two calls.
    pub think: Range<Duration>,
    /// How likely it is that a call looks the ACTIVE one up anew, though the old one works.
    pub restless: f64,
    /// When it is to end.
    pub stop: CancellationToken,
}

/// What a client that does what it likes is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Timestamps, ids and databases.
    Numbers,
    /// Collections, partitions and aliases.
    Schema,
}

/// What it calls.
#[derive(Debug)]
pub enum Agenda {
    /// Whatever comes to its mind.
    Random,
    /// These, one after the other.
    Ordered(mpsc::Receiver<Call>),
}

impl std::fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSettings").field("id", &self.id).finish_non_exhaustive()
    }
}

struct Client {
    settings: ClientSettings,
    rng: SmallRng,
    etcd: Vec<Option<etcd_client::Client>>,
    coord: Option<(RootCoordClient<Channel>, i64)>,
    messages: i64,
}

/// Why an attempt brought no answer.
enum Missed {
    /// Nobody was asked.
    NotSent,
    /// Somebody was.
    Sent(Status),
}

/// Calls until it is told to stop.
pub async fn run(settings: ClientSettings, agenda: Agenda) {
    let stop = settings.stop.clone();
    let client = Client {
        rng: SmallRng::seed_from_u64(settings.seed),
        etcd: settings.etcd.iter().map(|_| None).collect(),
        coord: None,
        messages: 0,
        settings,
    };
    // A call that is cut short stays unknown.
    let _ = stop.run_until_cancelled_owned(client.live(agenda)).await;
}

fn channel(host: &str, port: u16) -> Channel {
    let dial = TurmoilDial { connect_timeout: Duration::from_millis(500) };
    let connector = tower::service_fn(move |uri: http::Uri| async move {
        let host = uri.host().unwrap_or_default().to_owned();
        let stream = dial.dial(&host, uri.port_u16().unwrap_or_default()).await?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    });
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}")).expect("a host and a port");
    endpoint.connect_with_connector_lazy(connector)
}

impl Client {
    async fn live(mut self, agenda: Agenda) {
        match agenda {
            Agenda::Random => loop {
                let think = self.settings.think.clone();
                tokio::time::sleep(self.rng.random_range(think)).await;
                let call = self.idea();
                self.call(call).await;
            },
            Agenda::Ordered(mut orders) => {
                while let Some(call) = orders.recv().await {
                    self.call(call).await;
                }
            }
        }
    }

    fn idea(&mut self) -> Call {
        if self.settings.subject == Subject::Schema {
            return self.idea_of_schema();
        }
        match self.rng.random_range(0..100) {
            0..55 => Call::Timestamps(self.rng.random_range(1..5)),
            55..70 => {
                // Now and then so many that the window has to be extended soon: it holds 786 million.
                let many = self.rng.random_bool(0.3);
                Call::Ids(self.rng.random_range(if many { 100_000_000..390_000_000 } else { 1..200 }))
            }
            70..80 => Call::List,
            80..91 => Call::Create(self.name()),
            _ => Call::Drop(self.name()),
        }
    }

    async fn call(&mut self, call: Call) {
        match call {
            Call::Timestamps(count) => self.timestamps(count).await,
            Call::Ids(count) => self.ids(count).await,
            Call::List => self.list().await,
            Call::Create(name) => self.create(name).await,
            Call::Drop(name) => self.drop_one(name).await,
            Call::Do(deed) => self.deed(deed).await,
            Call::Look(look) => self.look(look).await,
        }
    }

    fn now(&self) -> Duration {
        (self.settings.now)()
    }

    async fn pause(&mut self) {
        let pause = self.rng.random_range(PAUSE);
        tokio::time::sleep(pause).await;
    }

    /// Asks the members in turn who is ACTIVE.
    async fn look_up(&mut self) -> Option<Session> {
        let first = self.rng.random_range(0..self.etcd.len());
        for step in 0..self.etcd.len() {
            let index = (first + step) % self.etcd.len();
            let client = match &mut self.etcd[index] {
                Some(client) => client,
                empty => {
                    let channel = EtcdChannel::Tonic(channel(&self.settings.etcd[index], ETCD_PORT));
                    let client = etcd_client::Client::from_channel(channel, None).await.ok()?;
                    empty.insert(client)
                }
            };
            let key = coord::keys().active(Role::RootCoord);
            match tokio::time::timeout(LOOK_UP, client.get(key, None)).await {
                Ok(Ok(found)) => {
                    let value = found.kvs().first()?.value().to_vec();
                    return Session::decode(&value).ok();
                }
                _ => self.etcd[index] = None,
            }
        }
        None
    }

    async fn connected(&mut self) -> Option<(RootCoordClient<Channel>, i64)> {
        if self.settings.restless > 0.0 && self.rng.random_bool(self.settings.restless) {
            self.coord = None;
        }
        if self.coord.is_none() {
            let session = self.look_up().await?;
            let (host, port) = session.address.rsplit_once(':')?;
            let client = RootCoordClient::new(channel(host, port.parse().ok()?));
            self.coord = Some((client, session.server_id));
        }
        self.coord.clone()
    }

    /// One attempt at the ACTIVE one.
    async fn attempt<Q, A, F>(
        &mut self,
        request: Q,
        call: impl FnOnce(RootCoordClient<Channel>, Request<Q>) -> F,
    ) -> Result<A, Missed>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let Some((client, server_id)) = self.connected().await else { return Err(Missed::NotSent) };
        let mut request = Request::new(request);
        request.metadata_mut().insert("serverid", server_id.into());
        match tokio::time::timeout(CALL, call(client, request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => {
                self.coord = None;
                Err(Missed::Sent(status))
            }
            Err(_) => {
                self.coord = None;
                Err(Missed::Sent(Status::deadline_exceeded("the client gave up")))
            }
        }
    }

    async fn timestamps(&mut self, count: u32) {
        let begun = self.settings.history.begin(self.settings.id, Call::Timestamps(count), self.now());
        let request = AllocTimestampRequest { base: None, count };
        let answer =
            self.attempt(request, |mut client, request| async move { client.alloc_timestamp(request).await });
        let outcome = match answer.await {
            Ok(answer) if ok(answer.status.as_ref()) => {
                Outcome::Given(answer.timestamp, answer.timestamp + u64::from(answer.count) - 1)
            }
            _ => Outcome::NotRun,
        };
        self.ended(begun, outcome).await;
    }

    async fn ids(&mut self, count: u32) {
        let begun = self.settings.history.begin(self.settings.id, Call::Ids(count), self.now());
        let request = AllocIdRequest { base: None, count };
        let answer =
            self.attempt(request, |mut client, request| async move { client.alloc_id(request).await });
        let outcome = match answer.await {
            Ok(answer) if ok(answer.status.as_ref()) => {
                let first = u64::try_from(answer.id).unwrap_or(u64::MAX);
                Outcome::Given(first, first.saturating_add(u64::from(answer.count) - 1))
            }
            _ => Outcome::NotRun,
        };
        self.ended(begun, outcome).await;
    }

    async fn list(&mut self) {
        let begun = self.settings.history.begin(self.settings.id, Call::List, self.now());
        let request = ListDatabasesRequest { base: Some(self.base()) };
        let answer =
            self.attempt(request, |mut client, request| async move { client.list_databases(request).await });
        let outcome = match answer.await {
            Ok(answer) if ok(answer.status.as_ref()) => {
                let mut names = answer.db_names;
                names.sort();
                Outcome::Names(names)
            }
            _ => Outcome::NotRun,
        };
        self.ended(begun, outcome).await;
    }

    async fn ended(&mut self, begun: crate::history::Begun, outcome: Outcome) {
        let missed = outcome == Outcome::NotRun;
        begun.end(outcome, self.now());
        if missed {
            self.pause().await;
        }
    }

    fn base(&mut self) -> MsgBase {
        self.messages += 1;
        MsgBase {
            msg_id: self.messages,
            timestamp: u64::try_from(self.messages).unwrap_or_default(),
            source_id: i64::try_from(self.settings.id).unwrap_or_default() + 1000,
            ..MsgBase::default()
        }
    }

    fn name(&mut self) -> String {
        let index = self.rng.random_range(0..self.settings.names.len());
        self.settings.names[index].clone()
    }

    /// Creates a database, and repeats the same request until there is a clear answer, as
    /// Milvus's proxies do. The repetition of a request that was carried out must be told so.
    async fn create(&mut self, name: String) {
        let base = self.base();
        let begun = self.settings.history.begin(self.settings.id, Call::Create(name.clone()), self.now());
        let until = self.now() + PERSISTENCE;
        let mut sent = false;
        let outcome = loop {
            let request = CreateDatabaseRequest { base: Some(base.clone()), db_name: name.clone() };
            let answer = self
                .attempt(request, |mut client, request| async move { client.create_database(request).await });
            match answer.await {
                Ok(status) if status.code == 0 => break Outcome::Done,
                Ok(status) if status.reason.contains("database already exist") => break Outcome::Exists,
                // Some other error in the answer: nothing is known of it, but that it may be repeated.
                Ok(_) => sent = true,
                Err(missed) => sent |= missed.may_have_run(),
            }
            if self.now() >= until {
                break if sent { Outcome::Unknown } else { Outcome::NotRun };
            }
            self.pause().await;
        };
        begun.end(outcome, self.now());
    }

    /// Drops a database. A repetition would be another drop: it may drop what others have
    /// created since.
    async fn drop_one(&mut self, name: String) {
        let base = self.base();
        let begun = self.settings.history.begin(self.settings.id, Call::Drop(name.clone()), self.now());
        let request = DropDatabaseRequest { base: Some(base), db_name: name };
        let answer =
            self.attempt(request, |mut client, request| async move { client.drop_database(request).await });
        let outcome = match answer.await {
            Ok(status) if status.code == 0 => Outcome::Done,
            Ok(_) => Outcome::Unknown,
            Err(missed) if missed.may_have_run() => Outcome::Unknown,
            Err(_) => Outcome::NotRun,
        };
        let clear = outcome == Outcome::Done;
        begun.end(outcome, self.now());
        if !clear {
            self.pause().await;
        }
    }
}

impl Missed {
    /// A refused connection means that nobody has seen the request.
    fn may_have_run(&self) -> bool {
        match self {
            Self::NotSent => false,
            Self::Sent(status) => {
                status.code() != Code::Unavailable || !status.message().contains("connect error")
            }
        }
    }
}

fn ok(status: Option<&Answer>) -> bool {
    status.is_none_or(|status| status.code == 0)
}
