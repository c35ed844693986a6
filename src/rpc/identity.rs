//! Who a process is within its cluster.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::ids::ServerId;

/// Who this instance is, as far as it is known by now.
#[derive(Debug)]
pub struct Identity {
    cluster: String,
    server_id: AtomicI64,
}

impl Identity {
    /// A member of that cluster without an id.
    pub fn new(cluster: impl Into<String>) -> Self {
        Self { cluster: cluster.into(), server_id: AtomicI64::new(0) }
    }

    /// The id has been allocated.
    pub fn set_server_id(&self, id: ServerId) {
        self.server_id.store(id.0, Ordering::Release);
    }

    /// The own id; 0 before there is one.
    pub fn server_id(&self) -> ServerId {
        ServerId(self.server_id.load(Ordering::Acquire))
    }

    /// What calls must name if they name a cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }
}
