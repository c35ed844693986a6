use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use milvus_proto::msg::TimeTickMsg;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::super::{Report, TickWitness, TickWorker, Ticker};
use crate::{
    clock::{BootInstant, Clock},
    election::{
        gate::{Gate, GateSettings},
        rules::Rules,
    },
    ids::{Epoch, ServerId},
    mq::{Message, MessageId, Queue, QueueError, memory::MemoryQueue},
    net::BoxFuture,
    rootcoord::testing::{self, START, TestClock, W},
    tso::{
        hybrid::Timestamp,
        timestamps::Timestamps,
        window::{Ahead, Span},
    },
};

const INTERVAL: Duration = Duration::from_millis(200);
const P: ServerId = ServerId(7);

/// A queue in memory some of whose channels hang.
#[derive(Debug, Default)]
struct Hanging {
    queue: MemoryQueue,
    hanging: Mutex<BTreeSet<String>>,
    released: Notify,
    arrived: Notify,
}

impl Hanging {
    fn hang(&self, channel: &str) {
        self.hanging.lock().insert(channel.to_owned());
    }

    fn release(&self) {
        self.hanging.lock().clear();
        self.released.notify_waiters();
    }

    fn ticks(&self, channel: &str) -> Vec<Timestamp> {
        let ts = |message: &Message| {
            let tick = TimeTickMsg::decode(message.payload.clone()).expect("a tick");
            Timestamp(tick.base.expect("with a base").timestamp)
        };
        self.queue.messages(channel).iter().map(ts).collect()
    }

