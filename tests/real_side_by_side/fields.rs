//! A message as a list of its fields, by the compiled interface's own descriptors: every
//! field that is set, one line each, also those that this program doesn't know.
//!
//! Where the order of a list has no meaning and differs from run to run, its elements are
//! called by their names instead of their places.

use std::sync::LazyLock;

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    MethodDescriptor, ReflectMessage as _, Value,
};

/// Where in a message, and what stands there.
pub(crate) type Field = (String, String);

/// The service under test.
pub(crate) const ROOT_COORD: &str = "milvus.proto.rootcoord.RootCoord";

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(milvus_proto::DESCRIPTORS).expect("own descriptors"));

/// Lists whose elements belong to the element of the same place in another list, which
/// holds names.
const NAMED: [(&str, &str); 3] = [
    ("milvus.proto.milvus.ShowCollectionsResponse", "collection_names"),
    ("milvus.proto.milvus.ShowPartitionsResponse", "partition_names"),
    ("milvus.proto.milvus.ListDatabasesResponse", "db_names"),
];

/// Lists that are sets.
const SETS: [&str; 4] = [
    "milvus.proto.milvus.ListAliasesResponse.aliases",
    "milvus.proto.milvus.DescribeCollectionResponse.aliases",
    "milvus.proto.internal.ListPolicyResponse.policy_infos",
    "milvus.proto.internal.ListPolicyResponse.user_roles",
];

/// Messages by whose field they are called in a list.
const ELEMENTS: [(&str, &str); 5] = [
    ("milvus.proto.common.KeyValuePair", "key"),
    ("milvus.proto.common.KeyDataPair", "key"),
    ("milvus.proto.schema.FieldSchema", "name"),
    ("milvus.proto.proxy.CollectionRate", "collection"),
    ("milvus.proto.internal.Rate", "rt"),
];

/// Ids and timestamps that were given out and stand for nothing.
const FRESH: [&str; 2] =
    ["milvus.proto.rootcoord.AllocIDResponse.ID", "milvus.proto.rootcoord.AllocTimestampResponse.timestamp"];

/// Bytes that are a message of their own.
const NESTED: [(&str, &str); 1] =
    [("milvus.proto.msg.CreateCollectionRequest.schema", "milvus.proto.schema.CollectionSchema")];

/// A method of one of Milvus's services.
///
/// # Panics
/// When there is none.
#[track_caller]
pub(crate) fn method(service: &str, name: &str) -> MethodDescriptor {
    let service = POOL.get_service_by_name(service).expect("a service of Milvus");
    let found = service.methods().find(|method| method.name() == name);
    found.unwrap_or_else(|| panic!("{} has no {name}", service.full_name()))
}

/// The names of all methods of rootcoord.
pub(crate) fn methods() -> Vec<String> {
    let service = POOL.get_service_by_name(ROOT_COORD).expect("the service under test");
    service.methods().map(|method| method.name().to_owned()).collect()
}

/// The fields of a message of the type of that full name.
///
/// # Panics
/// When there is no such type.
pub(crate) fn of(kind: &str, bytes: &[u8]) -> Vec<Field> {
    of_type(POOL.get_message_by_name(kind).unwrap_or_else(|| panic!("no message {kind}")), bytes)
}

/// The fields of a message of that type.
pub(crate) fn of_type(kind: MessageDescriptor, bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    match DynamicMessage::decode(kind, bytes) {
        Ok(message) => write_message("", &message, &mut fields),
        Err(error) => fields.push((String::new(), format!("undecodable: {error}"))),
    }
    fields
}

/// Puts `prefix` before the path of each field.
pub(crate) fn below(prefix: &str, fields: Vec<Field>) -> impl Iterator<Item = Field> {
    fields.into_iter().map(move |(path, value)| (join(prefix, &path), value))
}

fn join(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("", path) => path.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, path) => format!("{prefix}.{path}"),
    }
}

fn write_message(path: &str, message: &DynamicMessage, to: &mut Vec<Field>) {
    let before = to.len();
    let names = names_of(message);
    for (field, value) in message.fields() {
        write_field(&join(path, field.name()), message, &field, value, names.as_deref(), to);
    }
    for unknown in message.unknown_fields() {
        to.push((join(path, &format!("unknown {}", unknown.number())), format!("{unknown:?}")));
    }
    if to.len() == before && !path.is_empty() {
        to.push((path.to_owned(), "{}".to_owned()));
    }
}

/// What the elements of its lists are called by.
fn names_of(message: &DynamicMessage) -> Option<Vec<String>> {
    let kind = message.descriptor();
    let (_, field) = NAMED.iter().find(|(name, _)| *name == kind.full_name())?;
    let names = message.get_field_by_name(field)?;
    names.as_list().map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}

