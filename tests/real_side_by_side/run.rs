//! The whole run: both sides through the sequence, then each etcd in the hands of the other
//! kind of rootcoord.

use std::collections::BTreeSet;

use bytes::Bytes;
use milvus_coord_testbed::{oracle::Oracle, progress::Progress, queue::Queue};
use milvus_proto::etcd::{CollectionInfo, CollectionState, PartitionInfo, PartitionState};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    calls, fields, quotas, reading,
    side::{Kind, Side},
    store::{self, TOMBSTONE},
    topics,
    transcript::{Found, Names, Section, Transcript, compare},
};

/// In what the two differ.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) answers: Vec<Found>,
    pub(crate) peers: Vec<Found>,
    pub(crate) keys: Vec<Found>,
    pub(crate) messages: Vec<Found>,
    pub(crate) standby: Vec<Found>,
    /// "Ours" before the real one took over.
    pub(crate) real_after_ours: Vec<Found>,
    /// The real one before ours took over.
    pub(crate) ours_after_real: Vec<Found>,
}

/// Methods that are not served yet.
const NOT_YET: [&str; 15] = [
    "Import",
    "GetImportState",
    "ListImportTasks",
    "ReportImport",
    "CreateCredential",
    "UpdateCredential",
    "DeleteCredential",
    "ListCredUsers",
    "CreateRole",
    "DropRole",
    "OperateUserRole",
    "SelectRole",
    "SelectUser",
    "OperatePrivilege",
    "SelectGrant",
];

/// The methods that are served.
pub(crate) fn served() -> Vec<String> {
    fields::methods().into_iter().filter(|name| !NOT_YET.contains(&name.as_str())).collect()
}

/// One run at a time: each has two brokers.
pub(crate) static TURN: Mutex<()> = Mutex::const_new(());

/// Runs once for all tests of the program.
///
/// # Errors
/// What is missing on this machine.
///
/// # Panics
/// When the run does.
pub(crate) async fn report() -> Result<&'static Report, String> {
    static REPORT: OnceCell<Result<Report, String>> = OnceCell::const_new();
    let oracle = Oracle::find()?;
    let run = || async move {
        let _turn = TURN.lock().await;
        // A panic is told to every test, and by one run.
        tokio::task::JoinSet::from_iter([run(oracle)])
            .join_next()
            .await
            .expect("one run")
            .map_err(|error| error.to_string())
    };
    Ok(REPORT.get_or_init(run).await.as_ref().unwrap_or_else(|error| panic!("the run: {error}")))
}

/// What one side tells.
struct Told {
    answers: Transcript,
    peers: Transcript,
    keys: Transcript,
    messages: Transcript,
    /// Of the other kind.
    standby: Transcript,
    before: Transcript,
    after: Transcript,
}

async fn run(oracle: Oracle) -> Report {
    let progress = Progress::of("side by side");
    let sequence = calls::all();
    let (real, ours) = tokio::join!(one(Kind::Real, &oracle, &sequence), one(Kind::Ours, &oracle, &sequence));
    progress.say(&format!("{} calls were made on each side", sequence.len()));
    Report {
        answers: compare(&real.answers, &ours.answers),
        peers: compare(&real.peers, &ours.peers),
        keys: compare(&real.keys, &ours.keys),
        messages: compare(&real.messages, &ours.messages),
        standby: compare(&ours.standby, &real.standby),
        real_after_ours: compare(&ours.after, &ours.before),
        ours_after_real: compare(&real.before, &real.after),
    }
}

