//! Who runs links.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Runs the tasks of links, and ends them.
#[derive(Clone, Debug, Default)]
pub struct LinkOwner {
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl LinkOwner {
    /// Links run on `tasks` until they end, at the latest when `stop` is cancelled: a
    /// tracker can only be waited for after that.
    pub fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { tasks, stop }
    }

    /// Ends all links, and those that are still to come.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

/// Runs the HTTP/2 layer's tasks on a tracker.
#[derive(Clone, Debug)]
pub(crate) struct Tasks(pub(crate) TaskTracker);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
