//! A broker that is slow, dies, comes back and has lost a topic, under calls and time ticks:
//! what callers of the real rootcoord hear, and what callers of ours hear.

use std::time::Duration;

use milvus_coord_testbed::{or_skip, oracle::Oracle, progress::Progress, queue::Queue};
use milvus_proto::{
    etcd::CollectionInfo,
    rootcoord::{AllocTimestampRequest, AllocTimestampResponse},
};

use crate::{
    calls::{Call, outage},
    differences,
    run::{COLLECTIONS, TURN, stored},
    side::{Kind, Side},
    topics,
    transcript::{Names, Section, Transcript, compare},
};

/// Longer than ours takes for any answer; for what the real one waits for, it waits for minutes.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bound of a takeover, which waits for no broker: shorter than its clients wait for that.
const FAST: Duration = Duration::from_secs(3);

/// The name of the field that stands for an answer that does not come.
const ANSWER: &str = "answer";

/// One side, and what its callers are told.
struct Stage {
    side: Side,
    told: Vec<Section>,
    progress: Progress,
}

impl Stage {
    async fn start(kind: Kind, queue: Queue, oracle: &Oracle) -> Self {
        let mut side = Side::start(kind, queue, oracle).await;
        side.report();
        let progress = Progress::of(&format!("{kind:?} on {queue:?}"));
        Self { side, told: Vec::new(), progress }
    }

    /// Makes calls at a stage of the story, while the broker is slow or not.
    async fn ask(&mut self, stage: &str, calls: Vec<Call>, slow: bool) {
        self.progress.say(stage);
        let asked = async {
            let mut told = Vec::new();
            for call in &calls {
                let answer = self.side.answer(call);
                let answer = tokio::time::timeout(PATIENCE, answer).await;
                let answer = answer.unwrap_or_else(|_| vec![(ANSWER.to_owned(), "waits".to_owned())]);
                told.push(Section::new(format!("{stage}: {}", call.label), answer));
            }
            told
        };
        let mut told = match self.side.broker().process() {
            Some(broker) if slow => broker.while_slow(asked).await,
            _ => asked.await,
        };
        self.told.append(&mut told);
    }

    /// Kills the broker, and asks what can be done without it, and what can't.
    async fn outage(&mut self) {
        self.side.broker_mut().kill().await;
        self.ask("away", outage::meanwhile(), false).await;
        self.ask("away", vec![outage::creation("late")], false).await;
    }

    /// What etcd holds of the collection that was created last under that name.
    async fn collection(&self, name: &str) -> CollectionInfo {
        let id = self.side.peers.collection(name).id;
        let keys = self.side.keys().await;
        let found = stored::<CollectionInfo>(&keys, COLLECTIONS).find(|(_, collection)| collection.id == id);
        found.unwrap_or_else(|| panic!("{name} is not in etcd")).1
    }

    /// Waits until a tick that is later than now stands in that topic.
    async fn ticks(&self, topic: &str) {
        let request = AllocTimestampRequest { base: None, count: 1 };
        let now: AllocTimestampResponse = self.side.active().decoded("AllocTimestamp", request).await;
        let is_later = |payload: &[u8]| topics::tick(payload).is_some_and(|tick| tick > now.timestamp);
        self.side.message(topic, "tick", is_later).await;
    }

    /// What was told, in a form that can be compared.
    fn end(self) -> Transcript {
        let mut names = Names::new(self.side.replacements());
        Transcript { sections: self.told.iter().map(|section| names.section(section)).collect() }
    }
}

async fn play(kind: Kind, queue: Queue, oracle: Oracle) -> Transcript {
    let mut stage = Stage::start(kind, queue, &oracle).await;
    stage.ask("before", outage::before(), false).await;
    let (doomed, books) = (stage.collection("doomed").await, stage.collection("books").await);
    let topic = books.physical_channel_names[0].clone();
    stage.ticks(&topic).await;
    stage.ask("slow", outage::short_life("brief"), true).await;

    match kind {
        Kind::Real => stage.outage().await,
        Kind::Ours => {
            let standby = stage.side.standby(kind, &[]).await;
            stage.outage().await;
            stage.side.kill(standby, FAST).await;
        }
    }
    stage.side.broker_mut().run().await;
    stage.progress.say("the broker is back");
    stage.ticks(&topic).await;
    let is_drop = |payload: &[u8]| topics::is_drop_of(payload, doomed.id);
    stage.side.message(&doomed.physical_channel_names[0], "drop", is_drop).await;
    stage.ask("back", vec![outage::creation("late"), outage::collections()], false).await;
    let payloads = stage.side.broker().payloads(&topic).await;
    topics::assert_rising(&topic, payloads.iter().map(Vec::as_slice));

    stage.side.broker().delete(&topic).await;
    stage.ask("deleted", outage::short_life("fresh"), false).await;
    stage.ticks(&topic).await;
    stage.end()
}

async fn both(queue: Queue, oracle: Oracle) {
    let _turn = TURN.lock().await;
    let [real, ours] = [Kind::Real, Kind::Ours].map(|kind| tokio::spawn(play(kind, queue, oracle.clone())));
    let (real, ours) = tokio::try_join!(real, ours).expect("both play to the end");
    differences::check(&differences::outage(queue), &compare(&real, &ours));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_hear_the_same_while_kafka_is_away() {
    both(Queue::Kafka, or_skip!(Oracle::find())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_hear_the_same_while_pulsar_is_away() {
    both(Queue::Pulsar, or_skip!(Oracle::find_with_pulsar())).await;
}
