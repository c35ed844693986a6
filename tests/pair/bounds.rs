//! The program under test, and how long things may take in tests.

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_milvus-coord");

use std::time::Duration;

/// The setting of the ACTIVE key's lease.
pub(crate) const LEASE: &str = "common.activeStandby.leaseSeconds";

/// A lease, in seconds, that no test waits for: what happens within [`FAST`] happened
/// for another reason.
pub(crate) const LONG_LEASE: u32 = 60;

/// The shortest lease, in seconds: for tests that wait for its end.
pub(crate) const SHORT_LEASE: u32 = 2;

/// Bound of a takeover that waits for no lease. The promise is milliseconds, and the
/// benchmark measures it; here a busy machine must not fail a test.
pub(crate) const FAST: Duration = Duration::from_secs(10);

/// Bound of a takeover that waits for a standby to send something on an idle stream, which it
/// does each ten seconds: only then does it meet what a firewall answers in the other's stead.
pub(crate) const NEXT_PING: Duration = Duration::from_secs(20);

/// Bound of a takeover that waits for [`SHORT_LEASE`] to end.
pub(crate) const LEASE_END: Duration = Duration::from_secs(20);

/// Bound of everything that only needs the machine to get round to it.
pub(crate) use milvus_coord_testbed::instance::SOON;
