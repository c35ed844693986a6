//! Rootcoord as the life cycle and its callers see it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    clock::{BootInstant, Clock, UnixNanos},
    election::core::{RoleCore, Stake, Term},
    etcd::{
        mirror::{KeyRange, MirrorEvent},
        txn::KeyValue,
    },
    ids::{Epoch, Revision, Role, ServerId},
    mq::{NoQueue, Queue, Topics},
    net::BoxFuture,
    rootcoord::{
        access::{Access, AccessKeys, Credential, Defaults, NoCredential, Policy},
        catalog::{Catalog, Database},
        channels::ChannelNaming,
        collections::Limits,
        ddl::{Outcome, Request, SharedCatalog},
        error::DdlError,
        events::{Asked, Method, RootCoordEvents},
        failure::Failure,
        keys::{DEFAULT_DB_NAME, Keys},
        peers::{Invalidation, Nobody, Peers},
        proxies::ProxySessions,
        quota::QuotaSettings,
        serving::{Serving, Surroundings, TakenOver, Tenure, Terms},
        tick::{BadReport, Report, TickWitness},
    },
    tso::{
        hybrid::Timestamp,
        ids,
        stored::Stored,
        window::{self, Ahead, BadWindow},
    },
};

/// How long an activation waits for a default database to be made. It is made in any case.
const DEFAULT_DATABASE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a DDL call waits for its outcome: a busy queue and busy peers need seconds, and a
/// client that is told to ask again only waits in line once more.
const DDL_PATIENCE: Duration = Duration::from_secs(10);

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct RootCoordSettings {
    /// The full path of metadata, without a slash at the end.
    pub meta_root: String,
    /// The full path of the windows, without a slash at the end.
    pub kv_root: String,
    /// How much there may be of what.
    pub limits: Limits,
    /// What the channels are called. Checked by whoever makes this.
    pub naming: ChannelNaming,
    /// `proxy.timeTickInterval`
    pub tick_interval: Duration,
    /// `common.ttMsgEnabled`: whether ticks and DDL messages are sent.
    pub messages: bool,
    /// Users, roles and grants that must be there.
    pub defaults: Arc<Defaults>,
    /// `None`: proxies are told no limits.
    pub quota: Option<QuotaSettings>,
    /// The lease that is asked for. See [`RootCoord::lease_granted`].
    pub lease: Duration,
    /// How far ahead of the stored timestamp window a wall clock is believed at a campaign.
    pub most_clock_lead: Duration,
    /// How long a DDL call waits for its outcome.
    pub ddl_patience: Duration,
    /// How long an answer waits for a proof.
    pub proof_patience: Duration,
}

impl RootCoordSettings {
    /// With what Milvus ships, and the usual patience.
    pub fn new(meta_root: String, kv_root: String, lease: Duration) -> Self {
        let limits = Limits::default();
        Self {
            meta_root,
            kv_root,
            naming: ChannelNaming::numbered("by-dev-rootcoord-dml", limits.channels),
            limits,
            tick_interval: Duration::from_millis(200),
            messages: true,
            defaults: Arc::default(),
            quota: None,
            lease,
            most_clock_lead: window::MOST_LEAD,
            ddl_patience: DDL_PATIENCE,
            proof_patience: Duration::from_secs(1),
        }
    }
}

/// Who calls, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// When the call came in.
    pub arrived: BootInstant,
    /// The message id of its request, for the log.
    pub message: i64,
}

#[derive(Debug)]
struct Windows {
    timestamps: Stored,
    ids: Stored,
}

/// What rootcoord reaches the rest of the cluster by.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The message queue.
    pub queue: Arc<dyn Queue>,
    /// Where its topics are made.
    pub topics: Arc<dyn Topics>,
    /// Proxies, datacoord and querycoord.
    pub peers: Arc<dyn Peers>,
    /// Hears of ticks.
    pub ticks: Arc<dyn TickWitness>,
}

impl Reach {
    /// A rootcoord by itself: no queue, no other components.
    pub fn nobody(ticks: Arc<dyn TickWitness>) -> Self {
        let queue = Arc::new(NoQueue("there is nobody else".to_owned()));
        Self { queue: Arc::clone(&queue) as _, topics: queue, peers: Arc::new(Nobody), ticks }
    }
}

/// See the module.
#[derive(Debug)]
pub struct RootCoord {
    settings: RootCoordSettings,
    reach: Reach,
    keys: Keys,
    clock: Arc<dyn Clock>,
    events: RootCoordEvents,
    catalog: Arc<SharedCatalog>,
    access: Arc<Mutex<Access>>,
    proxies: Mutex<ProxySessions>,
    /// Also guards the beginning of a term against the mirror.
    windows: Mutex<Windows>,
    lease_nanos: AtomicU64,
    /// The term that ended last, and until when it gave out timestamps.
    ended: Mutex<Option<(Epoch, UnixNanos)>>,
    serving: ArcSwapOption<Serving>,
}

