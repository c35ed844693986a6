//! The life of terms: what the life cycle has rootcoord do.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::RootCoord;
use crate::{
    clock::UnixNanos,
    election::core::{RoleCore, Stake, Term},
    etcd::{
        mirror::{KeyRange, MirrorEvent},
        txn::KeyValue,
    },
    ids::{Epoch, Revision, Role},
    net::BoxFuture,
    rootcoord::{
        keys::DEFAULT_DB_NAME,
        serving::{Serving, Surroundings, TakenOver, Tenure, Terms},
    },
    tso::{
        ids,
        stored::Stored,
        window::{self, BadWindow},
    },
};

/// How long an activation waits for a default database to be made. It is made in any case.
const DEFAULT_DATABASE_PATIENCE: Duration = Duration::from_secs(1);

impl RootCoord {
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
