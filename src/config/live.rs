//! The settings that count as soon as they change: read at each use.

use std::{sync::Arc, time::Duration};

use super::{HookSettings, kind::Value, reader::Reader, store::ConfigStore};
use crate::ids::Role;

/// Reads them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live {
    store: Arc<ConfigStore>,
}

impl Live {
    /// From that store.
    pub fn new(store: Arc<ConfigStore>) -> Self {
        Self { store }
    }

    /// The value of a key of the table.
    pub(super) fn value(&self, key: &str) -> Value {
        self.store.value(key)
    }

    /// How long a stop waits for calls that are under way.
    pub fn graceful_stop_timeout(&self) -> Duration {
        match self.store.value("grpc.gracefulStopTimeout") {
            Value::Time(time) => time,
            _ => Duration::from_secs(10),
        }
    }

    /// What is run at changes of state. What is wrong in the sources by now counts as its default.
    pub fn hooks(&self, role: Role) -> HookSettings {
        HookSettings::read(&mut Reader::new(&self.store), role)
    }

    /// What GetMetrics reports as `min_segment_size_to_enable_index`.
    pub fn min_segment_size_to_enable_index(&self) -> i64 {
        match self.store.value("rootCoord.minSegmentSizeToEnableIndex") {
            Value::Number(number) => number,
            _ => 1024,
        }
    }
}
