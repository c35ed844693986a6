//! While the message queue is away.

use milvus_coord_testbed::queue::Queue;

use super::{Because, Difference, all};

/// In the answers.
pub(crate) fn outage(queue: Queue) -> Vec<Difference> {
    let reason = match queue {
        Queue::Kafka => "message queue kafka at <kafka> does not answer: *",
        Queue::Pulsar => "message queue pulsar at <pulsar> does not answer: *",
    };
    all([Because::new("proxies repeat it by themselves until the queue is back; the real one's call waits")
        .real("away: create late", "answer", "waits")
        .ours("away: create late", "error_code", "UnexpectedError")
        .ours("away: create late", "reason", reason)
        .ours("away: create late", "detail", reason)
        .ours("away: create late", "code", "65535")
        .ours("away: create late", "retriable", "true")])
}