fn write_field(
    path: &str,
    message: &DynamicMessage,
    field: &FieldDescriptor,
    value: &Value,
    names: Option<&[String]>,
    to: &mut Vec<Field>,
) {
    match value {
        Value::List(list) if SETS.contains(&field.full_name()) => {
            let mut list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            list.sort_unstable();
            to.extend(list.into_iter().map(|element| (format!("{path}[{element}]"), "there".to_owned())));
        }
        Value::List(list) => {
            let mut elements: Vec<(String, &Value)> = list
                .iter()
                .enumerate()
                .map(|(place, element)| {
                    let name = names.filter(|names| names.len() == list.len()).map(|names| &names[place]);
                    (
                        name.cloned().or_else(|| own_name(element)).unwrap_or_else(|| place.to_string()),
                        element,
                    )
                })
                .collect();
            write_order(path, &elements, to);
            if names.is_some()
                || matches!(own_type(field).as_deref(), Some("milvus.proto.common.KeyDataPair"))
            {
                elements.sort_by(|one, other| one.0.cmp(&other.0));
            }
            for (name, element) in elements {
                write_value(&format!("{path}[{name}]"), message, field, element, to);
            }
        }
        Value::Map(map) => {
            let mut entries: Vec<(String, &Value)> =
                map.iter().map(|(key, value)| (text_of(key), value)).collect();
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            for (key, value) in entries {
                write_value(&format!("{path}[{key}]"), message, field, value, to);
            }
        }
        value => write_value(path, message, field, value, to),
    }
}

/// The order of a schema's fields is part of it.
fn write_order(path: &str, elements: &[(String, &Value)], to: &mut Vec<Field>) {
    let is_field =
        |value: &Value| value.as_message().is_some_and(|it| it.descriptor().name() == "FieldSchema");
    if elements.first().is_some_and(|(_, value)| is_field(value)) {
        let order: Vec<&str> = elements.iter().map(|(name, _)| name.as_str()).collect();
        to.push((format!("{path} in order"), order.join(", ")));
    }
}

/// The type of a list's elements, if they are messages.
fn own_type(field: &FieldDescriptor) -> Option<String> {
    match field.kind() {
        Kind::Message(kind) if field.cardinality() == Cardinality::Repeated => {
            Some(kind.full_name().to_owned())
        }
        _ => None,
    }
}

fn own_name(element: &Value) -> Option<String> {
    let message = element.as_message()?;
    let kind = message.descriptor();
    let (_, field) = ELEMENTS.iter().find(|(name, _)| *name == kind.full_name())?;
    let name = message.get_field_by_name(field)?;
    match &*name {
        Value::String(name) => Some(name.clone()),
        Value::I64(id) => Some(id.to_string()),
        Value::EnumNumber(number) => match kind.get_field_by_name(field)?.kind() {
            Kind::Enum(kind) => kind.get_value(*number).map(|known| known.name().to_owned()),
            _ => None,
        },
        _ => None,
    }
}

fn text_of(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

fn write_value(
    path: &str,
    message: &DynamicMessage,
    field: &FieldDescriptor,
    value: &Value,
    to: &mut Vec<Field>,
) {
    let text = match value {
        // Nobody can tell one from another, and an id may be the same number as a timestamp.
        _ if FRESH.contains(&field.full_name()) => "a fresh one".to_owned(),
        Value::Message(inner) => return write_message(path, inner, to),
        Value::Bytes(bytes) => {
            if let Some((_, kind)) = NESTED.iter().find(|(name, _)| *name == field.full_name()) {
                to.extend(below(path, of(kind, bytes)));
                return;
            }
            place(message, bytes).unwrap_or_else(|| hex(bytes))
        }
        Value::String(text) if field.full_name() == "milvus.proto.milvus.GetMetricsResponse.response" => {
            return json(path, text, to);
        }
        Value::String(text) => text.clone(),
        Value::EnumNumber(number) => match field.kind() {
            Kind::Enum(kind) => {
                kind.get_value(*number).map_or_else(|| number.to_string(), |known| known.name().to_owned())
            }
            _ => number.to_string(),
        },
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => match physical(message, field) {
            Some(times) if times.contains(value) => "the same in milliseconds".to_owned(),
            _ => value.to_string(),
        },
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::List(_) | Value::Map(_) => "a list in a list".to_owned(),
    };
    to.push((path.to_owned(), text));
}

/// The milliseconds of the timestamps beside a `created_utc_timestamp`.
fn physical(message: &DynamicMessage, field: &FieldDescriptor) -> Option<Vec<u64>> {
    let beside = match field.name() {
        "created_utc_timestamp" => "created_timestamp",
        "created_utc_timestamps" => "created_timestamps",
        _ => return None,
    };
    let beside = message.get_field_by_name(beside)?;
    let beside = match &*beside {
        Value::List(list) => list.iter().filter_map(Value::as_u64).collect(),
        value => value.as_u64().into_iter().collect::<Vec<_>>(),
    };
    Some(beside.into_iter().map(|hybrid| hybrid >> 18).collect())
}

/// A place in a channel, which [`crate::topics`] gives a meaning.
fn place(pair: &DynamicMessage, data: &[u8]) -> Option<String> {
    if pair.descriptor().full_name() != "milvus.proto.common.KeyDataPair" {
        return None;
    }
    let channel = pair.get_field_by_name("key")?.as_str()?.to_owned();
    let offset = i64::from_le_bytes(data.try_into().ok()?);
    Some(format!("{PLACE}{channel} {offset}"))
}

/// What a place in a channel begins with.
pub(crate) const PLACE: &str = "at ";

/// The fields of a JSON object.
pub(crate) fn json(path: &str, text: &str, to: &mut Vec<Field>) {
    match serde_json::from_str(text) {
        Ok(value) => write_json(path, &value, to),
        Err(_) => to.push((path.to_owned(), text.to_owned())),
    }
}

fn write_json(path: &str, value: &serde_json::Value, to: &mut Vec<Field>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                write_json(&join(path, name), value, to);
            }
        }
        serde_json::Value::String(text) => to.push((path.to_owned(), text.clone())),
        other => to.push((path.to_owned(), other.to_string())),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
