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
    assert_eq!(bed.stored(), NOW + Duration::from_secs(14));
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
