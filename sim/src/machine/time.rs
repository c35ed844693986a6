//! The clocks of a simulated machine.
//!
//! Its local time runs at a rate of its own and stands still while the machine is paused
//! or suspended. The boot clock is local time plus what suspensions lasted; the wall clock
//! is the boot clock plus an offset that can jump.

use std::{fmt, sync::Arc, time::Duration};

use milvus_coord::clock::{BootInstant, Clock, UnixNanos};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Local time of a machine, common to its processes.
#[derive(Debug)]
pub struct MachineTime {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Local nanoseconds per million real ones, less a million.
    drift_ppm: i64,
    /// Local time, in nanoseconds.
    local: i128,
    /// Boot clock less local time.
    boot_ahead: Duration,
    /// Wall clock less boot clock, in nanoseconds.
    wall_ahead: i128,
    stopped: bool,
}

impl MachineTime {
    /// A machine that has been up for `up` and whose wall clock shows `wall`.
    pub fn new(up: Duration, wall: UnixNanos, drift_ppm: i64) -> Arc<Self> {
        let local = nanos(up);
        let state = State {
            drift_ppm,
            local,
            boot_ahead: Duration::ZERO,
            wall_ahead: i128::from(wall.0) - local,
            stopped: false,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Lets real time pass; says how much local time that is.
    pub(crate) fn advance(&self, by: Duration) -> Duration {
        let mut state = self.state.lock();
        if state.stopped {
            return Duration::ZERO;
        }
        let passed = nanos(by) * (1_000_000 + i128::from(state.drift_ppm)) / 1_000_000;
        state.local += passed;
        duration(passed)
    }

    /// Stops all clocks of the machine, as a paused virtual machine does.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
    }

    /// Lets them run again. The boot clock makes up for `suspended`, tokio's does not.
    pub(crate) fn resume(&self, suspended: Duration) {
        let mut state = self.state.lock();
        state.stopped = false;
        state.boot_ahead += suspended;
    }

    /// Moves the wall clock.
    pub fn jump_wall(&self, by_nanos: i128) {
        self.state.lock().wall_ahead += by_nanos;
    }

    /// Lets the machine's time run faster or slower from now on.
    pub fn set_drift(&self, ppm: i64) {
        self.state.lock().drift_ppm = ppm;
    }

    /// The wall clock.
    pub fn wall(&self) -> UnixNanos {
        let state = *self.state.lock();
        state.wall(state.local)
    }
}

impl State {
    fn boot(&self, local: i128) -> Duration {
        duration(local) + self.boot_ahead
    }

    fn wall(&self, local: i128) -> UnixNanos {
        let wall = nanos(self.boot(local)) + self.wall_ahead;
        UnixNanos(u64::try_from(wall.max(0)).unwrap_or(u64::MAX))
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

/// The clocks as one process reads them, between the steps of the simulation, too.
pub struct ProcessClock {
    machine: Arc<MachineTime>,
    /// What tokio's clock showed when the machine's local time was last set, and that time.
    anchor: Mutex<Option<(Instant, i128)>>,
}

impl fmt::Debug for ProcessClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessClock").finish_non_exhaustive()
    }
}

impl ProcessClock {
    pub(crate) fn new(machine: Arc<MachineTime>) -> Arc<Self> {
        Arc::new(Self { machine, anchor: Mutex::new(None) })
    }

    /// The process begins to run up to the machine's present; tokio is `behind` that.
    pub(crate) fn anchor(&self, behind: Duration) {
        let local = self.machine.state.lock().local - nanos(behind);
        *self.anchor.lock() = Some((Instant::now(), local));
    }

    /// The process does not run.
    pub(crate) fn lift(&self) {
        *self.anchor.lock() = None;
    }

    fn local(&self, state: &State) -> i128 {
        match *self.anchor.lock() {
            Some((instant, local)) => (local + nanos(instant.elapsed())).min(state.local),
            None => state.local,
        }
    }
}

impl Clock for ProcessClock {
    fn boot(&self) -> BootInstant {
        let state = *self.machine.state.lock();
        BootInstant::from_boot(state.boot(self.local(&state)))
    }

    fn wall(&self) -> UnixNanos {
        let state = *self.machine.state.lock();
        state.wall(self.local(&state))
    }
}
