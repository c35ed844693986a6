//! Waiting for etcd at start, in whatever order things come up.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::etcd::{
    Etcd,
    call::{CallError, Header},
};

/// How often the log says what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits, for ever if need be, until etcd answers a linearizable read of `key`. Says so
/// in the log at once and then every five seconds. `None`: cancelled.
///
/// A login that is denied is waited out too: whoever sets etcd up may not have come to
/// the users yet.
pub async fn wait_for_etcd(etcd: &Etcd, key: &str, stop: &CancellationToken) -> Option<Header> {
    let started = Instant::now();
    let mut said: Option<Instant> = None;
    let waiting = async {
        loop {
            match etcd.read(key, ATTEMPT).await {
                Ok(answer) => {
                    if said.is_some() {
                        let waited = started.elapsed();
                        tracing::info!(endpoints = etcd.endpoints(), ?waited, "etcd is there");
                    }
                    return answer.header;
                }
                Err(error) => {
                    if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                        said = Some(Instant::now());
                        let cause = last_cause(&error);
                        tracing::warn!(endpoints = etcd.endpoints(), %error, cause, "waiting for etcd");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        header = waiting => Some(header),
    }
}

/// What lies at the bottom of an error: "connection refused".
fn last_cause(error: &CallError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