impl RootCoord {
    /// Knows nothing yet.
    pub fn new(
        settings: RootCoordSettings,
        clock: Arc<dyn Clock>,
        reach: Reach,
        events: RootCoordEvents,
    ) -> Self {
        let keys = Keys::new(&settings.meta_root, &settings.kv_root);
        let windows =
            Windows { timestamps: Stored::new(keys.timestamp_window()), ids: Stored::new(keys.id_window()) };
        let catalog = Mutex::new(Catalog::new(keys.clone()));
        let access = Access::new(AccessKeys::new(&settings.meta_root));
        let core = Self {
            access: Arc::new(Mutex::new(access)),
            proxies: Mutex::new(ProxySessions::new(&settings.meta_root)),
            reach,
            keys,
            clock,
            events,
            catalog: Arc::new(SharedCatalog { catalog, moved: Notify::new() }),
            windows: Mutex::new(windows),
            lease_nanos: AtomicU64::new(0),
            ended: Mutex::new(None),
            serving: ArcSwapOption::empty(),
            settings,
        };
        core.lease_granted(core.settings.lease);
        core
    }

    fn ahead(&self) -> Ahead {
        Ahead::for_lease(Duration::from_nanos(self.lease_nanos.load(Ordering::Acquire)))
    }

    fn serving(&self) -> Result<Arc<Serving>, Failure> {
        self.serving.load_full().ok_or(Failure::NoTerm)
    }

    /// Whether a term is being served.
    pub fn is_serving(&self) -> bool {
        self.serving.load().is_some()
    }

