//! What a follower must know of the messages it carries: where a request says who
//! sends it, and where an answer says how it went.

use milvus_proto::{
    common::{MsgBase, Status},
    data::{self, data_coord_client::DataCoordClient},
    index, internal, milvus,
    proxy::{self, proxy_client::ProxyClient},
    query::{self, query_coord_client::QueryCoordClient},
    rootcoord::{self, root_coord_client::RootCoordClient},
};
use tonic::codec::CompressionEncoding;

use super::{ClientSettings, caller::Caller};

/// A request.
pub trait Call: Clone + Send + Sync {
    /// Where it says who sends it, if it has such a place and that is filled.
    fn base(&mut self) -> Option<&mut MsgBase>;
}

/// An answer.
pub trait Reply: Send {
    /// How it went; absent is well.
    fn status(&self) -> Option<&Status>;
}

impl Reply for Status {
    fn status(&self) -> Option<&Status> {
        Some(self)
    }
}

macro_rules! calls_with_base {
    ($($module:ident::{$($name:ident),* $(,)?})*) => {
        $($(impl Call for $module::$name {
            fn base(&mut self) -> Option<&mut MsgBase> {
                self.base.as_mut()
            }
        })*)*
    };
}

macro_rules! calls_without_base {
    ($($module:ident::{$($name:ident),* $(,)?})*) => {
        $($(impl Call for $module::$name {
            fn base(&mut self) -> Option<&mut MsgBase> {
                None
            }
        })*)*
    };
}

macro_rules! replies {
    ($($module:ident::{$($name:ident),* $(,)?})*) => {
        $($(impl Reply for $module::$name {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        })*)*
    };
}

calls_with_base! {
    data::{
        DropVirtualChannelRequest, FlushRequest, GcControlRequest, GetCollectionStatisticsRequest,
        GetFlushedSegmentsRequest, GetInsertBinlogPathsRequest, GetPartitionStatisticsRequest,
        GetRecoveryInfoRequest, GetRecoveryInfoRequestV2, GetSegmentInfoRequest,
        GetSegmentStatesRequest, GetSegmentsByStatesRequest, ImportTaskRequest,
        MarkSegmentsDroppedRequest, ReportDataNodeTtMsgsRequest, SaveBinlogPathsRequest,
        SaveImportSegmentRequest, SetSegmentStateRequest, UnsetIsImportingStateRequest,
        UpdateChannelCheckpointRequest, UpdateSegmentStatisticsRequest,
    }
    internal::{ChannelTimeTickMsg, ListPolicyRequest, ShowConfigurationsRequest}
    milvus::{
        AlterAliasRequest, AlterCollectionRequest, CreateAliasRequest, CreateCollectionRequest,
        CreateDatabaseRequest, CreatePartitionRequest, CreateResourceGroupRequest, CreateRoleRequest,
        DeleteCredentialRequest, DescribeAliasRequest, DescribeCollectionRequest, DropAliasRequest,
        DropCollectionRequest, DropDatabaseRequest, DropPartitionRequest, DropResourceGroupRequest,
        DropRoleRequest, GetFlushAllStateRequest, GetMetricsRequest, GetReplicasRequest,
        HasCollectionRequest, HasPartitionRequest, ListAliasesRequest, ListCredUsersRequest,
        ListDatabasesRequest, ListResourceGroupsRequest, OperatePrivilegeRequest,
        OperateUserRoleRequest, RenameCollectionRequest, SelectGrantRequest, SelectRoleRequest,
        SelectUserRequest, ShowCollectionsRequest, ShowPartitionsRequest, ShowSegmentsRequest,
        TransferNodeRequest,
    }
    proxy::{
        InvalidateCollMetaCacheRequest, InvalidateCredCacheRequest, ListClientInfosRequest,
        RefreshPolicyInfoCacheRequest, SetRatesRequest, UpdateCredCacheRequest,
    }
    query::{
        DescribeResourceGroupRequest, GetPartitionStatesRequest, GetSegmentInfoRequest,
        GetShardLeadersRequest, LoadBalanceRequest, LoadCollectionRequest, LoadPartitionsRequest,
        ReleaseCollectionRequest, ReleasePartitionsRequest, ShowCollectionsRequest,
        ShowPartitionsRequest, SyncNewCreatedPartitionRequest, TransferReplicaRequest,
    }
    rootcoord::{AllocIdRequest, AllocTimestampRequest, GetCredentialRequest}
}

