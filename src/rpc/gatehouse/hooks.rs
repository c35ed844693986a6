//! Where telemetry counts.

use std::{fmt, time::Duration};

use crate::rpc::gatehouse::decide::PushAway;

/// Told of everything that doesn't go straight to a handler. Must not block.
pub trait Hooks: fmt::Debug + Send + Sync {
    /// A call has waited for the standing to change; `in_vain` if it didn't.
    fn waited(&self, path: &str, time: Duration, in_vain: bool) {
        let _ = (path, time, in_vain);
    }

    /// A call has been passed on to another instance, and answered by it or not.
    fn forwarded(&self, path: &str, answered: bool) {
        let _ = (path, answered);
    }

    /// A call was told to look the server up again.
    fn pushed_away(&self, path: &str, why: PushAway) {
        let _ = (path, why);
    }

    /// A handler has panicked; its caller got gRPC Internal.
    fn panicked(&self, path: &str) {
        let _ = path;
    }
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {}