    /// Whoever writes rows has a say in the ticks: to be asked before `source` is given a timestamp.
    ///
    /// A new proxy may be quicker than the mirror, which does not know it yet. Etcd then tells
    /// whether it has a session; if so, every channel is held back until it reports, from
    /// before it has a timestamp for a row that a tick could pass.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn introduce(&self, source: ServerId) -> Result<(), Failure> {
        let serving = self.serving()?;
        let key = {
            let proxies = self.proxies.lock();
            if proxies.knows(source) {
                return Ok(());
            }
            proxies.key(source)
        };
        let read = serving.store.read(&key).await.map_err(|error| Failure::NotRead(error.to_string()))?;
        let mut proxies = self.proxies.lock();
        if read.value.is_some()
            && proxies.seen(source, read.header.revision)
            && let Some(serving) = &*self.serving.load()
        {
            serving.ticker.sources(proxies.known());
        }
        Ok(())
    }

    /// Gives out `count` successive timestamps; returns the first.
    ///
    /// # Errors
    /// [`Failure`]; whatever was taken is lost.
    pub async fn alloc_timestamps(&self, arrived: BootInstant, count: u32) -> Result<Timestamp, Failure> {
        let serving = self.serving()?;
        let first = serving
            .timestamps
            .alloc_patiently(count)
            .await
            .inspect_err(|none| self.events.no_timestamps(none));
        serving.admit(arrived).await?;
        let first = first?;
        self.events.timestamps_given(first);
        Ok(first)
    }

    /// Gives out `count` successive ids; returns the first.
    ///
    /// # Errors
    /// [`Failure`]; whatever was taken is lost.
    pub async fn alloc_ids(&self, arrived: BootInstant, count: u32) -> Result<i64, Failure> {
        let serving = self.serving()?;
        let first = serving.ids.alloc(count).await.inspect_err(|none| self.events.no_ids(none));
        serving.admit(arrived).await?;
        let first = first?;
        self.events.ids_given(count);
        Ok(first)
    }

    /// Changes the schema.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn change(&self, caller: Caller, request: Request) -> Result<(), Failure> {
        let asked = Asked::of(&request, caller.message);
        self.events.received(&asked);
        let outcome = match self.serving() {
            Ok(serving) => {
                let mut outcome = serving.ddl.carry_out(request).await;
                if let Err(failure) = serving.admit(caller.arrived).await {
                    outcome.result = Err(failure);
                }
                outcome
            }
            Err(failure) => Outcome { result: Err(failure), waited: Duration::ZERO },
        };
        self.events.changed(&asked, &outcome, self.clock.boot().since(caller.arrived));
        outcome.result.map(|_| ())
    }

    /// Answers from the schema as it is.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn read<T>(
        &self,
        caller: Caller,
        method: Method,
        look: impl FnOnce(&Catalog) -> Result<T, DdlError>,
    ) -> Result<T, Failure> {
        let found = self.look(caller.arrived, look).await;
        self.events.read(
            method,
            caller.message,
            found.as_ref().err(),
            self.clock.boot().since(caller.arrived),
        );
        found
    }

    async fn look<T>(
        &self,
        arrived: BootInstant,
        look: impl FnOnce(&Catalog) -> Result<T, DdlError>,
    ) -> Result<T, Failure> {
        let serving = self.serving()?;
        let found = look(&self.catalog.catalog.lock());
        serving.admit(arrived).await?;
        Ok(found?)
    }

    /// All databases, by id.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn list_databases(&self, caller: Caller) -> Result<Vec<Database>, Failure> {
        self.events.listing(caller.message);
        let listed = self.look(caller.arrived, |catalog| Ok(catalog.databases().cloned().collect())).await;
        let took = self.clock.boot().since(caller.arrived);
        self.events.listed(caller.message, listed.as_ref().map(Vec::len), took);
        listed
    }

    /// A proxy says below what it has nothing left to write.
    ///
    /// # Errors
    /// There is no term, or it can't be known whether the proxy has a session; or the report can't
    /// be taken.
    pub async fn report(&self, proxy: ServerId, report: Report) -> Result<Result<(), BadReport>, Failure> {
        self.introduce(proxy).await?;
        Ok(self.serving()?.ticker.report(proxy, report))
    }

    /// Has all proxies forget what they know of a collection.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn invalidate(&self, arrived: BootInstant, notice: Invalidation) -> Result<(), Failure> {
        self.admit(arrived).await?;
        self.reach.peers.invalidate(notice).await.map_err(Failure::Peer)
    }

    /// What is known of a user.
    ///
    /// # Errors
    /// [`Failure`]; there may be no such user.
    pub async fn credential(
        &self,
        arrived: BootInstant,
        user: &str,
    ) -> Result<Result<Credential, NoCredential>, Failure> {
        let serving = self.serving()?;
        let found = self.access.lock().credential(user);
        serving.admit(arrived).await?;
        Ok(found)
    }

    /// All grants, and which user has which role.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn list_policy(&self, arrived: BootInstant) -> Result<Policy, Failure> {
        let serving = self.serving()?;
        let policy = self.access.lock().list_policy();
        serving.admit(arrived).await?;
        Ok(policy)
    }

    /// Lets an answer out that was made from this term's state.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn admit(&self, arrived: BootInstant) -> Result<(), Failure> {
        self.serving()?.admit(arrived).await
    }

    /// Begins to serve a term whose campaign has set the windows as staked.
    ///
    /// # Errors
    /// The windows are not known; nothing is served.
    pub async fn begin(&self, tenure: Tenure) -> Result<(), String> {
        let begun = self.clock.boot();
        self.deactivate().await;
        let (epoch, at) = (tenure.epoch, tenure.epoch.revision());
        let terms = Terms {
            ahead: self.ahead(),
            limits: self.settings.limits.clone(),
            naming: self.settings.naming.clone(),
            tick_interval: self.settings.tick_interval,
            messages: self.settings.messages,
            quota: self.settings.quota.clone(),
            ddl_patience: self.settings.ddl_patience,
            proof_patience: self.settings.proof_patience,
        };
        let events = self.events.of_term(epoch, self.keys.timestamp_window());
        let ready = {
            let mut windows = self.windows.lock();
            let taken = |stored: &mut Stored, key: String| {
                let plan = stored.staked(at).map_err(|error| error.to_string())?;
                let change = stored.change_after(at);
                Ok::<_, String>(TakenOver { key, plan, change })
            };
            let timestamp_window = taken(&mut windows.timestamps, self.keys.timestamp_window())?;
            let id_window = taken(&mut windows.ids, self.keys.id_window())?;
            self.events.windows_taken_over(
                &self.settings.kv_root,
                [&timestamp_window, &id_window].map(|window| (window.key.as_str(), &window.plan.span)),
            );
            // Held until the term can be told of others.
            let proxies = self.proxies.lock();
            let around = Surroundings {
                catalog: Arc::clone(&self.catalog),
                access: Arc::clone(&self.access),
                defaults: Arc::clone(&self.settings.defaults),
                queue: Arc::clone(&self.reach.queue),
                topics: Arc::clone(&self.reach.topics),
                peers: Arc::clone(&self.reach.peers),
                ticks: Arc::clone(&self.reach.ticks),
                proxies: proxies.known().clone(),
            };
            let (serving, ready) = Serving::begin(tenure, timestamp_window, id_window, around, terms, events);
            self.serving.store(Some(Arc::new(serving)));
            ready
        };
        let has_default = {
            let catalog = self.catalog.catalog.lock();
            self.events.reloaded(&catalog, self.clock.boot().since(begun));
            catalog.database(DEFAULT_DB_NAME).is_some()
        };
        if !has_default {
            _ = tokio::time::timeout(DEFAULT_DATABASE_PATIENCE, ready).await;
        }
        Ok(())
    }
}