calls_without_base! {
    data::{
        AlterCollectionRequest, AssignSegmentIdRequest, GcConfirmRequest, GetFlushStateRequest,
        GetSegmentInfoChannelRequest, WatchChannelsRequest,
    }
    index::{
        CreateIndexRequest, DescribeIndexRequest, DropIndexRequest, GetIndexBuildProgressRequest,
        GetIndexInfoRequest, GetIndexStateRequest, GetIndexStatisticsRequest,
        GetSegmentIndexStateRequest,
    }
    internal::{
        CredentialInfo, GetDdChannelRequest, GetStatisticsChannelRequest, GetTimeTickChannelRequest,
    }
    milvus::{
        CheckHealthRequest, GetCompactionPlansRequest, GetCompactionStateRequest,
        GetComponentStatesRequest, GetImportStateRequest, ImportRequest, ListImportTasksRequest,
        ManualCompactionRequest,
    }
    rootcoord::{ImportResult}
}

replies! {
    data::{
        AssignSegmentIdResponse, DropVirtualChannelResponse, FlushResponse, GcConfirmResponse,
        GetCollectionStatisticsResponse, GetFlushedSegmentsResponse, GetInsertBinlogPathsResponse,
        GetPartitionStatisticsResponse, GetRecoveryInfoResponse, GetRecoveryInfoResponseV2,
        GetSegmentInfoResponse, GetSegmentStatesResponse, GetSegmentsByStatesResponse,
        ImportTaskResponse, SetSegmentStateResponse, WatchChannelsResponse,
    }
    index::{
        DescribeIndexResponse, GetIndexBuildProgressResponse, GetIndexInfoResponse,
        GetIndexStateResponse, GetIndexStatisticsResponse, GetSegmentIndexStateResponse,
    }
    internal::{ListPolicyResponse, ShowConfigurationsResponse}
    milvus::{
        BoolResponse, CheckHealthResponse, ComponentStates, DescribeAliasResponse,
        DescribeCollectionResponse, GetCompactionPlansResponse, GetCompactionStateResponse,
        GetFlushAllStateResponse, GetFlushStateResponse, GetImportStateResponse, GetMetricsResponse,
        GetReplicasResponse, ImportResponse, ListAliasesResponse, ListCredUsersResponse,
        ListDatabasesResponse, ListImportTasksResponse, ListResourceGroupsResponse,
        ManualCompactionResponse, SelectGrantResponse, SelectRoleResponse, SelectUserResponse,
        ShowCollectionsResponse, ShowPartitionsResponse, ShowSegmentsResponse, StringResponse,
    }
    proxy::{ListClientInfosResponse}
    query::{
        DescribeResourceGroupResponse, GetPartitionStatesResponse, GetSegmentInfoResponse,
        GetShardLeadersResponse, ShowCollectionsResponse, ShowPartitionsResponse,
    }
    rootcoord::{AllocIdResponse, AllocTimestampResponse, GetCredentialResponse}
}

/// A generated client.
pub trait Stub: Send {
    /// Calls through `caller`.
    fn over(caller: Caller, settings: &ClientSettings) -> Self;
}

macro_rules! stubs {
    ($($name:ident)*) => {
        $(impl Stub for $name<Caller> {
            fn over(caller: Caller, settings: &ClientSettings) -> Self {
                let stub = Self::new(caller)
                    .max_encoding_message_size(settings.sizes.send)
                    .max_decoding_message_size(settings.sizes.receive)
                    .accept_compressed(CompressionEncoding::Zstd)
                    .accept_compressed(CompressionEncoding::Gzip);
                if settings.compress { stub.send_compressed(CompressionEncoding::Zstd) } else { stub }
            }
        })*
    };
}

stubs! { RootCoordClient DataCoordClient QueryCoordClient ProxyClient }
