//! What ticks promise, over random interleavings; and the driver against a queue in memory.

mod driver;
mod promise;
