//! Rootcoord as the life cycle and its callers see it.

mod role;
mod settings;

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

pub use self::settings::{Reach, RootCoordSettings};
use crate::{
    clock::{BootInstant, Clock, UnixNanos},
    election::core::RoleCore as _,
    ids::{Epoch, ServerId},
    rootcoord::{
        access::{Access, AccessKeys, Credential, NoCredential, Policy},
        catalog::{Catalog, Database},
        ddl::{Outcome, Request, SharedCatalog},
        error::DdlError,
        events::{Asked, Method, RootCoordEvents},
        failure::Failure,
        keys::Keys,
        peers::Invalidation,
        proxies::ProxySessions,
        serving::Serving,
        tick::{BadReport, Report},
    },
    tso::{hybrid::Timestamp, stored::Stored, window::Ahead},
};

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
}

#[cfg(test)]
mod tests;
