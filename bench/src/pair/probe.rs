//! The caller whose first value ends a takeover.

use std::time::{Duration, Instant};

use milvus_coord_testbed::{bed::Bed, grpc::Direct, instance::Instance};
use tokio::task::JoinHandle;

/// Between a refusal and the next question.
const PAUSE: Duration = Duration::from_micros(500);

/// Longer than any takeover: the real one's lease, and its reload of a large catalogue.
const LIMIT: Duration = Duration::from_secs(180);

/// Asks a standby for timestamps until it gives one.
#[derive(Debug)]
pub(crate) struct Probe {
    asking: JoinHandle<Instant>,
}

impl Probe {
    /// Connects and begins to ask.
    pub(crate) async fn start(bed: &Bed, standby: &Instance) -> Self {
        let session = bed.session_of(standby).await;
        let direct =
            Direct::lazily(&session.address, Some(session.server_id)).expect("a session has an address");
        direct.states().await.expect("a standby says its state");
        #[expect(clippy::disallowed_methods, reason = "owned by the probe, ended by its drop")]
        let asking = tokio::spawn(async move {
            loop {
                if direct.alloc_timestamp(1).await.is_ok() {
                    return Instant::now();
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { asking }
    }

    /// When the first value came.
    ///
    /// # Panics
    /// When none comes within three minutes.
    pub(crate) async fn answered(mut self) -> Instant {
        let asked = tokio::time::timeout(LIMIT, &mut self.asking).await;
        asked.expect("a takeover within three minutes").expect("the probe does not panic")
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.asking.abort();
    }
}
