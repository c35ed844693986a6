//! Between the wire and the core: takes requests apart, puts answers together.
//!
//! Every method is in the table below. Those that are not served yet answer gRPC
//! Unimplemented, which Milvus's clients neither repeat nor take for an outage.

use std::{fmt, sync::Arc};

use milvus_proto::{
    common::{KeyValuePair, MsgBase, StateCode, Status as Answer},
    internal::{
        ChannelTimeTickMsg, CredentialInfo, GetStatisticsChannelRequest, GetTimeTickChannelRequest,
        ListPolicyRequest, ListPolicyResponse, ShowConfigurationsRequest, ShowConfigurationsResponse,
    },
    milvus::{
        AlterAliasRequest, AlterCollectionRequest, BoolResponse, CheckHealthRequest, CheckHealthResponse,
        ComponentInfo, ComponentStates, CreateAliasRequest, CreateCollectionRequest, CreateDatabaseRequest,
        CreatePartitionRequest, CreateRoleRequest, DeleteCredentialRequest, DescribeAliasRequest,
        DescribeAliasResponse, DescribeCollectionRequest, DescribeCollectionResponse, DropAliasRequest,
        DropCollectionRequest, DropDatabaseRequest, DropPartitionRequest, DropRoleRequest,
        GetComponentStatesRequest, GetImportStateRequest, GetImportStateResponse, GetMetricsRequest,
        GetMetricsResponse, HasCollectionRequest, HasPartitionRequest, ImportRequest, ImportResponse,
        ListAliasesRequest, ListAliasesResponse, ListCredUsersRequest, ListCredUsersResponse,
        ListDatabasesRequest, ListDatabasesResponse, ListImportTasksRequest, ListImportTasksResponse,
        OperatePrivilegeRequest, OperateUserRoleRequest, RenameCollectionRequest, SelectGrantRequest,
        SelectGrantResponse, SelectRoleRequest, SelectRoleResponse, SelectUserRequest, SelectUserResponse,
        ShowCollectionsRequest, ShowCollectionsResponse, ShowPartitionsRequest, ShowPartitionsResponse,
        ShowSegmentsRequest, ShowSegmentsResponse, StringResponse,
    },
    proxy::InvalidateCollMetaCacheRequest,
    rootcoord::{
        AllocIdRequest, AllocIdResponse, AllocTimestampRequest, AllocTimestampResponse, GetCredentialRequest,
        GetCredentialResponse, ImportResult, root_coord_server::RootCoord as Wire,
    },
};
use tonic::{Request, Response, Status};

use self::based::{Based, check_type};
use crate::{
    clock::{Clock, UnixNanos},
    config::{ChannelNames, ConfigStore, Live},
    ids::{Role, ServerId},
    net::BoxFuture,
    rootcoord::{
        catalog::Catalog,
        core::{Caller, RootCoord},
        ddl,
        error::DdlError,
        events::Method,
        failure::{Failure, Reply},
        keys::{Repeatable, RequestId},
        metrics_info::{self, Answerer, Deployment, SystemInfo},
    },
    rpc::{
        gatehouse::NotReady,
        headers,
        merr::{MilvusError, success},
    },
    telemetry::http::{Health, HealthSource},
};

/// The id of an instance that has none yet, as GetComponentStates tells it.
const NOT_REGISTERED: i64 = -1;

/// The proxies of the cluster, as far as CheckHealth asks for them.
pub trait Proxies: Send + Sync + fmt::Debug {
    /// What each answers to GetComponentStates, or why it doesn't; all asked at once.
    fn component_states(&self) -> BoxFuture<'_, Vec<(ServerId, Result<ComponentStates, String>)>>;
}

/// A cluster without proxies.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProxies;

impl Proxies for NoProxies {
    fn component_states(&self) -> BoxFuture<'_, Vec<(ServerId, Result<ComponentStates, String>)>> {
        Box::pin(async { Vec::new() })
    }
}

