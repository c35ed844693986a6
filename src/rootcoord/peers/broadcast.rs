//! Tells all proxies at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ids::ServerId,
    rootcoord::peers::{
        PeerEvents,
        line::{Line, Upkeep},
        notices::{Method, Notice},
    },
    rpc::{
        clients::Proxies,
        merr::{Kind, MilvusError},
    },
};

/// How many notices are on their way to one proxy at a time, for one caller.
const AT_A_TIME: usize = 16;

/// How long proxies are waited for, and for how much.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// In a call, for a proxy that answered so far; and for each repetition. Long enough
    /// for a pause of the proxy's garbage collector or a lost packet and for a few steps
    /// of the ladder, short enough for the client of a DDL call, who waits ten seconds.
    pub wait: Duration,
    /// In a call, for a proxy that has not answered an earlier notice yet: time for an
    /// answer, not for a recovery. Otherwise each DDL call would wait for a dead proxy,
    /// for as long as its session lasts.
    pub late: Duration,
    /// Between repetitions in the background at first; doubles.
    pub first_pause: Duration,
    /// Between repetitions in the background at most.
    pub longest_pause: Duration,
    /// How many notices one proxy may be owed. A few megabytes, and hours of DDL beside a
    /// proxy that hangs but keeps its session. Who runs into that is told so, rather than
    /// that something is lost in silence.
    pub most_owed: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(3),
            late: Duration::from_millis(300),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            most_owed: 10_000,
        }
    }
}

/// What ends with a term.
#[derive(Debug)]
struct Term {
    upkeep: Upkeep,
    lines: Mutex<BTreeMap<ServerId, Arc<Line>>>,
}

impl Term {
    fn new(patience: Patience, events: PeerEvents) -> Arc<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Arc::new(Self { upkeep: Upkeep { patience, events, tasks, stop }, lines: Mutex::default() })
    }

    /// One for each proxy that has a session now. What proxies without one were owed is
    /// forgotten by the task that works on it.
    fn lines(&self, proxies: &Proxies) -> Vec<Arc<Line>> {
        let mut lines = self.lines.lock();
        let mut before = std::mem::take(&mut *lines);
        for (id, client) in proxies.all() {
            let line = before.remove(&id).unwrap_or_else(|| Line::new(id, client, self.upkeep.clone()));
            lines.insert(id, line);
        }
        lines.values().cloned().collect()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Broadcast {
    proxies: Arc<Proxies>,
    patience: Patience,
    events: PeerEvents,
    term: Mutex<Arc<Term>>,
}

impl Broadcast {
    pub(super) fn new(proxies: Arc<Proxies>, patience: Patience, events: PeerEvents) -> Self {
        let term = Mutex::new(Term::new(patience, events.clone()));
        Self { proxies, patience, events, term }
    }

    /// Cancelled when the present term is over.
    pub(super) fn over(&self) -> CancellationToken {
        self.term.lock().upkeep.stop.clone()
    }

    /// Returns when every proxy has heard all of it, or was waited for long enough.
    ///
    /// # Errors
    /// One refused; of several the one with the lowest id. The others were told all the same.
    pub(super) async fn tell(&self, method: Method, notices: Vec<Notice>) -> Result<(), MilvusError> {
        let term = self.term.lock().clone();
        let lines = term.lines(&self.proxies);
        if lines.is_empty() {
            self.events.no_proxies(method);
            return Ok(());
        }
        let telling = join_all(lines.iter().map(|line| tell_one(line, &notices)));
        let told = term.upkeep.stop.run_until_cancelled(telling).await;
        told.ok_or_else(|| MilvusError::new(Kind::Canceled))?.into_iter().collect()
    }

    /// Ends the term. The next one begins with nothing owed.
    pub(super) async fn end(&self) {
        let next = Term::new(self.patience, self.events.clone());
        let term = std::mem::replace(&mut *self.term.lock(), next);
        term.upkeep.stop.cancel();
        term.upkeep.tasks.close();
        term.upkeep.tasks.wait().await;
    }
}

impl Drop for Broadcast {
    fn drop(&mut self) {
        self.term.get_mut().upkeep.stop.cancel();
    }
}

async fn tell_one(line: &Arc<Line>, notices: &[Notice]) -> Result<(), MilvusError> {
    let deadline = line.deadline();
    let mut result = Ok(());
    for chunk in notices.chunks(AT_A_TIME) {
        let told = join_all(chunk.iter().map(|notice| line.tell(notice.clone(), deadline))).await;
        result = told.into_iter().fold(result, Result::and);
    }
    result
}
