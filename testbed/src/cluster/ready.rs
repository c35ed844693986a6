//! When a node of the real Milvus can be used.

use std::time::{Duration, Instant};

use crate::{
    instance::Instance,
    log::{Log, Mark},
};

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
            panic!("{name} ended before it was healthy: {exit:?}\n{}", why(&node.process.log));
        }
        assert!(
            Instant::now() < deadline,
            "{name} is not healthy after {limit:?}: {last}\n{}",
            node.process.log.tail(60)
        );
        tokio::time::sleep(AGAIN).await;
    }
}

/// The end of the log before a Go program's panic, which a dump of all its goroutines
/// pushes far away, and the panic.
fn why(log: &Log) -> String {
    let lines = log.since(Mark::default());
    let is_panic = |text: &str| text.starts_with("panic:") || text.starts_with("fatal error:");
    let Some(panic) = lines.iter().position(|line| is_panic(&line.text)) else { return log.tail(60) };
    let around = &lines[panic.saturating_sub(20)..lines.len().min(panic + 20)];
    around.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}