/// What the service is made of.
#[derive(Debug)]
pub struct Parts {
    /// The role.
    pub core: Arc<RootCoord>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// All settings.
    pub config: Arc<ConfigStore>,
    /// The names that nobody asks for any more.
    pub channels: ChannelNames,
    /// What GetMetrics says about the build.
    pub deployment: Deployment,
    /// Asked by CheckHealth.
    pub proxies: Arc<dyn Proxies>,
}

/// The gRPC service.
pub struct RootCoordService {
    parts: Parts,
    live: Live,
    situation: Arc<dyn HealthSource>,
    system_info: SystemInfo,
    created: UnixNanos,
}

impl fmt::Debug for RootCoordService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootCoordService").field("core", &self.parts.core).finish_non_exhaustive()
    }
}

type Outcome<T> = Result<Response<T>, Status>;

/// What an answer to a failed call needs to know of the request.
struct Asked {
    /// The instance that the client takes this one for.
    expected: i64,
    /// The gatehouse wants it answered as not ready.
    not_ready: bool,
}

impl Asked {
    fn of<T>(request: &Request<T>) -> Self {
        let expected = request.metadata().get(headers::SERVER_ID.as_str()).and_then(|id| id.to_str().ok());
        Self {
            expected: expected.and_then(|id| id.parse().ok()).unwrap_or_default(),
            not_ready: NotReady::asked(request),
        }
    }
}

impl RootCoordService {
    /// Serves from `parts`. `situation` tells where the instance stands.
    pub fn new(parts: Parts, situation: Arc<dyn HealthSource>) -> Self {
        Self {
            live: Live::new(Arc::clone(&parts.config)),
            system_info: SystemInfo::new(parts.deployment.clone()),
            created: parts.clock.wall(),
            parts,
            situation,
        }
    }

    fn health(&self) -> Health {
        self.situation.health()
    }

    fn caller(&self, base: Option<&MsgBase>) -> Caller {
        Caller { arrived: self.parts.clock.boot(), message: base.map_or(0, |base| base.msg_id) }
    }

    /// `service not ready[rootcoord=9]: StandBy`
    fn not_ready(&self) -> MilvusError {
        let health = self.health();
        // Only just no longer, or not for now.
        let code = if health.code == StateCode::Healthy { StateCode::Abnormal } else { health.code };
        MilvusError::not_ready(Role::RootCoord.name(), id(&health, 0), code.as_str_name())
    }

    fn refuse<T>(
        &self,
        asked: &Asked,
        failure: &Failure,
        answer: impl FnOnce(MilvusError) -> T,
    ) -> Outcome<T> {
        match failure.reply() {
            Reply::Status(error) => Ok(Response::new(answer(error))),
            Reply::NotReady => Ok(Response::new(answer(self.not_ready()))),
            Reply::PushAway => {
                Err(MilvusError::node_not_match(asked.expected, id(&self.health(), 0)).to_grpc())
            }
        }
    }

    async fn get_component_states(&self, _: Request<GetComponentStatesRequest>) -> Outcome<ComponentStates> {
        let health = self.health();
        let state = ComponentInfo {
            node_id: id(&health, NOT_REGISTERED),
            role: Role::RootCoord.name().to_owned(),
            state_code: health.code.into(),
            extra_info: Vec::new(),
        };
        Ok(Response::new(ComponentStates {
            subcomponent_states: vec![state.clone()],
            state: Some(state),
            status: Some(success()),
        }))
    }

    async fn get_time_tick_channel(&self, _: Request<GetTimeTickChannelRequest>) -> Outcome<StringResponse> {
        let value = self.parts.channels.root_coord_time_tick.clone();
        Ok(Response::new(StringResponse { status: Some(success()), value }))
    }

    async fn get_statistics_channel(
        &self,
        _: Request<GetStatisticsChannelRequest>,
    ) -> Outcome<StringResponse> {
        let value = self.parts.channels.root_coord_statistics.clone();
        Ok(Response::new(StringResponse { status: Some(success()), value }))
    }

    async fn show_segments(&self, _: Request<ShowSegmentsRequest>) -> Outcome<ShowSegmentsResponse> {
        Ok(Response::new(ShowSegmentsResponse { status: Some(success()), segment_i_ds: Vec::new() }))
    }

