//! The task that lets timestamps follow the clock.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;

use crate::{
    clock::{BootInstant, Clock},
    tso::{
        steps::{EVERY, Note, Steps},
        timestamps::Timestamps,
    },
};

/// Timestamps that are further behind the clock are worth a line, as in Milvus.
const HUGE_OFFSET: Duration = Duration::from_millis(150);

/// But not more often than this.
const OFFSET_SAID_EVERY: Duration = Duration::from_secs(60);

/// Hears of trouble with the clock.
pub trait ClockWitness: Send + Sync + fmt::Debug {
    /// The wall clock lost or regained trust.
    fn clock(&self, note: Note);

    /// Timestamps had fallen behind the clock by this much.
    fn clock_offset(&self, lag: Duration);
}

/// Steps for ever; to be dropped when the term is over.
pub async fn follow(
    clock: Arc<dyn Clock>,
    mut steps: Steps,
    timestamps: Arc<Timestamps>,
    witness: Arc<dyn ClockWitness>,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said: Option<BootInstant> = None;
    loop {
        ticks.tick().await;
        let now = clock.boot();
        let step = steps.advance(clock.wall(), now);
        if let Some(note) = step.note {
            witness.clock(note);
        }
        let lag = step.time.since(timestamps.newest().physical());
        if lag > HUGE_OFFSET && said.is_none_or(|said| now.since(said) > OFFSET_SAID_EVERY) {
            said = Some(now);
            witness.clock_offset(lag);
        }
        timestamps.step_to(step.time);
    }
}
