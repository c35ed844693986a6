//! The only place that reads the machine's clocks.
//!
//! Deadlines (leases, proofs) live on the boot clock: unlike tokio's, it goes on
//! while the machine is suspended, so a process that wakes up sees at once that
//! its time is over. Sleeping is tokio's business; whoever slept looks at the
//! boot clock again before acting.

use std::{
    fmt,
    ops::{Add, Sub},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A moment on the boot clock of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// The moment `since_boot` after the machine started.
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// How long after the machine's start.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// From `earlier` to this moment; zero if that is not before.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootInstant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

impl Sub<Duration> for BootInstant {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

/// A moment of the wall clock: nanoseconds since 1970 UTC, what the timestamp and id windows store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// Whole milliseconds since 1970 UTC.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// From `earlier` to this moment; zero if that is not before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for UnixNanos {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl From<SystemTime> for UnixNanos {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The two clocks of a machine. Tests bring their own.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since boot, suspension included. Never goes back.
    fn boot(&self) -> BootInstant;

    /// The wall clock, which may jump either way.
    fn wall(&self) -> UnixNanos;
}

/// The clocks of the machine that this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot(&self) -> BootInstant {
        let now =
            nix::time::ClockId::CLOCK_BOOTTIME.now().expect("Linux has had CLOCK_BOOTTIME since 2.6.39");
        BootInstant(Duration::from(now))
    }

    fn wall(&self) -> UnixNanos {
        #[expect(clippy::disallowed_methods, reason = "this is the one module that may")]
        SystemTime::now().into()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A clock for tests.

    use parking_lot::Mutex;

    use super::*;

    /// Both clocks stand where they are put.
    #[derive(Debug, Default)]
    pub(crate) struct Hand {
        elapsed: Mutex<Duration>,
        booted: UnixNanos,
    }

    impl Hand {
        /// The machine was booted at this time.
        pub(crate) fn booted(booted: UnixNanos) -> Self {
            Self { elapsed: Mutex::default(), booted }
        }

        /// So long after boot.
        pub(crate) fn set(&self, since_boot: Duration) {
            *self.elapsed.lock() = since_boot;
        }

        pub(crate) fn advance(&self, by: Duration) {
            *self.elapsed.lock() += by;
        }
    }

    impl Clock for Hand {
        fn boot(&self) -> BootInstant {
            BootInstant::from_boot(*self.elapsed.lock())
        }

        fn wall(&self) -> UnixNanos {
            self.booted + *self.elapsed.lock()
        }
    }
}
