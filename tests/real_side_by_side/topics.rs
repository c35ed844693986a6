//! What stands in the channels: messages of the schema one by one, ticks as such.

use std::collections::BTreeMap;

use milvus_coord_testbed::kafka::Stored;
use milvus_proto::{
    common::{MsgBase, MsgHeader, MsgType},
    msg::{CreateCollectionRequest, DropCollectionRequest, DropPartitionRequest},
};
use prost::Message as _;

use crate::{
    fields::{self, Field, PLACE},
    transcript::{Names, Section},
};

/// Every message, by topic.
pub(crate) type Topics = BTreeMap<String, Vec<Stored>>;

/// What a message says it is.
fn base(payload: &[u8]) -> MsgBase {
    MsgHeader::decode(payload).ok().and_then(|header| header.base).unwrap_or_default()
}

/// The time of a tick, if it is one.
pub(crate) fn tick(payload: &[u8]) -> Option<u64> {
    let base = base(payload);
    (base.msg_type() == MsgType::TimeTick).then_some(base.timestamp)
}

/// Whether it says that a collection, or a partition of that id, is gone.
pub(crate) fn is_drop_of(payload: &[u8], id: i64) -> bool {
    match base(payload).msg_type() {
        MsgType::DropCollection => {
            DropCollectionRequest::decode(payload).is_ok_and(|drop| drop.collection_id == id)
        }
        MsgType::DropPartition => {
            DropPartitionRequest::decode(payload).is_ok_and(|drop| drop.partition_id == id)
        }
        _ => false,
    }
}

/// What a message is, in a few words.
fn title(message: &Stored) -> String {
    let payload = message.payload.as_slice();
    let kind = base(payload).msg_type();
    let id = match kind {
        MsgType::CreateCollection => CreateCollectionRequest::decode(payload).ok().map(|it| it.collection_id),
        MsgType::DropCollection => DropCollectionRequest::decode(payload).ok().map(|it| it.collection_id),
        MsgType::DropPartition => DropPartitionRequest::decode(payload).ok().map(|it| it.partition_id),
        _ => None,
    };
    format!("{} of {}", kind.as_str_name(), id.unwrap_or_default())
}

/// Says of each place in a channel what stands there.
pub(crate) fn resolve(section: &mut Section, topics: &Topics) {
    for (_, value) in &mut section.fields {
        let place = value.strip_prefix(PLACE).and_then(|place| place.split_once(' '));
        let Some((topic, offset)) = place else { continue };
        let found =
            topics.get(topic).into_iter().flatten().find(|message| message.offset.to_string() == offset);
        *value = found
            .map_or_else(|| format!("nothing at {topic} {offset}"), |found| format!("at {}", title(found)));
    }
}

/// # Panics
/// When the ticks of a topic don't rise.
pub(crate) fn sections(topics: &Topics, names: &mut Names) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut strangers = 0;
    for (topic, messages) in topics {
        let (ticks, others): (Vec<&Stored>, Vec<&Stored>) =
            messages.iter().partition(|message| tick(&message.payload).is_some());
        if let Some(section) = of_ticks(topic, &ticks) {
            sections.push(names.section(&section));
        }
        let mut seen = BTreeMap::new();
        for message in others {
            // A collection that nobody has ever heard of.
            let title = title(message);
            if let Some(id) = title.rsplit(' ').next().filter(|id| !names.knows(id)) {
                strangers += 1;
                names.name(id, || format!("<stranger {strangers}>"));
            }
            let count: &mut u32 = seen.entry(title.clone()).or_default();
            *count += 1;
            let again = if *count == 1 { String::new() } else { format!(", {count}") };
            let label = format!("{topic}: {title}{again}");
            sections.push(names.section(&Section::new(label, of_message(message))));
        }
    }
    sections
}

fn of_message(message: &Stored) -> Vec<Field> {
    let kind = match base(&message.payload).msg_type() {
        MsgType::CreateCollection => "milvus.proto.msg.CreateCollectionRequest",
        MsgType::DropCollection => "milvus.proto.msg.DropCollectionRequest",
        MsgType::DropPartition => "milvus.proto.msg.DropPartitionRequest",
        MsgType::TimeTick => "milvus.proto.msg.TimeTickMsg",
        _ => "milvus.proto.common.MsgHeader",
    };
    let key = message.key.as_ref().map_or_else(|| "none".to_owned(), |key| fields::hex(key));
    let mut all = vec![("key".to_owned(), key)];
    // Its value is another one in each run.
    all.extend(message.headers.iter().map(|(name, _)| (format!("property {name}"), "there".to_owned())));
    all.extend(fields::of(kind, &message.payload));
    all
}

/// # Panics
/// When the ticks among the messages of a topic go back.
#[track_caller]
pub(crate) fn assert_rising<'a>(topic: &str, payloads: impl IntoIterator<Item = &'a [u8]>) {
    let times: Vec<u64> = payloads.into_iter().filter_map(tick).collect();
    assert!(times.is_sorted(), "{topic}: ticks go back: {times:?}");
}

/// All ticks of a topic as one: what they have in common.
fn of_ticks(topic: &str, ticks: &[&Stored]) -> Option<Section> {
    let first = ticks.first()?;
    assert_rising(topic, ticks.iter().map(|stored| stored.payload.as_slice()));
    let without_time = |tick: &Stored| -> Vec<Field> {
        of_message(tick).into_iter().filter(|(path, _)| path != "base.timestamp").collect()
    };
    let fields = without_time(first);
    for tick in ticks {
        assert_eq!(without_time(tick), fields, "{topic}: one tick is not like the others");
    }
    Some(Section::new(format!("{topic}: ticks"), fields))
}
