//! The sign of life of the main loops. A lease that is kept alive by a task of its own
//! would outlive a process that is stuck in all others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::clock::{BootInstant, Clock};

/// Ticked by the main loop, watched by the lease keeper. Clones are the same pulse.
#[derive(Clone, Debug)]
pub struct Pulse {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    /// Boot nanoseconds.
    last: AtomicU64,
    ticked: Notify,
}

impl Pulse {
    /// Ticked just now.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let inner = Inner { clock, last: AtomicU64::new(0), ticked: Notify::new() };
        let pulse = Self { inner: Arc::new(inner) };
        pulse.tick();
        pulse
    }

    /// The main loop is at work. To be called more often than every quarter of the lease.
    pub fn tick(&self) {
        let now = u64::try_from(self.inner.clock.boot().since_boot().as_nanos()).unwrap_or(u64::MAX);
        self.inner.last.fetch_max(now, Ordering::AcqRel);
        self.inner.ticked.notify_waiters();
    }

    /// How long ago the last tick was.
    pub fn age(&self) -> Duration {
        let last = BootInstant::from_boot(Duration::from_nanos(self.inner.last.load(Ordering::Acquire)));
        self.inner.clock.boot().since(last)
    }

    /// Waits until the last tick is younger than that.
    pub(crate) async fn younger_than(&self, age: Duration) {
        loop {
            let ticked = self.inner.ticked.notified();
            tokio::pin!(ticked);
            ticked.as_mut().enable();
            if self.age() < age {
                return;
            }
            ticked.await;
        }
    }
}
