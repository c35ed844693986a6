//! Producers that write down what a queue told them, and what is held against it: the same
//! for every kind of queue.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use milvus_coord::mq::{MESSAGE_TIMEOUT, Message, MessageId, Queue, QueueError};
use tokio::{sync::watch, task::JoinSet};

/// On a machine with two slow cores a broker's start takes most of it.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// How late the answer to a message may be on a busy machine.
const LATE: Duration = Duration::from_secs(3);

/// How many messages each producer must get through, before a fault and after it.
const TRAFFIC: usize = 20;

/// Where a kind of queue keeps a message.
pub(crate) trait Place: Copy + Debug + Ord + Send + 'static {
    /// The queue's name in errors.
    const QUEUE: &'static str;
    /// Whether a message may stand there twice, if it was sent again when its connection broke.
    const TWICE: bool;

    /// The place that an id holds.
    fn of(id: &MessageId) -> Self;
}

pub(crate) fn message(text: &str) -> Message {
    Message { payload: text.to_owned().into(), properties: Vec::new() }
}

/// Produces until it is acknowledged.
pub(crate) async fn produce_at_last(queue: &impl Queue, channel: &str, text: &str) -> MessageId {
    let begun = Instant::now();
    loop {
        match queue.produce(channel, message(text)).await {
            Ok(id) => return id,
            Err(error) => assert!(begun.elapsed() < SOON, "{error}"),
        }
    }
}

/// How far a producer is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) acknowledged: usize,
    pub(crate) failed: usize,
}

/// What a producer was told: the place of each of its messages, by number, or an error.
#[derive(Debug)]
pub(crate) struct Account<P> {
    pub(crate) producer: usize,
    pub(crate) channel: String,
    pub(crate) answers: Vec<Result<P, QueueError>>,
}

/// The payload of a producer's message of that number.
fn text(producer: usize, number: usize) -> String {
    format!("{producer}:{number}")
}

/// Produces one message after the other until told to stop, or `limit` are given. None is
/// given twice. Every answer must come in time, and say whether the message may arrive.
pub(crate) async fn produce_on<P: Place>(
    queue: Arc<impl Queue>,
    producer: usize,
    channel: String,
    limit: usize,
    stop: Arc<AtomicBool>,
    progress: watch::Sender<Progress>,
) -> Account<P> {
    let mut answers = Vec::new();
    while answers.len() < limit && !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = queue.produce(&channel, message(&text(producer, answers.len()))).await;
        let took = begun.elapsed();
        assert!(took < MESSAGE_TIMEOUT + LATE, "{took:?}: {answer:?}");
        progress.send_modify(|progress| match &answer {
            Ok(_) => progress.acknowledged += 1,
            Err(QueueError::Unreachable { queue, .. }) if *queue == P::QUEUE => progress.failed += 1,
            Err(QueueError::Purged) => progress.failed += 1,
            Err(error) => panic!("{error}"),
        });
        answers.push(answer.map(|id| P::of(&id)));
    }
    Account { producer, channel, answers }
}

/// Waits until `enough` is true of every producer.
pub(crate) async fn all(producers: &mut [watch::Receiver<Progress>], enough: impl Fn(&Progress) -> bool) {
    for producer in producers {
        let reached = tokio::time::timeout(SOON, producer.wait_for(&enough)).await;
        reached.expect("in time").expect("a producer that has not ended");
    }
}

/// What is acknowledged stands at its place; what stands there of one producer is in its
/// order. `stored` reads a topic.
pub(crate) async fn check<P: Place>(
    accounts: &[Account<P>],
    stored: impl AsyncFn(&str) -> Vec<(P, Vec<u8>)>,
) {
    let mut topics = BTreeMap::new();
    for Account { producer, channel: topic, answers } in accounts {
        if !topics.contains_key(topic) {
            let messages = stored(topic).await.into_iter();
            let texts: BTreeMap<P, String> =
                messages.map(|(place, payload)| (place, String::from_utf8(payload).unwrap())).collect();
            topics.insert(topic.clone(), texts);
        }
        let stored = &topics[topic];
        for (number, answer) in answers.iter().enumerate() {
            if let Ok(place) = answer {
                assert_eq!(stored.get(place), Some(&text(*producer, number)), "{topic} at {place:?}");
            }
        }
        let own = format!("{producer}:");
        let numbers: Vec<usize> =
            stored.values().filter_map(|text| text.strip_prefix(&own)?.parse().ok()).collect();
        let in_order = numbers.is_sorted_by(|one, next| one < next || P::TWICE && one == next);
        assert!(in_order, "{topic}: {own} {numbers:?}");
    }
}

/// Producers that go on until they are told to stop.
pub(crate) struct Traffic<P> {
    tasks: JoinSet<Account<P>>,
    progress: Vec<watch::Receiver<Progress>>,
    stop: Arc<AtomicBool>,
}

impl<P: Place> Traffic<P> {
    /// On three channels whose names begin so.
    pub(crate) fn start(queue: &Arc<impl Queue + 'static>, channels: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let progress = (0..12).map(|producer| {
            let (tell, progress) = watch::channel(Progress::default());
            let channel = format!("{channels}_{}", producer % 3);
            let stop = Arc::clone(&stop);
            tasks.spawn(produce_on(Arc::clone(queue), producer, channel, usize::MAX, stop, tell));
            progress
        });
        let progress = progress.collect();
        Self { tasks, progress, stop }
    }

    /// Waits until each producer has got some more messages through.
    pub(crate) async fn flows(&mut self) {
        self.each_reaches(|now| now.acknowledged, TRAFFIC).await;
    }

    /// Waits until each producer has failed once more.
    pub(crate) async fn fails(&mut self) {
        self.each_reaches(|now| now.failed, 1).await;
    }

    async fn each_reaches(&mut self, count: impl Fn(&Progress) -> usize, more: usize) {
        let already: Vec<_> = self.progress.iter().map(|progress| count(&progress.borrow())).collect();
        for (progress, already) in self.progress.iter_mut().zip(already) {
            all(std::slice::from_mut(progress), |now| count(now) >= already + more).await;
        }
    }

    /// Whether a message was not acknowledged, so far.
    pub(crate) fn has_failed(&self) -> bool {
        self.progress.iter().any(|progress| progress.borrow().failed > 0)
    }

    pub(crate) async fn end(self) -> Vec<Account<P>> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await
    }
}
