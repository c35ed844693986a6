//! Asks, decides, tells: round after round while the term lasts.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;

use super::{
    collected::Collected,
    compute::compute,
    events::QuotaEvents,
    limits::{Limits, OwnLimits},
    metrics::{self, Metrics},
};
use crate::{
    clock::Clock,
    election::gate::{Gate, NotServing},
    ids::CollectionId,
    rootcoord::{ddl::SharedCatalog, peers::Peers},
    tso::timestamps::Timestamps,
};

/// Where the limits stand. They may change at any time, and are looked up in each round.
pub trait LimitSource: Send + Sync + fmt::Debug {
    /// Those of now.
    fn limits(&self) -> Limits;
}

/// How the quota center is run.
#[derive(Clone, Debug)]
pub struct QuotaSettings {
    /// From one round to the next.
    pub interval: Duration,
    /// What is allowed.
    pub limits: Arc<dyn LimitSource>,
}

/// The quota center of a term.
#[derive(Debug)]
pub struct QuotaWorker {
    /// How it is run.
    pub settings: QuotaSettings,
    /// Whom it asks and tells.
    pub peers: Arc<dyn Peers>,
    /// Knows what collections say of themselves.
    pub catalog: Arc<SharedCatalog>,
    /// Of the term: nodes are behind it.
    pub timestamps: Arc<Timestamps>,
    /// Asked before proxies are told.
    pub gate: Arc<Gate>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// How long that waits for a proof.
    pub proof_patience: Duration,
    /// What is told about it.
    pub events: QuotaEvents,
}

/// The term is over.
struct Over;

impl QuotaWorker {
    /// Runs until the term is over. May be dropped at any time.
    pub async fn run(self) {
        self.events.started(self.settings.interval);
        let mut beats = tokio::time::interval(self.settings.interval);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut collected = Collected::default();
        loop {
            beats.tick().await;
            if let Err(Over) = self.round(&mut collected).await {
                return;
            }
        }
    }

    async fn round(&self, collected: &mut Collected) -> Result<(), Over> {
        let Some(metrics) = self.collect(collected).await else { return Ok(()) };
        let now = match self.timestamps.alloc(1) {
            Ok(now) => now,
            Err(error) => {
                self.events.not_calculated(&error);
                return Ok(());
            }
        };
        let verdict = compute(&metrics, &self.settings.limits.limits(), &self.own_limits(&metrics), now);
        self.events.decided(&verdict, self.clock.boot());
        match self.gate.admit(self.clock.boot(), self.proof_patience).await {
            Err(NotServing::Ended(_)) => return Err(Over),
            Err(error @ NotServing::Unproven(_)) => self.events.not_set(&error),
            Ok(()) => {
                let told = self.peers.set_rates(&verdict.rates).await;
                let refusals = told.into_iter().filter_map(|(_, told)| told.err());
                refusals.for_each(|error| self.events.not_set(&error));
            }
        }
        Ok(())
    }

    /// Asks everybody at once. `None`: too little is known, or known too long.
    async fn collect(&self, collected: &mut Collected) -> Option<Metrics> {
        let (query_coord, data_coord, proxies) =
            tokio::join!(self.peers.query_metrics(), self.peers.data_metrics(), self.peers.proxy_metrics());
        let now = self.clock.boot();
        if let Some(told) = self.read(query_coord, metrics::of_query_coord) {
            collected.query_nodes(told, now);
        }
        if let Some(told) = self.read(data_coord, metrics::of_data_coord) {
            collected.data_nodes(told, now);
        }
        let proxies = proxies.into_iter().map(|(id, told)| (id, self.read(told, metrics::of_proxy)));
        collected.proxies(proxies, now);
        // Why they do not tell has just been said.
        collected.metrics(now).ok()
    }

    fn read<T, E: fmt::Display>(
        &self,
        told: Result<String, E>,
        read: impl FnOnce(&str) -> Result<T, metrics::BadMetrics>,
    ) -> Option<T> {
        let json = told.inspect_err(|error| self.events.not_collected(error)).ok()?;
        read(&json).inspect_err(|error| self.events.not_collected(error)).ok()
    }

    fn own_limits(&self, metrics: &Metrics) -> BTreeMap<CollectionId, OwnLimits> {
        let catalog = self.catalog.catalog.lock();
        let with_properties = metrics.collections().into_iter().filter_map(|id| {
            let properties = &catalog.visible(id)?.properties;
            (!properties.is_empty()).then(|| (id, OwnLimits::of(properties)))
        });
        with_properties.collect()
    }
}
