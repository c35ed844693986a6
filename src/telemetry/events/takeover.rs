//! From standby to active.

use std::time::Duration;

use tracing::{debug, info};

use crate::{
    clock::BootInstant,
    election::history::StageTimes,
    ids::{Epoch, Role, ServerId},
    telemetry::{
        events::{Events, Reloaded},
        log::GoDuration,
        words::{Stage, TakeoverCause},
    },
};

impl Events {
    /// The active one is gone, or there is none. `silent_for`: since its last sign of life, where
    /// that is known.
    pub fn takeover_begun(
        &self,
        cause: TakeoverCause,
        victim: Option<(ServerId, Epoch)>,
        silent_for: Option<Duration>,
        at: BootInstant,
    ) -> Takeover {
        let mut stages = Vec::with_capacity(Stage::ALL.len());
        if let Some(took) = silent_for {
            self.metrics.pair.stage(Stage::Detected, took);
            stages.push((Stage::Detected, took));
        }
        let (victim, epoch) = victim.map_or((None, None), |(id, epoch)| (Some(id.0), Some(epoch.0)));
        let what = match cause {
            TakeoverCause::Certain | TakeoverCause::Hint | TakeoverCause::Silence => "is gone",
            TakeoverCause::Handover => "hands over",
            TakeoverCause::Vacant => "does not exist",
        };
        info!(
            verdict = cause.name(),
            victim,
            victimEpoch = epoch,
            "the ACTIVE {} {what}, taking over",
            self.role
        );
        Takeover { events: self.clone(), cause, begun: at, last: at, stages }
    }

    /// What follows is the first try of a takeover.
    pub fn retrying_to_register(&self) {
        info!("start retrying to register as ACTIVE service...");
    }

    /// The ACTIVE key is the own one.
    pub fn registered_active(&self, id: ServerId, epoch: Epoch, cause: TakeoverCause) {
        self.metrics.pair.term_began(epoch, cause);
        info!(ServerID = id.0, "register ACTIVE service successfully");
        info!("register ACTIVE {}", self.role);
    }

    /// It follows no longer.
    pub fn standby_quit(&self, id: ServerId) {
        info!("quit STANDBY mode, this node will become ACTIVE");
        info!("serverName: {} quit STANDBY mode, this node will become ACTIVE, ID: {id}", self.role);
    }

    /// The role begins to serve.
    pub fn activating(&self) {
        info!("{} switch from standby to active, activating", self.role);
        info!("{} switch from standby to active, activating", self.role.title());
    }

    /// Rootcoord: the windows of ids and timestamps are taken over, below that prefix.
    pub fn allocators_initialized(&self, kv_root: &str) {
        info!(root_path = kv_root, sub_path = "gid", key = "idTimestamp", "id allocator initialized");
        info!(root_path = kv_root, sub_path = "gid", key = "idTimestamp", "tso allocator initialized");
    }

    /// Rootcoord: its metadata is complete, so long after the key was won.
    pub fn meta_reloaded(&self, found: Reloaded, took: Duration) {
        info!("num of dbs" = found.databases, "recover databases");
        info!(
            collection_num = found.collections,
            partition_num = found.partitions,
            "recover collections from db"
        );
        info!(duration = %GoDuration(took), "{} meta table reload done", self.role.title());
    }

    /// All that serving needs is there.
    pub fn initialized(&self, id: ServerId, address: &str) {
        info!(nodeID = id.0, Address = address, "init {} done", self.role);
    }

    /// It serves.
    pub fn startup_succeeded(&self, id: ServerId, address: &str) {
        self.metrics.serves(id, true);
        let title = self.role.title();
        if self.role == Role::RootCoord {
            info!("rootcoord startup successfully");
            info!(address, "{title} startup success");
        } else {
            info!("{title} startup success");
        }
        if self.role != Role::QueryCoord {
            info!("{title} Register Finished");
        }
        debug!("{title} start done ...");
        if self.role == Role::RootCoord {
            info!("{title} successfully started");
        } else {
            debug!("{title} successfully started");
        }
    }
}

/// A takeover under way: measures its stages. One that is given up is simply dropped.
#[derive(Debug)]
pub struct Takeover {
    events: Events,
    cause: TakeoverCause,
    begun: BootInstant,
    last: BootInstant,
    stages: Vec<(Stage, Duration)>,
}

impl Takeover {
    /// A stage is done; its duration counts from the one that was done before it, whichever
    /// that was: a victim of the own kind is deposed by the win, another before it.
    pub fn reached(&mut self, stage: Stage, at: BootInstant) {
        let took = at.since(self.last);
        self.last = at;
        self.events.metrics.pair.stage(stage, took);
        self.stages.push((stage, took));
    }

    /// The last stage: the first call may be answered. Returns how long each stage took, and all.
    pub fn serving(mut self, epoch: Epoch, at: BootInstant) -> (StageTimes, Duration) {
        self.reached(Stage::Serving, at);
        let total = at.since(self.begun);
        self.events.metrics.pair.takeover_total(total);
        let took = |wanted| self.stages.iter().find(|(stage, _)| *stage == wanted).map(|(_, took)| *took);
        let times = StageTimes {
            detected: took(Stage::Detected),
            deposed: took(Stage::Deposed),
            won: took(Stage::Won),
            caught_up: took(Stage::CaughtUp),
            serving: took(Stage::Serving),
        };
        let shown = |took: Option<Duration>| took.map(|took| tracing::field::display(GoDuration(took)));
        info!(
            verdict = self.cause.name(),
            epoch = epoch.0,
            detected = shown(times.detected),
            deposed = shown(times.deposed),
            won = shown(times.won),
            caughtUp = shown(times.caught_up),
            serving = shown(times.serving),
            total = %GoDuration(total),
            "takeover done"
        );
        (times, total)
    }
}
