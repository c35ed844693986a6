//! A panic in a handler costs one call, not the process.

use std::{any::Any, panic::AssertUnwindSafe};

use futures::FutureExt as _;
use tonic::{Status, body::Body};

use crate::rpc::gatehouse::Hooks;

/// Runs a call to its end, or to its panic: then the caller gets Internal, and the log an error.
pub(super) async fn rescue(
    path: &http::Uri,
    hooks: &dyn Hooks,
    call: impl Future<Output = http::Response<Body>>,
) -> http::Response<Body> {
    // Handlers share state behind locks that are released on unwinding; what a
    // broken-off change leaves behind there is the same as after a dropped call.
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let text = message(&*panic);
            tracing::error!(method = path.path(), panic = text, "handler panicked");
            hooks.panicked(path.path());
            Status::internal(format!("panic in {}: {text}", path.path())).into_http()
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}
