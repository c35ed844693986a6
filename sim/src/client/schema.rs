//! Calls about the schema. Each attempt is a call of its own in the history: what is repeated may
//! be carried out twice.

use milvus_proto::{
    common::{KeyValuePair, MsgBase, MsgType, Status as Answer},
    milvus::{
        AlterAliasRequest, AlterCollectionRequest, CreateAliasRequest, CreateCollectionRequest,
        CreatePartitionRequest, DescribeCollectionRequest, DropAliasRequest, DropCollectionRequest,
        DropPartitionRequest, HasCollectionRequest, RenameCollectionRequest, ShowCollectionsRequest,
        ShowPartitionsRequest,
    },
    schema::{CollectionSchema, DataType, FieldSchema},
};
use prost::Message as _;
use rand::Rng;

use super::{Client, Missed};
use crate::{
    history::{Call, Outcome},
    others::{PROXIES_REFUSE, REFUSED, REFUSED_AFTERWARDS},
    schema::{ALIASES, COLLECTIONS, Deed, Described, Look, Name, PARTITIONS, Seen, known},
};

/// How often one request is repeated at most.
const ATTEMPTS: u32 = 3;
/// How likely it is that one without a clear answer is.
const REPEATED: f64 = 0.6;
/// The property.
const MARK: &str = "mark";
/// The partition that each collection has.
const DEFAULT: &str = "_default";
/// Milvus's code of "collection not found".
const NOT_FOUND: i32 = 100;

impl Client {
    fn one(&mut self, names: &[Name]) -> Name {
        names[self.rng.random_range(0..names.len())]
    }

    /// A name or an alias.
    fn any(&mut self) -> Name {
        if self.rng.random_bool(0.2) { self.one(&ALIASES) } else { self.one(&COLLECTIONS) }
    }

    pub(super) fn idea_of_schema(&mut self) -> Call {
        match self.rng.random_range(0..100) {
            0..18 => Call::Do(Deed::Create {
                name: self.one(&COLLECTIONS),
                kind: u8::from(self.rng.random_bool(0.3)),
            }),
            18..28 => Call::Do(Deed::Drop(self.one(&COLLECTIONS))),
            28..38 => {
                let (old, new) = (self.one(&COLLECTIONS), self.one(&COLLECTIONS));
                Call::Do(Deed::Rename { request: self.request(), old, new })
            }
            38..42 => Call::Do(Deed::Mark(self.any(), self.rng.random_range(0..3))),
            42..50 => Call::Do(Deed::AddPartition(self.any(), self.one(&PARTITIONS))),
            50..56 => Call::Do(Deed::DropPartition(self.any(), self.one(&PARTITIONS))),
            56..63 => Call::Do(Deed::AddAlias(self.one(&ALIASES), self.one(&COLLECTIONS))),
            63..67 => Call::Do(Deed::MoveAlias(self.one(&ALIASES), self.one(&COLLECTIONS))),
            67..72 => Call::Do(Deed::DropAlias(self.one(&ALIASES))),
            72..80 => Call::Look(Look::Names),
            80..84 => Call::Look(Look::Has(self.any())),
            84..94 => Call::Look(Look::Collection(self.any())),
            _ => Call::Look(Look::Partitions(self.any())),
        }
    }

    /// A number that no other request has.
    fn request(&mut self) -> i64 {
        let client = i64::try_from(self.settings.id).unwrap_or_default();
        client * 1_000_000 + self.base().msg_id
    }

    pub(super) async fn deed(&mut self, deed: Deed) {
        let mut base = self.base();
        if let Deed::Rename { request, .. } = deed {
            base.msg_id = request;
        }
        for _ in 0..ATTEMPTS {
            let begun = self.settings.history.begin(self.settings.id, Call::Do(deed.clone()), self.now());
            let outcome = match self.send(&deed, &base).await {
                Ok(answer) => judge(&answer),
                Err(missed) if missed.may_have_run() => Outcome::Unknown,
                Err(_) => Outcome::NotRun,
            };
            let clear = matches!(outcome, Outcome::Done | Outcome::Refused);
            begun.end(outcome, self.now());
            if clear {
                return;
            }
            self.pause().await;
            if !self.rng.random_bool(REPEATED) {
                return;
            }
        }
    }

