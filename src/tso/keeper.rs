//! Keeps the window in etcd ahead of what is given out: one task per window and term.
//!
//! Each write compares the mod revision of what it replaces, so a late one of an
//! earlier attempt can't lower the end. Somebody else's put (a deposed Milvus
//! coordinator doesn't fence) is seen in the mirror or by a failed compare, and
//! answered at once with an end that is larger than both.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::UnixNanos,
    etcd::{
        commit::Commit,
        store::{Write, WriteError},
        txn::{Guard, KeyValue, Op},
    },
    ids::Revision,
    tso::{
        counter::Counter,
        stored::Change,
        window::{self, GUARD, MOST_LEAD},
    },
};

/// The pauses after a write that etcd did not take.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Something that gives out from a window.
pub trait Reserve: Send + Sync + fmt::Debug {
    /// The numbers.
    fn counter(&self) -> &Counter;

    /// The end to store, if the stored one comes too near.
    fn wanted_end(&self, stored: UnixNanos) -> Option<UnixNanos>;

    /// The later of the clock and what was given out.
    fn time(&self) -> UnixNanos;

    /// Notified when the window may have come too near.
    fn low(&self) -> &Notify;
}

/// What happens to a window, for log and metrics.
pub trait Witness: Send + Sync + fmt::Debug {
    /// It now ends there.
    fn extended(&self, key: &str, end: UnixNanos);

    /// Somebody else put or deleted it at that revision.
    fn foreign(&self, key: &str, found: &Found, at: Revision);

    /// It could not be written.
    fn failed(&self, key: &str, error: &WriteError);
}

/// What somebody else left in the place of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The key is gone.
    Nothing,
    /// An end that is not behind the own one.
    Smaller(UnixNanos),
    /// An end behind the own one: its writer may have given out up to there.
    Larger(UnixNanos),
    /// An end further ahead than any clock may be, or garbage: as raw bytes in hex.
    Unbelievable(String),
}

/// A window within its term: what is durable and what etcd holds.
#[derive(Debug)]
pub struct Window {
    key: String,
    end: UnixNanos,
    /// The mod revision to compare; `None`: the key is gone.
    holds: Option<Revision>,
    /// The newest revision that has been taken into account.
    known_at: Revision,
}

impl Window {
    /// Put at `at` with that end.
    pub fn new(key: String, end: UnixNanos, at: Revision) -> Self {
        Self { key, end, holds: Some(at), known_at: at }
    }

    /// The durable end.
    pub fn end(&self) -> UnixNanos {
        self.end
    }

    /// The write that moves the end.
    pub fn write(&self, end: UnixNanos) -> Write {
        let guard = match self.holds {
            Some(at) => Guard::ModIs(self.key.clone(), at),
            None => Guard::Absent(self.key.clone()),
        };
        Write { guards: vec![guard], ops: vec![Op::put(&self.key, window::encode(end))] }
    }

    /// The write came through.
    pub fn written(&mut self, end: UnixNanos, at: Revision) {
        self.end = end;
        self.holds = Some(at);
        self.known_at = self.known_at.max(at);
    }

    /// What etcd holds, as the mirror or a failed compare shows it. `None`: that was known.
    pub fn found(&mut self, value: Option<&KeyValue>, at: Revision, most: UnixNanos) -> Option<Found> {
        let holds = value.map(|kv| kv.mod_revision);
        if at < self.known_at || (at == self.known_at && holds == self.holds) {
            return None;
        }
        (self.known_at, self.holds) = (at, holds);
        let Some(kv) = value else { return Some(Found::Nothing) };
        Some(match window::decode(&self.key, &kv.value) {
            Ok(end) if end <= self.end => Found::Smaller(end),
            Ok(end) if end <= most => Found::Larger(end),
            Ok(_) | Err(_) => {
                Found::Unbelievable(kv.value.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
            }
        })
    }
}

/// The way by which the mirror reaches a keeper. Only the newest change counts.
#[derive(Debug)]
pub struct Sightings {
    newest: Mutex<Option<Change>>,
    reserve: Arc<dyn Reserve>,
}

impl Sightings {
    /// For the keeper of `reserve`.
    pub fn new(reserve: Arc<dyn Reserve>) -> Self {
        Self { newest: Mutex::new(None), reserve }
    }