    async fn alloc_timestamp(
        &self,
        request: Request<AllocTimestampRequest>,
    ) -> Outcome<AllocTimestampResponse> {
        let (asked, arrived) = (Asked::of(&request), self.parts.clock.boot());
        let failed = |error: MilvusError| AllocTimestampResponse {
            status: Some(error.into()),
            ..AllocTimestampResponse::default()
        };
        if asked.not_ready {
            return Ok(Response::new(failed(self.not_ready())));
        }
        let AllocTimestampRequest { base, count } = request.into_inner();
        let source = ServerId(base.map_or(0, |base| base.source_id));
        if let Err(failure) = self.parts.core.introduce(source).await {
            return self.refuse(&asked, &failure, failed);
        }
        match self.parts.core.alloc_timestamps(arrived, count).await {
            Ok(first) => Ok(Response::new(AllocTimestampResponse {
                status: Some(success()),
                timestamp: first.0,
                count,
            })),
            Err(failure) => self.refuse(&asked, &failure, failed),
        }
    }

    /// A failure carries neither ids nor a count: clients that look at nothing else
    /// then have no range to use.
    async fn alloc_id(&self, request: Request<AllocIdRequest>) -> Outcome<AllocIdResponse> {
        let (asked, arrived) = (Asked::of(&request), self.parts.clock.boot());
        let failed =
            |error: MilvusError| AllocIdResponse { status: Some(error.into()), ..AllocIdResponse::default() };
        if asked.not_ready {
            return Ok(Response::new(failed(self.not_ready())));
        }
        let count = request.get_ref().count;
        match self.parts.core.alloc_ids(arrived, count).await {
            Ok(first) => Ok(Response::new(AllocIdResponse { status: Some(success()), id: first, count })),
            Err(failure) => self.refuse(&asked, &failure, failed),
        }
    }

    /// What `result` comes to on the wire.
    fn answer<T>(
        &self,
        asked: &Asked,
        result: Result<T, Failure>,
        failed: impl FnOnce(MilvusError) -> T,
    ) -> Outcome<T> {
        match result {
            Ok(answer) => Ok(Response::new(answer)),
            Err(failure) => self.refuse(asked, &failure, failed),
        }
    }

    /// A change of the schema.
    async fn ddl<Q: Based>(
        &self,
        request: Request<Q>,
        wanted: impl FnOnce(Q) -> ddl::Request,
    ) -> Outcome<Answer> {
        let asked = Asked::of(&request);
        if asked.not_ready {
            return Ok(Response::new(self.not_ready().into()));
        }
        let request = request.into_inner();
        let caller = self.caller(request.base());
        let changed = match check_type(&request) {
            Ok(()) => self.parts.core.change(caller, wanted(request)).await,
            Err(wrong) => Err(wrong.into()),
        };
        self.answer(&asked, changed.map(|()| success()), Answer::from)
    }

    /// A question about the schema.
    async fn ask<Q: Based, T>(
        &self,
        request: Request<Q>,
        method: Method,
        failed: impl FnOnce(MilvusError) -> T,
        look: impl FnOnce(&Catalog, &Q) -> Result<T, DdlError>,
    ) -> Outcome<T> {
        let asked = Asked::of(&request);
        if asked.not_ready {
            return Ok(Response::new(failed(self.not_ready())));
        }
        let request = request.into_inner();
        let caller = self.caller(request.base());
        let found = match check_type(&request) {
            Ok(()) => self.parts.core.read(caller, method, |catalog| look(catalog, &request)).await,
            Err(wrong) => Err(wrong.into()),
        };
        self.answer(&asked, found, failed)
    }

