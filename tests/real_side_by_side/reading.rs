//! All that a rootcoord can be asked about what is stored, asked.

use milvus_proto::{
    common::{MsgBase, MsgType},
    internal::ListPolicyRequest,
    milvus::{
        DescribeAliasRequest, DescribeCollectionRequest, ListAliasesRequest, ListAliasesResponse,
        ListDatabasesRequest, ListDatabasesResponse, ShowCollectionsRequest, ShowCollectionsResponse,
        ShowPartitionsRequest,
    },
    rootcoord::GetCredentialRequest,
};
use prost::Message;

use crate::{
    side::Member,
    transcript::{Section, Transcript},
};

struct Reader<'a> {
    member: &'a Member,
    sections: Vec<Section>,
}

impl Reader<'_> {
    async fn read(&mut self, label: String, method: &str, request: impl Message) {
        let fields = self.member.answer(method, &[], request.encode_to_vec().into()).await;
        self.sections.push(Section::new(label, fields));
    }
}

fn base(kind: MsgType) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind.into(), ..MsgBase::default() })
}

/// What `member` answers about everything by name, and by id about these collections.
pub(crate) async fn everything(member: &Member, ids: &[i64]) -> Transcript {
    let mut reader = Reader { member, sections: Vec::new() };
    let databases = ListDatabasesRequest { base: None };
    reader.read("databases".to_owned(), "ListDatabases", databases.clone()).await;
    let databases: ListDatabasesResponse = member.decoded("ListDatabases", databases).await;
    for db in databases.db_names {
        of_database(&mut reader, &db).await;
    }
    for &id in ids {
        let describe = DescribeCollectionRequest {
            base: base(MsgType::DescribeCollection),
            collection_id: id,
            ..DescribeCollectionRequest::default()
        };
        reader.read(format!("collection {id}"), "DescribeCollection", describe.clone()).await;
        reader.read(format!("collection {id}, internally"), "DescribeCollectionInternal", describe).await;
        let partitions = ShowPartitionsRequest {
            base: base(MsgType::ShowPartitions),
            collection_id: id,
            ..ShowPartitionsRequest::default()
        };
        reader.read(format!("partitions of {id}, internally"), "ShowPartitionsInternal", partitions).await;
    }
    let root = GetCredentialRequest { base: None, username: "root".to_owned() };
    reader.read("the user root".to_owned(), "GetCredential", root).await;
    reader.read("the policy".to_owned(), "ListPolicy", ListPolicyRequest::default()).await;
    Transcript { sections: reader.sections }
}

async fn of_database(reader: &mut Reader<'_>, db: &str) {
    let show = ShowCollectionsRequest {
        base: base(MsgType::ShowCollections),
        db_name: db.to_owned(),
        ..ShowCollectionsRequest::default()
    };
    reader.read(format!("collections of {db}"), "ShowCollections", show.clone()).await;
    let list = |collection: &str| ListAliasesRequest {
        base: base(MsgType::ListAliases),
        db_name: db.to_owned(),
        collection_name: collection.to_owned(),
    };
    reader.read(format!("aliases of {db}"), "ListAliases", list("")).await;
    let aliases: ListAliasesResponse = reader.member.decoded("ListAliases", list("")).await;
    for alias in aliases.aliases {
        let describe = DescribeAliasRequest {
            base: base(MsgType::DescribeAlias),
            db_name: db.to_owned(),
            alias: alias.clone(),
        };
        reader.read(format!("alias {db}.{alias}"), "DescribeAlias", describe).await;
    }
    let shown: ShowCollectionsResponse = reader.member.decoded("ShowCollections", show).await;
    for name in shown.collection_names {
        let describe = DescribeCollectionRequest {
            base: base(MsgType::DescribeCollection),
            db_name: db.to_owned(),
            collection_name: name.clone(),
            ..DescribeCollectionRequest::default()
        };
        reader.read(format!("collection {db}.{name}"), "DescribeCollection", describe).await;
        let partitions = ShowPartitionsRequest {
            base: base(MsgType::ShowPartitions),
            db_name: db.to_owned(),
            collection_name: name.clone(),
            ..ShowPartitionsRequest::default()
        };
        reader.read(format!("partitions of {db}.{name}"), "ShowPartitions", partitions).await;
        reader.read(format!("aliases of {db}.{name}"), "ListAliases", list(&name)).await;
    }
}
