//! Producers that go on while things happen to the broker.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use milvus_coord::mq::pulsar::Pulsar;
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
    /// On three channels whose names begin so.
    pub(crate) fn start(pulsar: &Arc<Pulsar>, channels: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let progress = (0..12).map(|producer| {
            let (tell, progress) = watch::channel(Progress::default());
            let channel = format!("{channels}_{}", producer % 3);
            let stop = Arc::clone(&stop);
            tasks.spawn(produce_on(Arc::clone(pulsar), producer, channel, usize::MAX, stop, tell));
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
        let already: Vec<_> = self.progress.iter().map(|progress| progress.borrow().failed).collect();
        for (progress, already) in self.progress.iter_mut().zip(already) {
            all(std::slice::from_mut(progress), |now| now.failed > already).await;
        }
    }

    pub(crate) async fn end(self) -> Vec<Account> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await
    }
}