    async fn check_health(&self, request: Request<CheckHealthRequest>) -> Outcome<CheckHealthResponse> {
        let (asked, arrived) = (Asked::of(&request), self.parts.clock.boot());
        let failed = |error: MilvusError| CheckHealthResponse {
            reasons: vec![format!("serverID={}: {error}", id(&self.health(), 0))],
            status: Some(error.into()),
            ..CheckHealthResponse::default()
        };
        if asked.not_ready {
            return Ok(Response::new(failed(self.not_ready())));
        }
        let states = self.parts.proxies.component_states().await;
        if let Err(failure) = self.parts.core.admit(arrived).await {
            return self.refuse(&asked, &failure, failed);
        }
        let reasons: Vec<_> = states.into_iter().filter_map(|(id, answer)| unhealthy(id, answer)).collect();
        Ok(Response::new(CheckHealthResponse {
            status: Some(success()),
            is_healthy: reasons.is_empty(),
            reasons,
            quota_states: Vec::new(),
        }))
    }

    async fn show_configurations(
        &self,
        request: Request<ShowConfigurationsRequest>,
    ) -> Outcome<ShowConfigurationsResponse> {
        let (asked, arrived) = (Asked::of(&request), self.parts.clock.boot());
        let failed = |error: MilvusError| ShowConfigurationsResponse {
            status: Some(error.into()),
            ..ShowConfigurationsResponse::default()
        };
        if asked.not_ready {
            return Ok(Response::new(failed(self.not_ready())));
        }
        let shown = self.parts.config.show(&request.get_ref().pattern, Role::RootCoord);
        if let Err(failure) = self.parts.core.admit(arrived).await {
            return self.refuse(&asked, &failure, failed);
        }
        Ok(Response::new(ShowConfigurationsResponse {
            status: Some(success()),
            configuations: shown.into_iter().map(|(key, value)| KeyValuePair { key, value }).collect(),
        }))
    }

    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Outcome<GetMetricsResponse> {
        let health = self.health();
        let failed = |error: MilvusError| GetMetricsResponse {
            status: Some(error.into()),
            ..GetMetricsResponse::default()
        };
        if !matches!(health.code, StateCode::Healthy | StateCode::StandBy) {
            return Ok(Response::new(failed(self.not_ready())));
        }
        if let Err(error) = metrics_info::check_request(&request.get_ref().request) {
            return Ok(Response::new(failed(error)));
        }
        let answerer = Answerer {
            id: id(&health, 0),
            address: health.address.unwrap_or_default(),
            created: self.created,
            min_segment_size_to_enable_index: self.live.min_segment_size_to_enable_index(),
        };
        Ok(Response::new(GetMetricsResponse {
            status: Some(success()),
            response: self.system_info.answer(&answerer, self.parts.clock.boot()),
            component_name: answerer.component_name(),
        }))
    }
}

fn id(health: &Health, unknown: i64) -> i64 {
    health.server_id.map_or(unknown, |id| id.0)
}

/// By what a repetition of the request is known. A proxy numbers its tasks; without
/// a number two different requests could look the same.
fn request_id(what: Repeatable, base: Option<&MsgBase>) -> Option<RequestId> {
    let base = base.filter(|base| base.msg_id != 0 && base.timestamp != 0)?;
    Some(RequestId { what, source: base.source_id, message: base.msg_id, timestamp: base.timestamp })
}

fn unhealthy(id: ServerId, answer: Result<ComponentStates, String>) -> Option<String> {
    let error = match answer {
        Err(text) => MilvusError::plain(text).wrap(format!("Proxy={id} not healthy")),
        Ok(states) => match crate::rpc::merr::check(states.status.as_ref()) {
            Err(error) => error.wrap(format!("Proxy={id} not healthy")),
            Ok(()) => {
                let code = states.state.as_ref().map_or(StateCode::Initializing, ComponentInfo::state_code);
                if code == StateCode::Healthy {
                    return None;
                }
                MilvusError::not_ready("Proxy", id, code.as_str_name())
            }
        },
    };
    Some(error.to_string())
}

/// `create_collection`: "… RootCoord/CreateCollection …".
fn not_yet(method: &str) -> Status {
    let name: String = method
        .split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect();
    Status::unimplemented(format!("milvus-coord does not serve RootCoord/{name} yet"))
}