impl RoleCore for RootCoord {
    fn role(&self) -> Role {
        Role::RootCoord
    }

    fn lease_granted(&self, ttl: Duration) {
        let nanos = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
        self.lease_nanos.fetch_max(nanos, Ordering::AcqRel);
    }

    fn ranges(&self) -> Vec<KeyRange> {
        let mut ranges = self.keys.ranges();
        ranges.push(self.access.lock().keys().range());
        ranges
    }

    fn mirror(&self, event: &MirrorEvent) {
        {
            let mut windows = self.windows.lock();
            let serving = self.serving.load();
            let timestamps = windows.timestamps.event(event);
            let ids = windows.ids.event(event);
            if let Some(serving) = &*serving {
                let in_term = |at: &Revision| *at > serving.epoch().revision();
                if let Some(change) = timestamps.filter(|(_, at)| in_term(at)) {
                    serving.timestamp_window_seen(change);
                }
                if let Some(change) = ids.filter(|(_, at)| in_term(at)) {
                    serving.id_window_seen(change);
                }
            }
        }
        {
            let mut proxies = self.proxies.lock();
            if proxies.event(event)
                && let Some(serving) = &*self.serving.load()
            {
                serving.ticker.sources(proxies.known());
            }
        }
        let of_access = self.access.lock().event(event);
        for (key, undecodable) in &of_access.undecodable {
            self.events.undecodable(key, undecodable);
        }
        let mut catalog = self.catalog.catalog.lock();
        let news = catalog.event(event);
        for (key, undecodable) in &news.undecodable {
            self.events.undecodable(key, undecodable);
        }
        if let Some(serving) = &*self.serving.load() {
            let in_term = |(_, at): &(String, Revision)| *at > serving.epoch().revision();
            if let Some((key, at)) = of_access.foreign.filter(in_term) {
                serving.events.foreign_write(&key, at);
            }
            if let Some((key, at)) = news.foreign.filter(in_term) {
                serving.events.foreign_write(&key, at);
                self.events.catalog_changed(&catalog);
            }
        } else if news.loaded || !news.undecodable.is_empty() {
            self.events.catalog_changed(&catalog);
        }
        drop(catalog);
        self.catalog.moved.notify_waiters();
    }

    fn stake(&self, now: UnixNanos, given_until: Option<UnixNanos>) -> Stake {
        let at = self.clock.boot();
        let ahead = self.ahead().most();
        let lead = self.settings.most_clock_lead;
        let mut windows = self.windows.lock();
        let timestamps = windows
            .timestamps
            .plan(|key, stored| window::plan(key, stored, now, ahead, Some(lead), given_until), at);
        let ids = windows.ids.plan(|key, stored| window::plan(key, stored, now, ids::AHEAD, None, None), at);
        drop(windows);
        let mut stake = Stake::default();
        for planned in [timestamps, ids] {
            match planned {
                Ok((guard, put, span)) => {
                    if let Some(lead) = span.refused_lead {
                        self.events.lead_refused(put.key(), &span, lead);
                    }
                    stake.guards.push(guard);
                    stake.puts.push(put);
                }
                // Without its window the term can't begin, and says so.
                Err(error @ (BadWindow::Undecodable { .. } | BadWindow::NoRoom { .. })) => {
                    self.events.window_unusable(&error);
                }
            }
        }
        stake
    }

    fn restake(&self, seen: &[(String, Option<KeyValue>)]) {
        let mut windows = self.windows.lock();
        for (key, value) in seen {
            if *key == self.keys.timestamp_window() {
                windows.timestamps.learned(value.as_ref());
            } else if *key == self.keys.id_window() {
                windows.ids.learned(value.as_ref());
            }
        }
    }

    fn activate(&self, term: Term) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.begin(Tenure {
            epoch: term.epoch,
            server: term.server_id,
            store: Arc::new(term.store),
            gate: term.gate,
            over: term.over,
            clock: term.clock,
        }))
    }

    fn drain(&self) -> BoxFuture<'_, Revision> {
        Box::pin(async move {
            match self.serving.load_full() {
                Some(serving) => serving.drain().await,
                None => Revision(0),
            }
        })
    }

    fn deactivate(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Some(serving) = self.serving.swap(None) {
                serving.end().await;
                let given_until = serving.timestamps.newest().physical() + window::GUARD;
                *self.ended.lock() = Some((serving.epoch(), given_until));
                self.catalog.catalog.lock().end_term();
                self.access.lock().end_term();
            }
        })
    }

    fn given_until(&self, epoch: Epoch) -> Option<UnixNanos> {
        self.ended.lock().filter(|(ended, _)| *ended == epoch).map(|(_, time)| time)
    }
}

#[cfg(test)]
mod tests;