    /// The mirror shows this.
    pub fn seen(&self, change: Change) {
        *self.newest.lock() = Some(change);
        self.reserve.low().notify_one();
    }

    fn take(&self) -> Option<Change> {
        self.newest.lock().take()
    }
}

/// The task that keeps one window ahead.
#[derive(Debug)]
pub struct Keeper {
    /// The window at the beginning of the term.
    pub window: Window,
    /// Where it is written.
    pub store: Arc<dyn Commit>,
    /// Who gives out from it.
    pub reserve: Arc<dyn Reserve>,
    /// What the mirror shows.
    pub sightings: Arc<Sightings>,
    /// Hears what happens.
    pub witness: Arc<dyn Witness>,
    /// Cancelled: nothing is given out any more, and the window is cut back to what was,
    /// so that a successor need not start ahead of the clock.
    pub finish: CancellationToken,
    /// Cancelled: ends at once.
    pub stop: CancellationToken,
}

impl Keeper {
    /// Runs until it is told to end, or the term is over. Returns the revision of its last write.
    pub async fn run(mut self) -> Revision {
        let mut last = self.window.known_at;
        let mut pause = FIRST_PAUSE;
        let mut restore = false;
        loop {
            if let Some((value, at)) = self.sightings.take() {
                restore |= self.found(value.as_ref(), at);
            }
            if self.finish.is_cancelled() {
                return self.cut_back(last, restore).await;
            }
            let stored = self.window.end();
            let wanted = self.reserve.wanted_end(stored).or_else(|| restore.then_some(stored));
            let Some(end) = wanted else {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return last,
                    () = self.finish.cancelled() => continue,
                    () = self.reserve.low().notified() => continue,
                }
            };
            let write = self.window.write(end);
            let outcome = tokio::select! {
                biased;
                () = self.stop.cancelled() => return last,
                outcome = self.store.commit_settled(&write) => outcome,
            };
            match outcome {
                Ok(committed) => {
                    last = committed.revision;
                    self.window.written(end, committed.revision);
                    self.reserve.counter().raise(end);
                    self.witness.extended(&self.window.key, end);
                    (restore, pause) = (false, FIRST_PAUSE);
                    continue;
                }
                Err(WriteError::Deposed(_)) => return last,
                Err(WriteError::Conflict { keys, seen }) => {
                    let seen =
                        keys.iter().position(|key| *key == self.window.key).and_then(|at| seen.get(at));
                    if let Some(value) = seen {
                        let at = value.as_ref().map_or(self.window.known_at, |kv| kv.mod_revision);
                        restore |= self.found(value.as_ref(), at);
                        continue;
                    }
                }
                Err(error) => self.witness.failed(&self.window.key, &error),
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return last,
                () = self.finish.cancelled() => {}
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// The last write. If it fails the longer window stays, which is safe.
    async fn cut_back(&mut self, last: Revision, restore: bool) -> Revision {
        let end = self.reserve.counter().close();
        if end >= self.window.end() && !restore {
            return last;
        }
        let write = self.window.write(end.min(self.window.end()));
        let outcome = tokio::select! {
            biased;
            () = self.stop.cancelled() => return last,
            outcome = self.store.commit_settled(&write) => outcome,
        };
        match outcome {
            Ok(committed) => committed.revision,
            Err(WriteError::Deposed(_)) => last,
            Err(error) => {
                self.witness.failed(&self.window.key, &error);
                last
            }
        }
    }

    /// Takes in what etcd holds; `true` if the window must be put anew.
    fn found(&mut self, value: Option<&KeyValue>, at: Revision) -> bool {
        let most = self.reserve.time() + MOST_LEAD;
        let Some(found) = self.window.found(value, at, most) else { return false };
        if let Found::Larger(end) = found {
            self.reserve.counter().skip_beyond(end + GUARD);
        }
        self.witness.foreign(&self.window.key, &found, at);
        true
    }

    /// Starts it on `tasks`.
    pub fn start(self, tasks: &TaskTracker) -> tokio::task::JoinHandle<Revision> {
        tasks.spawn(self.run())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        etcd::commit::memory::{Fault, MemoryStore},
        tso::{
            ids::Ids,
            timestamps::Timestamps,
            window::{Ahead, Span},
        },
    };

    const KEY: &str = "by-dev/kv/gid/timestamp";
    const NOW: UnixNanos = UnixNanos(1_800_000_000_000_000_000);

    fn ahead() -> Ahead {
        Ahead::for_lease(Duration::from_secs(5))
    }

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Witness for Heard {
        fn extended(&self, _key: &str, end: UnixNanos) {
            self.0.lock().push(format!("extended to +{}ms", end.since(NOW).as_millis()));
        }

        fn foreign(&self, _key: &str, found: &Found, _at: Revision) {
            self.0.lock().push(format!("foreign {found:?}"));
        }

        fn failed(&self, _key: &str, error: &WriteError) {
            self.0.lock().push(format!("failed: {error}"));
        }
    }

    struct Bed {
        store: Arc<MemoryStore>,
        timestamps: Arc<Timestamps>,
        sightings: Arc<Sightings>,
        heard: Arc<Heard>,
        stop: CancellationToken,
        finish: CancellationToken,
        tasks: TaskTracker,
    }

    impl Bed {
        fn new() -> Self {
            let store = Arc::new(MemoryStore::default());
            let span = Span { start: NOW, end: NOW + ahead().most(), clock: NOW, refused_lead: None };
            let at = store.put(KEY, window::encode(span.end));
            let timestamps = Arc::new(Timestamps::new(&span, ahead()));
            let sightings = Arc::new(Sightings::new(timestamps.clone()));
            let heard = Arc::new(Heard::default());
            let (stop, finish, tasks) = <(CancellationToken, CancellationToken, TaskTracker)>::default();
            let keeper = Keeper {
                window: Window::new(KEY.to_owned(), span.end, at),
                store: store.clone(),
                reserve: timestamps.clone(),
                sightings: sightings.clone(),
                witness: heard.clone(),
                finish: finish.clone(),
                stop: stop.clone(),
            };
            keeper.start(&tasks);
            Self { store, timestamps, sightings, heard, stop, finish, tasks }
        }

        fn stored(&self) -> UnixNanos {
            window::decode(KEY, &self.store.get(KEY).expect("stored").value).expect("decodable")
        }

        /// Lets the clock be `millis` later.
        fn step(&self, millis: u64) {
            self.timestamps.step_to(NOW + Duration::from_millis(millis));
        }

        fn foreign_put(&self, value: Vec<u8>) {
            let at = self.store.put(KEY, value);
            self.sightings.seen((self.store.get(KEY), at));
        }

        async fn until(&self, what: impl Fn(&Self) -> bool) {
            let wait = async {
                while !what(self) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it comes to that");
        }

        async fn end(self) {
            self.stop.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_moves_with_the_clock() {
        let bed = Bed::new();
        bed.step(2_450);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(bed.stored(), NOW + Duration::from_secs(9), "early enough later");
        bed.step(2_600);
        bed.until(|bed| bed.stored() == NOW + Duration::from_millis(11_600)).await;
        bed.step(10_000);
        assert!(bed.timestamps.alloc(1).is_ok_and(|ts| ts.physical() >= NOW + Duration::from_secs(10)));
        bed.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_smaller_foreign_put_is_answered_with_a_larger_one() {
        let bed = Bed::new();
        bed.foreign_put(window::encode(NOW + Duration::from_secs(3)));
        bed.until(|bed| bed.stored() == NOW + Duration::from_secs(9)).await;
        assert!(bed.heard.0.lock()[0].starts_with("foreign Smaller"));
        bed.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_foreign_put_that_the_mirror_has_not_shown_fails_the_compare() {
        let bed = Bed::new();
        bed.store.put(KEY, window::encode(NOW + Duration::from_secs(3)));
        bed.step(3_000);
        bed.until(|bed| bed.stored() >= NOW + Duration::from_secs(12)).await;
        bed.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_larger_foreign_put_nothing_is_given_out_twice() {
        let bed = Bed::new();
        let theirs = NOW + Duration::from_secs(20);
        bed.foreign_put(window::encode(theirs));
        bed.until(|bed| bed.stored() > theirs).await;
        bed.until(|bed| bed.timestamps.alloc(1).is_ok_and(|ts| ts.physical() > theirs)).await;
        bed.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn garbage_and_deletion_in_the_term_are_repaired() {
        let bed = Bed::new();
        bed.foreign_put(b"garbage".to_vec());
        bed.until(|bed| bed.store.get(KEY).is_some_and(|kv| kv.value.len() == 8)).await;
        let at = bed.store.delete(KEY);
        bed.sightings.seen((None, at));
        bed.until(|bed| bed.store.get(KEY).is_some()).await;
        assert_eq!(bed.stored(), NOW + Duration::from_secs(9));
        bed.foreign_put(window::encode(UnixNanos(u64::MAX)));
        bed.until(|bed| bed.stored() == NOW + Duration::from_secs(9)).await;
        bed.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn etcd_trouble_is_waited_out() {
        let bed = Bed::new();
        bed.store.fail([Fault::NotSent, Fault::NoSpace, Fault::NotSent]);
        bed.step(8_990);
        bed.until(|bed| bed.stored() > NOW + Duration::from_secs(17)).await;
        assert_eq!(bed.heard.0.lock().iter().filter(|heard| heard.starts_with("failed")).count(), 3);
        bed.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_given_out_beyond_an_end_that_is_not_acknowledged() {
        let bed = Bed::new();
        bed.store.fail([Fault::Hang]);
        bed.step(60_000);
        bed.store.wait_hanging().await;
        while let Ok(first) = bed.timestamps.alloc(100_000) {
            assert!(first.physical() < NOW + Duration::from_secs(9));
        }
        bed.store.release();
        bed.until(|bed| bed.timestamps.alloc(1).is_ok()).await;
        bed.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn deposed_it_writes_nothing_more() {
        let bed = Bed::new();
        bed.store.depose();
        bed.step(5_000);
        bed.tasks.close();
        bed.tasks.wait().await;
        assert_eq!(bed.stored(), NOW + Duration::from_secs(9));
    }

    #[tokio::test(start_paused = true)]
    async fn on_the_way_out_the_write_on_the_wire_is_waited_for() {
        let bed = Bed::new();
        bed.store.fail([Fault::Hang]);
        bed.step(5_000);
        bed.store.wait_hanging().await;
        bed.finish.cancel();
        bed.store.release();
        bed.tasks.close();
        bed.tasks.wait().await;
        assert!(bed.heard.0.lock().contains(&"extended to +14000ms".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn on_the_way_out_the_window_is_cut_back_to_what_was_given_out() {
        let bed = Bed::new();
        bed.step(1_000);
        let last = bed.timestamps.alloc(100_000).expect("inside").0 + 99_999;
        bed.finish.cancel();
        bed.tasks.close();
        bed.tasks.wait().await;
        assert_eq!(bed.stored(), NOW + Duration::from_millis(1_001));
        assert!(last < crate::tso::hybrid::first_beyond(bed.stored()));
        assert!(bed.timestamps.alloc(1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_that_etcd_does_not_take_leaves_the_longer_window() {
        let bed = Bed::new();
        bed.store.fail([Fault::NotSent]);
        bed.finish.cancel();
        bed.tasks.close();
        bed.tasks.wait().await;
        assert_eq!(bed.stored(), NOW + Duration::from_secs(9));
        assert!(bed.timestamps.alloc(1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_ids_lies_behind_all_that_were_given_out() {
        let store = Arc::new(MemoryStore::default());
        let span = Span { start: NOW, end: NOW + crate::tso::ids::AHEAD, clock: NOW, refused_lead: None };
        let at = store.put(KEY, window::encode(span.end));
        let ids = Arc::new(Ids::new(&span));
        let (stop, tasks) = <(CancellationToken, TaskTracker)>::default();
        let keeper = Keeper {
            window: Window::new(KEY.to_owned(), span.end, at),
            store: store.clone(),
            reserve: ids.clone(),
            sightings: Arc::new(Sightings::new(ids.clone())),
            witness: Arc::new(Heard::default()),
            finish: CancellationToken::new(),
            stop: stop.clone(),
        };
        keeper.start(&tasks);
        let mut last = 0;
        for count in [1, 200_000, u32::MAX, u32::MAX, 1, u32::MAX] {
            let first = ids.alloc(count).await.expect("extended in time");
            assert!(first > last);
            last = first + i64::from(count) - 1;
            let stored = window::decode(KEY, &store.get(KEY).expect("stored").value).expect("decodable");
            assert!(last >> 18 < i64::try_from(stored.millis()).expect("fits"));
        }
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}
