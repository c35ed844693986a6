//! In which order the kernel closes what a killed process had open.
//!
//! Linux closes from the highest descriptor down, after the last thread has ended. So
//! what stands above everything else is gone first:
//!
//! 1. the lock by which processes of this machine learn of the end: sooner than by any
//!    other sign;
//! 2. the listener: a client whose connection is reset dials again at once. Were the
//!    listener still open, that would succeed, and Milvus's clients would hold on to a
//!    dead process for seconds. Closed first, it refuses them;
//! 3. the connections.

use std::os::fd::OwnedFd;

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, getrlimit},
};

/// The limit that is made use of. The kernel's table of descriptors grows to the highest
/// one, 8 bytes each.
const MOST: u64 = 65_536;

/// What is closed before all connections.
#[derive(Clone, Copy, Debug)]
pub enum ClosedEarly {
    /// First.
    Lock,
    /// Then.
    Listener,
}

impl ClosedEarly {
    /// How far below the limit its descriptors begin.
    const fn below_limit(self) -> u64 {
        match self {
            Self::Lock => 8,
            Self::Listener => 16,
        }
    }
}

/// Moves a descriptor above those of connections. Where that is not possible it stays.
pub fn raise(descriptor: OwnedFd, what: ClosedEarly) -> OwnedFd {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(MOST).min(MOST);
    let lowest = i32::try_from(limit.saturating_sub(what.below_limit())).unwrap_or_default();
    fcntl_dupfd_cloexec(&descriptor, lowest).unwrap_or(descriptor)
}
