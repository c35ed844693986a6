//! When a node of the real Milvus can be used.

use std::time::{Duration, Instant};

use crate::instance::Instance;

/// How often a node that is not ready is asked again. It has no other way to tell that
/// is the same for all kinds of nodes.
const AGAIN: Duration = Duration::from_millis(50);

/// Waits until `/healthz` says that the node is healthy.
///
/// # Panics
/// When it ends before, or isn't within `limit`.
pub(super) async fn healthy(node: &Instance, limit: Duration) {
    let deadline = Instant::now() + limit;
    loop {
        let last = match node.http("/healthz").await {
            Ok(answer) if answer.status == 200 => return,
            Ok(answer) => answer.body,
            Err(e) => e.to_string(),
        };
        let name = node.process.name();
        if let Some(exit) = node.process.ended() {
            panic!("{name} ended before it was healthy: {exit:?}\n{}", node.process.log.tail(60));
        }
        assert!(
            Instant::now() < deadline,
            "{name} is not healthy after {limit:?}: {last}\n{}",
            node.process.log.tail(60)
        );
        tokio::time::sleep(AGAIN).await;
    }
}
