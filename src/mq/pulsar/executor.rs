//! Where the client's own tasks run: in the tracker of the queue, and only until they are
//! told to end.
//!
//! This is what makes a [purge](crate::mq::Queue::purge) certain: the tasks that write to the
//! socket, and those that would connect and send again, all end where they are.

use std::{future::Future, pin::Pin, time::Duration};

use pulsar::executor::{Delay, Executor, ExecutorKind, Interval, JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Tasks {
    pub(super) tracker: TaskTracker,
    /// Cancelled: they end where they are, and no new ones begin.
    pub(super) stop: CancellationToken,
}

impl Tasks {
    /// A task that ends with the others.
    pub(super) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let _: Option<()> = stop.run_until_cancelled_owned(task).await;
        });
    }
}

impl Executor for Tasks {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) -> Result<(), ()> {
        // The client says goodbye for each producer that is dropped, also after the end.
        if self.stop.is_cancelled() || tokio::runtime::Handle::try_current().is_err() {
            return Err(());
        }
        self.run(task);
        Ok(())
    }

    fn spawn_blocking<F, Res>(&self, work: F) -> JoinHandle<Res>
    where
        F: FnOnce() -> Res + Send + 'static,
        Res: Send + 'static,
    {
        JoinHandle::Tokio(self.tracker.spawn_blocking(work))
    }

    fn interval(&self, duration: Duration) -> Interval {
        Interval::Tokio(tokio::time::interval(duration))
    }

    fn delay(&self, duration: Duration) -> Delay {
        Delay::Tokio(tokio::time::sleep(duration))
    }

    fn kind(&self) -> ExecutorKind {
        ExecutorKind::Tokio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_told_to_end_does_not_go_on() {
        let tasks = Tasks { tracker: TaskTracker::new(), stop: CancellationToken::new() };
        let (told, heard) = tokio::sync::oneshot::channel::<()>();
        tasks
            .spawn(Box::pin(async move {
                std::future::pending::<()>().await;
                drop(told);
            }))
            .unwrap();
        tasks.stop.cancel();
        assert!(heard.await.is_err());
        assert_eq!(tasks.spawn(Box::pin(async {})), Err(()));
        tasks.tracker.close();
        tasks.tracker.wait().await;
    }
}