    /// Waits until there are so many ticks in a channel.
    async fn wait(&self, channel: &str, count: usize) -> Vec<Timestamp> {
        let wait = async {
            loop {
                let arrived = self.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                let ticks = self.ticks(channel);
                if ticks.len() >= count {
                    return ticks;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("a minute is enough")
    }
}

impl Queue for Hanging {
    fn produce<'a>(
        &'a self,
        channel: &'a str,
        message: Message,
    ) -> BoxFuture<'a, Result<MessageId, QueueError>> {
        Box::pin(async move {
            loop {
                let released = self.released.notified();
                tokio::pin!(released);
                released.as_mut().enable();
                if !self.hanging.lock().contains(channel) {
                    break;
                }
                released.await;
            }
            let result = self.queue.produce(channel, message).await;
            self.arrived.notify_waiters();
            result
        })
    }

    fn purge(&self) {}
}

#[derive(Debug, Default)]
struct Heard(Mutex<BTreeMap<&'static str, u32>>);

impl Heard {
    fn hear(&self, what: &'static str) {
        *self.0.lock().entry(what).or_default() += 1;
    }

    fn count(&self, what: &str) -> u32 {
        self.0.lock().get(what).copied().unwrap_or(0)
    }
}

impl TickWitness for Heard {
    fn joined(&self, _: ServerId) {
        self.hear("joined");
    }

    fn left(&self, _: ServerId) {
        self.hear("left");
    }

    fn sent(&self, _: &str, _: Timestamp, _: Duration) {
        self.hear("sent");
    }

    fn unused(&self, _: &str) {
        self.hear("unused");
    }

    fn slow(&self, _: &str, _: usize, _: Duration) {
        self.hear("slow");
    }

    fn failed(&self, _: &str, _: &QueueError) {
        self.hear("failed");
    }

    fn idle(&self, _: &[ServerId], _: Duration) {
        self.hear("idle");
    }

    fn silent(&self) {
        self.hear("silent");
    }
}

struct Bed {
    ticker: Ticker,
    queue: Arc<Hanging>,
    timestamps: Arc<Timestamps>,
    clock: Arc<TestClock>,
    gate: Arc<Gate>,
    heard: Arc<Heard>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Bed {
    fn new(proxies: &[ServerId]) -> Self {
        let clock = testing::Bed::new().clock;
        let settings = GateSettings { proof_window: W, strict: false, rules: Rules::default() };
        let gate = Arc::new(Gate::new(Epoch(5), settings, clock.clone()));
        let ahead = Ahead::for_lease(Duration::from_secs(3_600));
        let span = Span { start: START, end: START + ahead.most(), clock: START, refused_lead: None };
        let timestamps = Arc::new(Timestamps::new(&span, ahead));
        let (queue, heard, tasks) = <(Arc<Hanging>, Arc<Heard>, TaskTracker)>::default();
        let stop = CancellationToken::new();
        let worker = TickWorker {
            queue: queue.clone(),
            gate: gate.clone(),
            timestamps: timestamps.clone(),
            clock: clock.clone(),
            server: ServerId(3),
            interval: INTERVAL,
            proof_patience: Duration::from_secs(1),
            witness: heard.clone(),
            stop: stop.clone(),
        };
        let (ticker, run) = worker.prepare(&proxies.iter().copied().collect(), used(&["a", "b"]), true);
        tasks.spawn(run);
        let bed = Self { ticker, queue, timestamps, clock, gate, heard, tasks, stop };
        bed.open();
        bed
    }

    /// The gate lets everything out.
    fn open(&self) {
        let far = BootInstant::from_boot(Duration::from_secs(1_000_000));
        self.gate.lease_valid_until(far);
        self.gate.excuse_until(far);
    }

    /// The proxy has written everything that it has drawn.
    fn report(&self) {
        let now = self.timestamps.alloc(1).expect("an hour of them");
        self.ticker.report(P, Report::new(vec![], &[], now.0).unwrap().unwrap()).expect("a session");
    }
}

fn used(channels: &[&str]) -> BTreeSet<String> {
    channels.iter().map(|&channel| channel.to_owned()).collect()
}

#[track_caller]
fn assert_increasing(ticks: &[Timestamp]) {
    assert!(ticks.is_sorted_by(|earlier, later| earlier < later), "{ticks:?}");
}

#[tokio::test(start_paused = true)]
async fn without_proxies_ticks_come_at_the_interval() {
    let bed = Bed::new(&[]);
    // The first ones come as soon as they may.
    bed.queue.wait("a", 3).await;
    let begun = bed.clock.boot();
    let ticks = bed.queue.wait("a", 13).await;
    assert_eq!(bed.clock.boot().since(begun), INTERVAL * 10);
    assert_increasing(&ticks);
    assert_eq!(bed.heard.count("silent") + bed.heard.count("idle") + bed.heard.count("slow"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_hangs_delays_no_other_and_then_gets_the_newest_tick() {
    let bed = Bed::new(&[]);
    bed.queue.hang("a");
    let b = bed.queue.wait("b", 10).await;
    assert_increasing(&b);
    assert_eq!(bed.queue.ticks("a"), []);
    bed.queue.release();
    let a = bed.queue.wait("a", 2).await;
    assert!(a[0] < b[1] && a[1] >= b[9], "the one that hung, then nothing of what lay between");
    assert_eq!(bed.heard.count("slow"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_has_not_reported_holds_everything_back_and_is_told_of() {
    let bed = Bed::new(&[P]);
    tokio::time::sleep(Duration::from_secs(125)).await;
    assert_eq!(bed.queue.ticks("a"), []);
    assert_eq!(bed.heard.count("silent"), 1);
    let said = bed.heard.count("idle");
    assert!((55..=62).contains(&said), "every two seconds, not {said} times");
    bed.report();
    let begun = bed.clock.boot();
    bed.queue.wait("b", 1).await;
    assert_eq!(bed.clock.boot(), begun, "a report is acted upon at once");
    tokio::time::sleep(INTERVAL * 5).await;
    assert_eq!(bed.queue.ticks("b").len(), 1, "nothing is later than what the proxy said");
    bed.ticker.sources(&BTreeSet::new());
    bed.queue.wait("b", 3).await;
    assert_eq!((bed.heard.count("joined"), bed.heard.count("left")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn ddl_holds_its_channels_until_its_messages_are_there() {
    let bed = Bed::new(&[]);
    bed.queue.wait("a", 1).await;
    let hold = bed.ticker.hold(&["a"]);
    let ddl = bed.timestamps.alloc(1).expect("an hour of them");
    let held = bed.queue.wait("b", 20).await;
    assert!(held[19] > ddl);
    assert!(bed.queue.ticks("a").iter().all(|tick| *tick < ddl));
    assert!(bed.ticker.synced("a") < ddl && bed.ticker.synced("b") > ddl);

    let passed = bed.ticker.passed(&["a", "b", "of nobody"], ddl);
    let waited = tokio::time::timeout(Duration::from_secs(5), passed).await;
    assert!(waited.is_err(), "a is held");
    drop(hold);
    bed.ticker.passed(&["a", "b", "of nobody"], ddl).await;
    assert!(bed.queue.ticks("a").last() > Some(&ddl));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_nobody_uses_any_more_gets_no_ticks_and_is_not_waited_for() {
    let bed = Bed::new(&[]);
    bed.queue.hang("b");
    let waiting =
        tokio::time::timeout(Duration::from_secs(5), bed.ticker.passed(&["b"], Timestamp(u64::MAX)));
    let release = async {
        bed.queue.wait("a", 2).await;
        bed.ticker.set_in_use(used(&["a"]));
    };
    let (waited, ()) = tokio::join!(waiting, release);
    waited.expect("resolved when it went out of use");
    bed.queue.release();
    bed.queue.wait("a", 8).await;
    assert!(bed.queue.ticks("b").len() <= 1, "what was on its way");
    assert_eq!(bed.heard.count("unused"), 1);
}

#[tokio::test(start_paused = true)]
async fn trouble_with_the_queue_passes_and_no_tick_goes_back() {
    let bed = Bed::new(&[]);
    bed.queue.wait("a", 2).await;
    let trouble = QueueError::Unreachable {
        queue: "kafka",
        address: "broker:9092".to_owned(),
        reason: "refused".to_owned(),
    };
    bed.queue.queue.fail(std::iter::repeat_n(trouble, 12));
    bed.queue.wait("a", 8).await;
    assert_increasing(&bed.queue.wait("b", 8).await);
    assert_increasing(&bed.queue.ticks("a"));
    let failed = bed.heard.count("failed");
    assert!((1..=6).contains(&failed), "told of, but not twelve times: {failed}");
}

#[tokio::test(start_paused = true)]
async fn no_tick_goes_out_without_a_proof_and_none_after_the_term() {
    let bed = Bed::new(&[]);
    bed.queue.wait("a", 1).await;
    bed.gate.lease_valid_until(BootInstant::default());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = bed.queue.ticks("a");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bed.queue.ticks("a"), before);
    assert_eq!(bed.heard.count("failed"), 0, "that is no trouble of the queue");
    bed.open();
    let after = bed.queue.wait("a", before.len() + 2).await;
    assert_increasing(&after);

    bed.gate.end();
    bed.tasks.close();
    tokio::time::timeout(Duration::from_secs(5), bed.tasks.wait()).await.expect("it ends with the term");
}

#[tokio::test(start_paused = true)]
async fn ticks_can_be_switched_off_and_the_run_ends_when_told() {
    let bed = Bed::new(&[]);
    bed.queue.wait("a", 1).await;
    bed.ticker.set_enabled(false);
    tokio::time::sleep(INTERVAL).await;
    let before = bed.queue.ticks("a");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(bed.queue.ticks("a"), before);
    assert_eq!(bed.heard.count("silent"), 0);
    bed.ticker.set_enabled(true);
    bed.queue.wait("a", before.len() + 1).await;

    bed.queue.hang("a");
    tokio::time::sleep(INTERVAL * 2).await;
    bed.stop.cancel();
    bed.tasks.close();
    tokio::time::timeout(Duration::from_secs(1), bed.tasks.wait()).await.expect("whatever hangs");
}

#[tokio::test(start_paused = true)]
async fn many_reports_make_no_more_than_one_tick_per_half_interval() {
    let bed = Bed::new(&[P]);
    bed.report();
    bed.queue.wait("a", 1).await;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        bed.report();
    }
    let ticks = bed.queue.ticks("a");
    assert!((18..=22).contains(&ticks.len()), "{} ticks in two seconds", ticks.len());
    assert_increasing(&ticks);
}
