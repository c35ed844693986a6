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
    ids::{Revision, Role},
    net::BoxFuture,
    rootcoord::{
        catalog::{Catalog, Database},
        ddl::{Outcome, Request, SharedCatalog},
        events::{Method, RootCoordEvents},
        failure::Failure,
        keys::{DEFAULT_DB_NAME, Keys, RequestId},
        serving::{Serving, TakenOver, Tenure, Terms},
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

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct RootCoordSettings {
    /// The full path of metadata, without a slash at the end.
    pub meta_root: String,
    /// The full path of the windows, without a slash at the end.
    pub kv_root: String,
    /// `rootCoord.maxDatabaseNum`
    pub max_databases: usize,
    /// The lease that is asked for. See [`RootCoord::lease_granted`].
    pub lease: Duration,
    /// How far ahead of the stored timestamp window a wall clock is believed at a campaign.
    pub most_clock_lead: Duration,
    /// How long a DDL call waits for its write.
    pub write_patience: Duration,
    /// How long an answer waits for a proof.
    pub proof_patience: Duration,
}

impl RootCoordSettings {
    /// With the usual patience.
    pub fn new(meta_root: String, kv_root: String, max_databases: usize, lease: Duration) -> Self {
        Self {
            meta_root,
            kv_root,
            max_databases,
            lease,
            most_clock_lead: window::MOST_LEAD,
            write_patience: Duration::from_secs(3),
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

/// See the module.
#[derive(Debug)]
pub struct RootCoord {
    settings: RootCoordSettings,
    keys: Keys,
    clock: Arc<dyn Clock>,
    events: RootCoordEvents,
    catalog: Arc<SharedCatalog>,
    /// Also guards the beginning of a term against the mirror.
    windows: Mutex<Windows>,
    lease_nanos: AtomicU64,
    serving: ArcSwapOption<Serving>,
}

impl RootCoord {
    /// Knows nothing yet.
    pub fn new(settings: RootCoordSettings, clock: Arc<dyn Clock>, events: RootCoordEvents) -> Self {
        let keys = Keys::new(&settings.meta_root, &settings.kv_root);
        let windows =
            Windows { timestamps: Stored::new(keys.timestamp_window()), ids: Stored::new(keys.id_window()) };
        let catalog = Mutex::new(Catalog::new(keys.clone()));
        let core = Self {
            keys,
            clock,
            events,
            catalog: Arc::new(SharedCatalog { catalog, moved: Notify::new() }),
            windows: Mutex::new(windows),
            lease_nanos: AtomicU64::new(0),
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

    /// Creates a database. `request`: by what its repetition is known.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn create_database(
        &self,
        caller: Caller,
        name: &str,
        request: Option<RequestId>,
    ) -> Result<(), Failure> {
        let change = Request::Create { name: name.to_owned(), id: request };
        self.change(caller, Method::Create, name, change).await
    }

    /// Drops a database.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn drop_database(&self, caller: Caller, name: &str) -> Result<(), Failure> {
        self.change(caller, Method::Drop, name, Request::Drop { name: name.to_owned() }).await
    }

    async fn change(
        &self,
        caller: Caller,
        method: Method,
        name: &str,
        request: Request,
    ) -> Result<(), Failure> {
        self.events.received(method, Some(name), caller.message);
        let mut outcome = match self.serving() {
            Ok(serving) => {
                let mut outcome = serving.ddl.carry_out(request).await;
                if let Err(failure) = serving.admit(caller.arrived).await {
                    outcome.result = Err(failure);
                }
                outcome
            }
            Err(failure) => Outcome { result: Err(failure), waited: Duration::ZERO },
        };
        self.events.changed(method, name, caller.message, &outcome, self.clock.boot().since(caller.arrived));
        std::mem::replace(&mut outcome.result, Err(Failure::NoTerm)).map(|_| ())
    }

    /// All databases, by id.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn list_databases(&self, caller: Caller) -> Result<Vec<Database>, Failure> {
        self.events.received(Method::List, None, caller.message);
        let listed = self.list(caller.arrived).await;
        let took = self.clock.boot().since(caller.arrived);
        self.events.listed(caller.message, listed.as_ref().map(Vec::len), took);
        listed
    }

    async fn list(&self, arrived: BootInstant) -> Result<Vec<Database>, Failure> {
        let serving = self.serving()?;
        let listed = self.catalog.catalog.lock().databases().cloned().collect();
        serving.admit(arrived).await?;
        Ok(listed)
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
            max_databases: self.settings.max_databases,
            write_patience: self.settings.write_patience,
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
            let (serving, ready) =
                Serving::begin(tenure, timestamp_window, id_window, Arc::clone(&self.catalog), terms, events);
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
        self.keys.ranges()
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
        let mut catalog = self.catalog.catalog.lock();
        let news = catalog.event(event);
        for (key, undecodable) in &news.undecodable {
            self.events.undecodable(key, undecodable);
        }
        if let Some(serving) = &*self.serving.load() {
            if let Some((key, at)) = news.foreign.filter(|(_, at)| *at > serving.epoch().revision()) {
                serving.events.foreign_write(&key, at);
                self.events.catalog_changed(&catalog);
            }
        } else if news.loaded || !news.undecodable.is_empty() {
            self.events.catalog_changed(&catalog);
        }
        drop(catalog);
        self.catalog.moved.notify_waiters();
    }

    fn stake(&self, now: UnixNanos) -> Stake {
        let at = self.clock.boot();
        let ahead = self.ahead().most();
        let lead = self.settings.most_clock_lead;
        let mut windows = self.windows.lock();
        let timestamps =
            windows.timestamps.plan(|key, stored| window::plan(key, stored, now, ahead, Some(lead)), at);
        let ids = windows.ids.plan(|key, stored| window::plan(key, stored, now, ids::AHEAD, None), at);
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
                self.catalog.catalog.lock().end_term();
            }
        })
    }
}

#[cfg(test)]
mod tests;