macro_rules! methods {
    (
        served { $($served:ident($served_request:ty) -> $served_answer:ty;)* }
        not_yet { $($missing:ident($missing_request:ty) -> $missing_answer:ty;)* }
    ) => {
        #[tonic::async_trait]
        impl Wire for RootCoordService {
            $(
                async fn $served(&self, request: Request<$served_request>) -> Outcome<$served_answer> {
                    // The inherent method of that name.
                    Self::$served(self, request).await
                }
            )*
            $(
                async fn $missing(&self, _: Request<$missing_request>) -> Outcome<$missing_answer> {
                    Err(not_yet(stringify!($missing)))
                }
            )*
        }
    };
}

methods! {
    served {
        get_component_states(GetComponentStatesRequest) -> ComponentStates;
        get_time_tick_channel(GetTimeTickChannelRequest) -> StringResponse;
        get_statistics_channel(GetStatisticsChannelRequest) -> StringResponse;
        show_segments(ShowSegmentsRequest) -> ShowSegmentsResponse;
        alloc_timestamp(AllocTimestampRequest) -> AllocTimestampResponse;
        alloc_id(AllocIdRequest) -> AllocIdResponse;
        create_database(CreateDatabaseRequest) -> Answer;
        drop_database(DropDatabaseRequest) -> Answer;
        list_databases(ListDatabasesRequest) -> ListDatabasesResponse;
        check_health(CheckHealthRequest) -> CheckHealthResponse;
        show_configurations(ShowConfigurationsRequest) -> ShowConfigurationsResponse;
        get_metrics(GetMetricsRequest) -> GetMetricsResponse;
        create_collection(CreateCollectionRequest) -> Answer;
        drop_collection(DropCollectionRequest) -> Answer;
        has_collection(HasCollectionRequest) -> BoolResponse;
        describe_collection(DescribeCollectionRequest) -> DescribeCollectionResponse;
        describe_collection_internal(DescribeCollectionRequest) -> DescribeCollectionResponse;
        create_alias(CreateAliasRequest) -> Answer;
        drop_alias(DropAliasRequest) -> Answer;
        alter_alias(AlterAliasRequest) -> Answer;
        describe_alias(DescribeAliasRequest) -> DescribeAliasResponse;
        list_aliases(ListAliasesRequest) -> ListAliasesResponse;
        show_collections(ShowCollectionsRequest) -> ShowCollectionsResponse;
        alter_collection(AlterCollectionRequest) -> Answer;
        create_partition(CreatePartitionRequest) -> Answer;
        drop_partition(DropPartitionRequest) -> Answer;
        has_partition(HasPartitionRequest) -> BoolResponse;
        show_partitions(ShowPartitionsRequest) -> ShowPartitionsResponse;
        show_partitions_internal(ShowPartitionsRequest) -> ShowPartitionsResponse;
        update_channel_time_tick(ChannelTimeTickMsg) -> Answer;
        invalidate_collection_meta_cache(InvalidateCollMetaCacheRequest) -> Answer;
        get_credential(GetCredentialRequest) -> GetCredentialResponse;
        list_policy(ListPolicyRequest) -> ListPolicyResponse;
        rename_collection(RenameCollectionRequest) -> Answer;
    }
    not_yet {
        import(ImportRequest) -> ImportResponse;
        get_import_state(GetImportStateRequest) -> GetImportStateResponse;
        list_import_tasks(ListImportTasksRequest) -> ListImportTasksResponse;
        report_import(ImportResult) -> Answer;
        create_credential(CredentialInfo) -> Answer;
        update_credential(CredentialInfo) -> Answer;
        delete_credential(DeleteCredentialRequest) -> Answer;
        list_cred_users(ListCredUsersRequest) -> ListCredUsersResponse;
        create_role(CreateRoleRequest) -> Answer;
        drop_role(DropRoleRequest) -> Answer;
        operate_user_role(OperateUserRoleRequest) -> Answer;
        select_role(SelectRoleRequest) -> SelectRoleResponse;
        select_user(SelectUserRequest) -> SelectUserResponse;
        operate_privilege(OperatePrivilegeRequest) -> Answer;
        select_grant(SelectGrantRequest) -> SelectGrantResponse;
    }
}

mod access;
mod aliases;
mod based;
mod collections;
mod databases;
mod partitions;
mod ticks;

#[cfg(test)]
mod tests;
