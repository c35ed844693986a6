//! What etcd holds, key by key, decoded.

use milvus_proto::etcd::{CollectionInfo, DatabaseInfo, PartitionInfo};
use prost::Message as _;

use crate::{
    fields::{self, Field},
    topics::{self, Topics},
    transcript::{Names, Section},
};

/// The value of what is gone.
pub(crate) const TOMBSTONE: &[u8] = "\u{26fc}".as_bytes();

const META: &str = "by-dev/meta/";
const SNAPSHOTS: &str = "by-dev/meta/snapshots/";

/// The types of values, by what their keys begin with, below `by-dev/meta/`.
const TYPES: [(&str, &str); 5] = [
    ("root-coord/database/db-info/", "milvus.proto.etcd.DatabaseInfo"),
    ("root-coord/database/collection-info/", "milvus.proto.etcd.CollectionInfo"),
    ("root-coord/database/aliases/", "milvus.proto.etcd.AliasInfo"),
    ("root-coord/partitions/", "milvus.proto.etcd.PartitionInfo"),
    ("root-coord/fields/", "milvus.proto.schema.FieldSchema"),
];

/// The plain key of a snapshot, and its timestamp.
fn snapshot(key: &str) -> Option<(String, &str)> {
    let (plain, ts) = key.strip_prefix(SNAPSHOTS)?.rsplit_once("_ts")?;
    Some((format!("{META}{plain}"), ts))
}

/// Calls ids and times after the objects that they are of. Each object's oldest value comes
/// first: snapshots are in the order of time.
pub(crate) fn name(keys: &[(String, Vec<u8>)], names: &mut Names) {
    let mut taken = std::collections::BTreeMap::new();
    let mut unique = |name: String| {
        let count: &mut u32 = taken.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { format!("<{name}>") } else { format!("<{name} #{count}>") }
    };
    for (key, value) in keys {
        let Some((plain, ts)) = snapshot(key) else { continue };
        if value == TOMBSTONE {
            continue;
        }
        let plain = plain.strip_prefix(META).expect("just put there");
        if plain.starts_with("root-coord/database/db-info/") {
            if let Ok(database) = DatabaseInfo::decode(value.as_slice()) {
                names.name(&database.id.to_string(), || unique(format!("database {}", database.name)));
                names.name(ts, || unique(format!("creation of database {}", database.name)));
            }
        } else if plain.starts_with("root-coord/database/collection-info/") {
            if let Ok(collection) = CollectionInfo::decode(value.as_slice()) {
                let name = collection.schema.unwrap_or_default().name;
                names.name(&collection.id.to_string(), || unique(format!("collection {name}")));
                names.name(&collection.create_time.to_string(), || unique(format!("creation of {name}")));
            }
        } else if plain.starts_with("root-coord/partitions/")
            && let Ok(partition) = PartitionInfo::decode(value.as_slice())
        {
            let name = &partition.partition_name;
            names.name(&partition.partition_id.to_string(), || unique(format!("partition {name}")));
        }
    }
}

/// All keys, with their ids named already.
pub(crate) fn sections(keys: &[(String, Vec<u8>)], topics: &Topics, names: &mut Names) -> Vec<Section> {
    let mut counts = std::collections::BTreeMap::new();
    let sections = keys.iter().map(|(key, value)| {
        if let Some((plain, ts)) = snapshot(key) {
            let plain = names.text("unknown", &plain);
            let count: &mut u32 = counts.entry(plain.clone()).or_default();
            names.name(ts, || {
                *count += 1;
                format!("<{plain} change {count}>")
            });
        }
        if let Some((_, epoch)) = key.split_once("/milvus-coord/history/rootcoord/") {
            // Only ours has those; an unknown number there would be counted among all others.
            names.name(epoch, || format!("<term {}>", epoch.trim_start_matches('0')));
        }
        let label = names.text("unknown", key);
        let plain = key.strip_prefix(SNAPSHOTS).or_else(|| key.strip_prefix(META));
        let mut section = Section::new(label, fields_of(plain, value));
        topics::resolve(&mut section, topics);
        names.section(&section)
    });
    sections.collect()
}

fn fields_of(plain: Option<&str>, value: &[u8]) -> Vec<Field> {
    if value == TOMBSTONE {
        return vec![("gone".to_owned(), "yes".to_owned())];
    }
    let kind = plain.and_then(|plain| TYPES.iter().find(|(prefix, _)| plain.starts_with(prefix)));
    if let Some((_, kind)) = kind {
        return fields::of(kind, value);
    }
    match std::str::from_utf8(value) {
        Ok(text) if !text.chars().any(char::is_control) => {
            let mut fields = Vec::new();
            fields::json("value", text, &mut fields);
            fields
        }
        // Times of the wall clock.
        _ => vec![("value".to_owned(), format!("{} bytes", value.len()))],
    }
}
