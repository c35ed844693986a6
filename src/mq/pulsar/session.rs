//! One way to the cluster, from one purge to the next: a client that is made in the
//! background, kept warm, and replaced when it has found nobody for a while.

use std::{sync::Arc, time::Duration};

use pulsar::{Error, Pulsar as Client};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{access::Access, executor::Tasks, outcome::server_error};

/// Between attempts to connect, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A client that is not used is looked after this often: it connects again only when it is.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// Connecting and asking have their own limits; past this one a client has lost its way.
const LOST: Duration = Duration::from_secs(10);

/// For so long a client may find nobody until another one is made, perhaps at another
/// address. It is not the first means: a client that finds its broker again also sees to it
/// that what the broker still has of a message comes before the next one.
const REPLACED_AFTER: Duration = Duration::from_secs(20);

/// The client of a session that is used now. A later one has a greater number.
#[derive(Clone)]
pub(super) struct Numbered {
    pub(super) number: usize,
    pub(super) client: Client<Tasks>,
}

/// See the module.
pub(super) struct Session {
    pub(super) tasks: Tasks,
    current: watch::Receiver<Option<Numbered>>,
}

impl Session {
    /// Begins one, which ends with `parent`, or when its own token is cancelled.
    pub(super) fn begin(
        access: &Arc<Access>,
        tracker: &TaskTracker,
        parent: &CancellationToken,
    ) -> Arc<Self> {
        let tasks = Tasks { tracker: tracker.clone(), stop: parent.child_token() };
        let (told, current) = watch::channel(None);
        tasks.run(keep(Arc::clone(access), tasks.clone(), told));
        Arc::new(Self { tasks, current })
    }

    /// Everything of it ends where it is. Waits for nothing.
    pub(super) fn end(&self) {
        self.tasks.stop.cancel();
    }

    pub(super) fn is_over(&self) -> bool {
        self.tasks.stop.is_cancelled()
    }

    /// The client, as soon as there is one. `None`: not within `limit`.
    pub(super) async fn client(&self, limit: Duration) -> Option<Numbered> {
        let mut current = self.current.clone();
        let found = timeout(limit, current.wait_for(Option::is_some)).await;
        found.ok()?.ok()?.clone()
    }

    /// Whether there is a later client than that one.
    pub(super) fn has_later(&self, number: usize) -> bool {
        self.current.borrow().as_ref().is_some_and(|current| current.number > number)
    }
}

/// Makes clients, one after the other.
async fn keep(access: Arc<Access>, tasks: Tasks, told: watch::Sender<Option<Numbered>>) {
    let mut pause = PAUSES.0;
    for number in 0.. {
        let connected = timeout(LOST, access.connect(number, tasks.clone())).await;
        match connected {
            Ok(Ok(client)) => {
                access.is_well();
                pause = PAUSES.0;
                told.send_replace(Some(Numbered { number, client: client.clone() }));
                look_after(&access, &client).await;
                continue;
            }
            Ok(Err(error)) => access.heard("connection", &error),
            Err(_) => access.heard("connection", &Error::Custom(format!("none within {LOST:?}"))),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Sees to it that the client is connected, until it finds nobody for a while.
async fn look_after(access: &Access, client: &Client<Tasks>) {
    // Nothing is made by looking it up.
    let topic = access.topic("milvus-coord");
    let mut found_at = access.clock.boot();
    loop {
        tokio::time::sleep(LOOK_AFTER).await;
        let Ok(found) = timeout(LOST, client.lookup_topic(&topic)).await else { return };
        match found {
            Ok(_) => {
                found_at = access.clock.boot();
                access.is_well();
            }
            // Whatever the broker says of that topic: it is there.
            Err(error) if server_error(&error).is_some() => found_at = access.clock.boot(),
            Err(error) => {
                access.heard("connection", &error);
                if access.clock.boot().since(found_at) > REPLACED_AFTER {
                    return;
                }
            }
        }
    }
}
