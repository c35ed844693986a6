//! Etcd's leases: who renewed what until when. Which keys they hold is the store's business.

use std::{collections::BTreeMap, time::Duration};

use super::refusal::Refusal;

/// The shortest time to live that is granted, in seconds: one and a half election
/// time-outs of one second, rounded up.
pub const MIN_TTL: i64 = 2;
/// The longest that may be asked for, in seconds.
pub const MAX_TTL: i64 = 9_000_000_000;
/// How often the leader looks for leases that are over.
pub const EXPIRY_PERIOD: Duration = Duration::from_millis(500);

/// One lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Granted seconds.
    pub ttl: i64,
    /// When it is over, unless renewed, on the leader's clock.
    pub expires: Duration,
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

/// All leases of the cluster, as its leader keeps them.
#[derive(Clone, Debug, Default)]
pub struct Lessor {
    leases: BTreeMap<i64, Lease>,
}

impl Lessor {
    /// Grants a lease under an id that is not zero.
    ///
    /// # Errors
    /// [`Refusal::TtlTooLarge`], [`Refusal::LeaseExists`].
    pub fn grant(&mut self, id: i64, ttl: i64, now: Duration) -> Result<Lease, Refusal> {
        if ttl > MAX_TTL {
            return Err(Refusal::TtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(Refusal::LeaseExists);
        }
        let ttl = ttl.max(MIN_TTL);
        let lease = Lease { ttl, expires: now + seconds(ttl) };
        self.leases.insert(id, lease);
        Ok(lease)
    }

    /// The lease, if it has not been revoked. It may be over and not yet found so.
    pub fn get(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// Every lease.
    pub fn all(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.leases.iter().map(|(id, lease)| (*id, lease))
    }

    /// Renews a lease that is not over yet. `None`: etcd would wait for its end to be
    /// carried out, and then not find it.
    pub fn renew(&mut self, id: i64, now: Duration) -> Option<i64> {
        let lease = self.leases.get_mut(&id).filter(|lease| lease.expires > now)?;
        lease.expires = now + seconds(lease.ttl);
        Some(lease.ttl)
    }

    /// Forgets a lease.
    ///
    /// # Errors
    /// [`Refusal::LeaseNotFound`].
    pub fn revoke(&mut self, id: i64) -> Result<(), Refusal> {
        self.leases.remove(&id).map(|_| ()).ok_or(Refusal::LeaseNotFound)
    }

    /// The leases that are over.
    pub fn expired(&self, now: Duration) -> Vec<i64> {
        self.all().filter(|(_, lease)| lease.expires <= now).map(|(id, _)| id).collect()
    }

    /// A new leader gives every lease its whole time again, and an election time-out more.
    pub fn promote(&mut self, now: Duration, extend: Duration) {
        for lease in self.leases.values_mut() {
            lease.expires = now + seconds(lease.ttl) + extend;
        }
    }
}
