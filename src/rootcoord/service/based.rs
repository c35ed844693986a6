//! Requests with a base, and of which kind they must be.

use milvus_proto::{
    common::{MsgBase, MsgType},
    milvus::{
        AlterAliasRequest, AlterCollectionRequest, CreateAliasRequest, CreateCollectionRequest,
        CreateDatabaseRequest, CreatePartitionRequest, DescribeAliasRequest, DescribeCollectionRequest,
        DropAliasRequest, DropCollectionRequest, DropDatabaseRequest, DropPartitionRequest,
        HasCollectionRequest, HasPartitionRequest, ListAliasesRequest, RenameCollectionRequest,
        ShowCollectionsRequest, ShowPartitionsRequest,
    },
};

use crate::rootcoord::error::DdlError;

/// A request that says where it comes from.
pub(super) trait Based {
    /// What its message type must be; `None`: nobody looks, as in Milvus.
    const TYPE: Option<MsgType>;

    /// Where it comes from.
    fn base(&self) -> Option<&MsgBase>;
}

macro_rules! based {
    ($($request:ident $kind:expr;)*) => {
        $(
            impl Based for $request {
                const TYPE: Option<MsgType> = $kind;

                fn base(&self) -> Option<&MsgBase> {
                    self.base.as_ref()
                }
            }
        )*
    };
}

based! {
    CreateDatabaseRequest None;
    DropDatabaseRequest None;
    CreateCollectionRequest Some(MsgType::CreateCollection);
    DropCollectionRequest Some(MsgType::DropCollection);
    AlterCollectionRequest None;
    RenameCollectionRequest Some(MsgType::RenameCollection);
    HasCollectionRequest Some(MsgType::HasCollection);
    DescribeCollectionRequest Some(MsgType::DescribeCollection);
    ShowCollectionsRequest Some(MsgType::ShowCollections);
    CreatePartitionRequest Some(MsgType::CreatePartition);
    DropPartitionRequest Some(MsgType::DropPartition);
    HasPartitionRequest Some(MsgType::HasPartition);
    ShowPartitionsRequest Some(MsgType::ShowPartitions);
    CreateAliasRequest Some(MsgType::CreateAlias);
    AlterAliasRequest Some(MsgType::AlterAlias);
    DropAliasRequest Some(MsgType::DropAlias);
    DescribeAliasRequest None;
    ListAliasesRequest None;
}

/// A request without a base is of no kind.
pub(super) fn check_type<Q: Based>(request: &Q) -> Result<(), DdlError> {
    let Some(expected) = Q::TYPE else { return Ok(()) };
    let number = request.base().map_or(0, |base| base.msg_type);
    if number == i32::from(expected) {
        return Ok(());
    }
    Err(DdlError::WrongType { expected: expected.as_str_name(), actual: type_name(number) })
}

/// A message type as Milvus writes it.
pub(super) fn type_name(number: i32) -> String {
    MsgType::try_from(number).map_or_else(|_| number.to_string(), |known| known.as_str_name().to_owned())
}