    async fn send(&mut self, deed: &Deed, base: &MsgBase) -> Result<Answer, Missed> {
        macro_rules! send {
            ($method:ident, $kind:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
                let base = Some(MsgBase { msg_type: MsgType::$kind.into(), ..base.clone() });
                let request = $request { base, $($field: $value,)* ..$request::default() };
                self.attempt(request, |mut client, request| async move { client.$method(request).await })
                    .await
            }};
        }
        match *deed {
            Deed::Create { name, kind } => {
                send!(
                    create_collection,
                    CreateCollection,
                    CreateCollectionRequest {
                        collection_name: name.to_owned(),
                        schema: schema(name, kind).encode_to_vec(),
                        shards_num: 1,
                    }
                )
            }
            Deed::Drop(name) => {
                send!(
                    drop_collection,
                    DropCollection,
                    DropCollectionRequest { collection_name: name.to_owned() }
                )
            }
            Deed::Rename { old, new, .. } => {
                send!(
                    rename_collection,
                    RenameCollection,
                    RenameCollectionRequest { old_name: old.to_owned(), new_name: new.to_owned() }
                )
            }
            Deed::Mark(name, mark) => {
                send!(
                    alter_collection,
                    AlterCollection,
                    AlterCollectionRequest {
                        collection_name: name.to_owned(),
                        properties: vec![KeyValuePair { key: MARK.to_owned(), value: mark.to_string() }],
                    }
                )
            }
            Deed::AddPartition(of, name) => {
                send!(
                    create_partition,
                    CreatePartition,
                    CreatePartitionRequest {
                        collection_name: of.to_owned(),
                        partition_name: name.to_owned(),
                    }
                )
            }
            Deed::DropPartition(of, name) => {
                send!(
                    drop_partition,
                    DropPartition,
                    DropPartitionRequest { collection_name: of.to_owned(), partition_name: name.to_owned() }
                )
            }
            Deed::AddAlias(alias, of) => {
                send!(
                    create_alias,
                    CreateAlias,
                    CreateAliasRequest { alias: alias.to_owned(), collection_name: of.to_owned() }
                )
            }
            Deed::MoveAlias(alias, of) => {
                send!(
                    alter_alias,
                    AlterAlias,
                    AlterAliasRequest { alias: alias.to_owned(), collection_name: of.to_owned() }
                )
            }
            Deed::DropAlias(alias) => {
                send!(drop_alias, DropAlias, DropAliasRequest { alias: alias.to_owned() })
            }
        }
    }

    pub(super) async fn look(&mut self, look: Look) {
        let begun = self.settings.history.begin(self.settings.id, Call::Look(look.clone()), self.now());
        let outcome = match self.ask(&look).await {
            Ok(Some(seen)) => Outcome::Seen(seen),
            _ => Outcome::NotRun,
        };
        self.ended(begun, outcome).await;
    }

    /// Nothing, if there was an answer that says nothing.
    async fn ask(&mut self, look: &Look) -> Result<Option<Seen>, Missed> {
        let base = self.base();
        macro_rules! ask {
            ($method:ident, $kind:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
                let base = Some(MsgBase { msg_type: MsgType::$kind.into(), ..base });
                let request = $request { base, $($field: $value,)* ..$request::default() };
                self.attempt(request, |mut client, request| async move { client.$method(request).await })
                    .await?
            }};
        }
        Ok(match *look {
            Look::Names => {
                let shown = ask!(show_collections, ShowCollections, ShowCollectionsRequest {});
                told(shown.status.as_ref()).then(|| Seen::Names(sorted(&shown.collection_names)))
            }
            Look::Has(name) => {
                let has = ask!(
                    has_collection,
                    HasCollection,
                    HasCollectionRequest { collection_name: name.to_owned() }
                );
                told(has.status.as_ref()).then_some(Seen::Has(has.value))
            }
            Look::Collection(name) => {
                let described = ask!(
                    describe_collection,
                    DescribeCollection,
                    DescribeCollectionRequest { collection_name: name.to_owned() }
                );
                if is_missing(described.status.as_ref()) {
                    return Ok(Some(Seen::Missing));
                }
                let schema = described.schema.unwrap_or_default();
                let mark = described.properties.iter().find(|pair| pair.key == MARK);
                told(described.status.as_ref()).then(|| {
                    Seen::Collection(Described {
                        id: described.collection_id,
                        name: known(&described.collection_name),
                        kind: schema.description.parse().unwrap_or(u8::MAX),
                        mark: mark.map(|pair| pair.value.parse().unwrap_or(u8::MAX)),
                        aliases: sorted(&described.aliases),
                        partitions: usize::try_from(described.num_partitions).unwrap_or_default(),
                    })
                })
            }
            Look::Partitions(name) => {
                let shown = ask!(
                    show_partitions,
                    ShowPartitions,
                    ShowPartitionsRequest { collection_name: name.to_owned() }
                );
                if is_missing(shown.status.as_ref()) {
                    return Ok(Some(Seen::Missing));
                }
                let mut names = shown.partition_names;
                names.retain(|name| name != DEFAULT);
                told(shown.status.as_ref()).then(|| Seen::Partitions(sorted(&names)))
            }
        })
    }
}

fn schema(name: Name, kind: u8) -> CollectionSchema {
    let field = FieldSchema {
        name: "id".to_owned(),
        is_primary_key: true,
        data_type: DataType::Int64.into(),
        ..FieldSchema::default()
    };
    CollectionSchema {
        name: name.to_owned(),
        description: kind.to_string(),
        fields: vec![field],
        ..CollectionSchema::default()
    }
}

/// What an answer says of a change.
fn judge(answer: &Answer) -> Outcome {
    let says = |text: &str| answer.reason.contains(text);
    if answer.code == 0 {
        Outcome::Done
    } else if answer.retriable || says(PROXIES_REFUSE) || says(REFUSED_AFTERWARDS) {
        Outcome::Unknown
    } else if says(REFUSED) || says("does not answer") {
        // Undone, and never seen by anybody.
        Outcome::NotRun
    } else {
        Outcome::Refused
    }
}

fn told(status: Option<&Answer>) -> bool {
    status.is_none_or(|status| status.code == 0)
}

fn is_missing(status: Option<&Answer>) -> bool {
    status.is_some_and(|status| status.code == NOT_FOUND)
}

fn sorted(names: &[String]) -> Vec<Name> {
    let mut names: Vec<Name> = names.iter().map(|name| known(name)).collect();
    names.sort_unstable();
    names
}