async fn one(kind: Kind, oracle: &Oracle, sequence: &[calls::Call]) -> Told {
    let progress = Progress::of(&format!("{kind:?}"));
    let mut side = Side::start(kind, Queue::Kafka, oracle).await;
    progress.say("serves");
    let mut answers = Vec::new();
    for call in sequence {
        answers.extend(side.ask(call).await);
    }
    progress.say("the sequence is done");
    side.report();
    settle(&side).await;
    progress.say("what follows is done");

    let mut limits = quotas::play(&side).await;
    progress.say("limits were told");

    let topics = side.topics().await;
    let keys = side.keys().await;
    let mut background = side.background();
    background.append(&mut limits);
    let mut names = Names::new(side.replacements());
    store::name(&keys, &mut names);
    side.peers.name(&mut names);
    let mut named = |sections: &mut Vec<Section>| {
        let named = sections.iter_mut().map(|section| {
            topics::resolve(section, &topics);
            names.section(section)
        });
        Transcript { sections: named.collect() }
    };
    let answers = named(&mut answers);
    let peers = named(&mut background);
    let stored = Transcript { sections: store::sections(&keys, &topics, &mut names) };
    let messages = Transcript { sections: topics::sections(&topics, &mut names) };

    let settings: &[(&str, &str)] = match kind {
        // Ours stands by: it does not pass calls on, and takes over from the real one at once.
        Kind::Real => &[
            ("common.activeStandby.forward", "false"),
            ("common.activeStandby.goPredecessorWaitSeconds", "0"),
        ],
        Kind::Ours => &[],
    };
    let standby = side.standby(kind.other(), settings).await;
    let mut told_by_standby = Transcript::default();
    for method in served().iter().filter(|method| *method != "GetMetrics") {
        let fields = standby.answer(method, &[], Bytes::new()).await;
        told_by_standby.sections.push(Section::new(format!("standby: {method}"), fields));
    }
    let ids = collections(&keys);
    let before = reading::everything(side.active(), &ids).await;
    side.hand_over(standby).await;
    progress.say("the other kind serves");
    let after = reading::everything(side.active(), &ids).await;
    Told { answers, peers, keys: stored, messages, standby: told_by_standby, before, after }
}

/// The newest value of each collection that was ever stored.
pub(crate) fn stored<'a, M: prost::Message + Default>(
    keys: &'a [(String, Vec<u8>)],
    prefix: &'a str,
) -> impl Iterator<Item = (&'a str, M)> {
    let below = move |(key, value): &'a (String, Vec<u8>)| {
        let is_it = key.starts_with(prefix) && value != TOMBSTONE;
        is_it.then(|| Some((key.as_str(), M::decode(value.as_slice()).ok()?)))?
    };
    keys.iter().filter_map(below)
}

pub(crate) const COLLECTIONS: &str = "by-dev/meta/root-coord/database/collection-info/";
const PARTITIONS: &str = "by-dev/meta/root-coord/partitions/";

/// The ids of all collections, also of those that are gone.
fn collections(keys: &[(String, Vec<u8>)]) -> Vec<i64> {
    let ids =
        keys.iter().filter_map(|(key, _)| key.strip_prefix(COLLECTIONS)?.rsplit('/').next()?.parse().ok());
    let ids: BTreeSet<i64> = ids.collect();
    ids.into_iter().collect()
}

/// Waits until everything that follows after answers has happened, as far as it does soon.
async fn settle(side: &Side) {
    let keys = side.keys().await;
    let collections: Vec<(&str, CollectionInfo)> = stored(&keys, COLLECTIONS).collect();
    for (key, collection) in &collections {
        let id = collection.id;
        match collection.state() {
            CollectionState::CollectionCreating => side.key(key, |value| value == TOMBSTONE).await,
            CollectionState::CollectionDropping => {
                for channel in &collection.physical_channel_names {
                    side.message(channel, "drop of a collection", is_drop_of(id)).await;
                }
                follows(side, id, -1).await;
            }
            _ => {}
        }
    }
    for (key, partition) in stored::<PartitionInfo>(&keys, PARTITIONS) {
        let of = collections.iter().find(|(_, collection)| collection.id == partition.collection_id);
        let Some((_, collection)) = of else { continue };
        match partition.state() {
            PartitionState::PartitionCreating => side.key(key, |value| value == TOMBSTONE).await,
            PartitionState::PartitionDropping => {
                for channel in &collection.physical_channel_names {
                    side.message(channel, "drop of a partition", is_drop_of(partition.partition_id)).await;
                }
                follows(side, collection.id, partition.partition_id).await;
            }
            _ => {}
        }
    }
    side.asked("the rates", |heard| heard.method == "SetRates").await;
    side.asked("the policy", |heard| heard.method == "RefreshPolicyInfoCache").await;
}

fn is_drop_of(id: i64) -> impl Fn(&[u8]) -> bool {
    move |payload| topics::is_drop_of(payload, id)
}

/// The real one waits for twenty minutes before it asks datacoord for the first time.
async fn follows(side: &Side, collection: i64, partition: i64) {
    if side.kind == Kind::Ours {
        side.asked("whether the data are gone", |heard| {
            let fields = heard.fields();
            let has = |name: &str, value: i64| fields.contains(&(name.to_owned(), value.to_string()));
            heard.method == "GcConfirm" && has("collection_id", collection) && has("partition_id", partition)
        })
        .await;
    }
}
