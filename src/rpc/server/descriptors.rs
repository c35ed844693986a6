//! File descriptors: each connection takes one, and etcd, logs and health need some, too.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the rest of the process shall always find free.
const RESERVED: usize = 128;
/// Served in any case.
const LEAST: usize = 64;

/// Takes as many descriptors as the system grants, as programs in Go do of themselves.
/// Says how many that are, if that can be known.
pub(super) fn raise_limit() -> Option<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return Some(usize::try_from(hard).unwrap_or(usize::MAX));
    }
    Some(usize::try_from(soft).unwrap_or(usize::MAX))
}

/// How many connections there may be at once.
pub(super) fn connections(wanted: usize, descriptors: Option<usize>) -> usize {
    let room = descriptors.map_or(wanted, |limit| limit.saturating_sub(RESERVED).max(LEAST));
    wanted.min(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_others() {
        assert_eq!(connections(8192, None), 8192);
        assert_eq!(connections(8192, Some(1 << 20)), 8192);
        assert_eq!(connections(8192, Some(1024)), 1024 - RESERVED);
        assert_eq!(connections(8192, Some(100)), LEAST);
        assert_eq!(connections(2, Some(100)), 2);
    }

    #[test]
    fn the_limit_is_raised_to_what_is_granted() {
        let raised = raise_limit().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, raised), (hard, usize::try_from(hard).unwrap_or(usize::MAX)));
    }
}
