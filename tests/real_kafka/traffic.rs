//! Producers that go on while things happen to the broker.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use milvus_coord::mq::kafka::Kafka;
use tokio::{sync::watch, task::JoinSet};

use crate::support::{Account, Progress, all, produce_on};

/// How many messages each producer must get through, before the fault and after it.
const TRAFFIC: usize = 20;

/// Producers that go on until they are told to stop.
pub(crate) struct Traffic {
    tasks: JoinSet<Account>,
    progress: Vec<watch::Receiver<Progress>>,
    stop: Arc<AtomicBool>,
}

impl Traffic {
    pub(crate) fn start(kafka: &Arc<Kafka>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let progress = (0..12).map(|producer| {
            let (tell, progress) = watch::channel(Progress::default());
            let channel = format!("dml_{}", producer % 3);
            let stop = Arc::clone(&stop);
            tasks.spawn(produce_on(Arc::clone(kafka), producer, channel, usize::MAX, stop, tell));
            progress
        });
        let progress = progress.collect();
        Self { tasks, progress, stop }
    }

    pub(crate) async fn flows(&mut self) {
        let already: Vec<_> = self.progress.iter().map(|progress| progress.borrow().acknowledged).collect();
        for (progress, already) in self.progress.iter_mut().zip(already) {
            all(std::slice::from_mut(progress), |now| now.acknowledged >= already + TRAFFIC).await;
        }
    }

    pub(crate) async fn fails(&mut self) {
        all(&mut self.progress, |now| now.failed > 0).await;
    }

    pub(crate) async fn end(self) -> Vec<Account> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await
    }
}
