use std::sync::Arc;

use milvus_proto::{
    internal::GetTimeTickChannelRequest,
    milvus::{CheckHealthRequest, GetMetricsRequest},
};
use parking_lot::Mutex;
use tonic::Code;

use super::*;
use crate::{
    config::testing,
    election::standing::{Peer, Standing},
    ids::Epoch,
    rootcoord::testing::{Bed, Instance},
    telemetry::metrics::LiveFigures,
};

#[derive(Debug)]
struct Situation(Mutex<(Standing, Option<i64>)>);

impl HealthSource for Situation {
    fn health(&self) -> Health {
        let (standing, id) = &*self.0.lock();
        let own = id.map(|id| Peer { server_id: ServerId(id), address: "10.0.0.9:53100".to_owned() });
        Health::of(Role::RootCoord, own.as_ref(), standing)
    }

    fn live(&self) -> LiveFigures {
        LiveFigures::default()
    }
}

#[derive(Debug, Default)]
struct Listed(Vec<(ServerId, Result<ComponentStates, String>)>);

impl Proxies for Listed {
    fn component_states(&self) -> BoxFuture<'_, Vec<(ServerId, Result<ComponentStates, String>)>> {
        Box::pin(async { self.0.clone() })
    }
}

struct Service {
    bed: Bed,
    instance: Instance,
    situation: Arc<Situation>,
    service: RootCoordService,
}

impl Service {
    /// One that stands there, with id 9 and without a term.
    fn at(standing: Standing) -> Self {
        Self::with(standing, Arc::new(NoProxies))
    }

    fn with(standing: Standing, proxies: Arc<dyn Proxies>) -> Self {
        let bed = Bed::new();
        let instance = bed.instance();
        let situation = Arc::new(Situation(Mutex::new((standing, Some(9)))));
        let parts = Parts {
            core: instance.core.clone(),
            clock: bed.clock.clone(),
            config: Arc::new(testing::store("etcd:\n  rootPath: by-dev\n", &[])),
            channels: ChannelNames {
                cluster: "by-dev".to_owned(),
                root_coord_time_tick: "by-dev-rootcoord-timetick".to_owned(),
                root_coord_statistics: "by-dev-rootcoord-statistics".to_owned(),
            },
            deployment: Deployment::default(),
            proxies,
        };
        let service = RootCoordService::new(parts, situation.clone());
        Self { bed, instance, situation, service }
    }

    /// One that serves.
    async fn active() -> Self {
        let mut service = Self::at(Standing::Active { epoch: Epoch(5) });
        service.instance.take_over(&service.bed.store).await;
        service
    }
}

/// As the gatehouse hands it over when nobody serves here.
fn held<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(NotReady);
    request
}

fn standings() -> [(Standing, &'static str); 8] {
    let epoch = Epoch(5);
    let to = Peer { server_id: ServerId(7), address: "10.0.0.7:53100".to_owned() };
    [
        (Standing::Starting, "Abnormal"),
        (Standing::Standby { active: None }, "StandBy"),
        (Standing::Activating { epoch }, "Initializing"),
        (Standing::Active { epoch }, "Healthy"),
        (Standing::Suspended { epoch }, "Abnormal"),
        (Standing::HandingOver { epoch }, "Abnormal"),
        (Standing::Forwarding { to, epoch }, "Abnormal"),
        (Standing::Leaving { active: None }, "Abnormal"),
    ]
}

#[track_caller]
fn check_status(status: Option<Answer>, code: i32, text: &str, retriable: bool) {
    let status = status.expect("every answer has one");
    assert_eq!((status.code, status.reason.as_str(), status.retriable), (code, text, retriable));
    assert_eq!(status.detail, text);
}

#[tokio::test(start_paused = true)]
async fn an_instance_tells_its_state_in_every_standing() {
    for (standing, state) in standings() {
        let service = Service::at(standing);
        let states = Wire::get_component_states(&service.service, Request::new(GetComponentStatesRequest {}));
        let states = states.await.expect("always answered").into_inner();
        let own = states.state.expect("its own");
        assert_eq!(own.state_code().as_str_name(), state);
        assert_eq!((own.node_id, own.role.as_str()), (9, "rootcoord"));
        assert_eq!(states.subcomponent_states, [own]);
        assert_eq!(states.status, Some(success()));
    }
    let service = Service::at(Standing::Starting);
    service.situation.0.lock().1 = None;
    let states = service.service.get_component_states(Request::new(GetComponentStatesRequest {})).await;
    assert_eq!(states.expect("answered").into_inner().state.expect("its own").node_id, -1);
}

#[tokio::test(start_paused = true)]
async fn names_of_channels_are_told_in_every_standing() {
    for (standing, _) in standings() {
        let service = Service::at(standing).service;
        let tick = service.get_time_tick_channel(Request::new(GetTimeTickChannelRequest {})).await;
        assert_eq!(tick.expect("answered").into_inner().value, "by-dev-rootcoord-timetick");
        let statistics = service.get_statistics_channel(Request::new(GetStatisticsChannelRequest {})).await;
        assert_eq!(statistics.expect("answered").into_inner().value, "by-dev-rootcoord-statistics");
        let segments = service.show_segments(Request::new(ShowSegmentsRequest::default())).await;
        assert_eq!(segments.expect("answered").into_inner().status, Some(success()));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_ready_says_so_in_the_shape_of_the_method() {
    let service = Service::at(Standing::Standby { active: None }).service;
    let text = "service not ready[rootcoord=9]: StandBy";
    let ts = service.alloc_timestamp(held(AllocTimestampRequest { base: None, count: 1 })).await;
    let ts = ts.expect("a status").into_inner();
    assert_eq!((ts.timestamp, ts.count), (0, 0));
    check_status(ts.status, 1, text, true);
    let ids = service.alloc_id(held(AllocIdRequest { base: None, count: 7 })).await;
    let ids = ids.expect("a status").into_inner();
    assert_eq!((ids.id, ids.count), (0, 0));
    check_status(ids.status, 1, text, true);
    let created = service.create_database(held(CreateDatabaseRequest::default())).await;
    check_status(Some(created.expect("a status").into_inner()), 1, text, true);
    let dropped = service.drop_database(held(DropDatabaseRequest::default())).await;
    check_status(Some(dropped.expect("a status").into_inner()), 1, text, true);
    let listed = service.list_databases(held(ListDatabasesRequest::default())).await;
    check_status(listed.expect("a status").into_inner().status, 1, text, true);
    let shown = service.show_configurations(held(ShowConfigurationsRequest::default())).await;
    check_status(shown.expect("a status").into_inner().status, 1, text, true);
    let health = service.check_health(held(CheckHealthRequest {})).await.expect("a status").into_inner();
    assert!(!health.is_healthy);
    assert_eq!(health.reasons, [format!("serverID=9: {text}")]);
    check_status(health.status, 1, text, true);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_no_term_is_sent_away_with_both_ids() {
    let service = Service::at(Standing::Standby { active: None }).service;
    let mut request = Request::new(AllocTimestampRequest { base: None, count: 1 });
    request.metadata_mut().insert("serverid", "8".parse().expect("a value"));
    let status = service.alloc_timestamp(request).await.expect_err("gRPC error");
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(status.message(), "node not match[expectedNodeID=8][actualNodeID=9]");
    for status in [
        service.alloc_id(Request::new(AllocIdRequest { base: None, count: 1 })).await.map(|_| ()),
        service.create_database(Request::new(CreateDatabaseRequest::default())).await.map(|_| ()),
        service.list_databases(Request::new(ListDatabasesRequest::default())).await.map(|_| ()),
        service.check_health(Request::new(CheckHealthRequest {})).await.map(|_| ()),
        service.show_configurations(Request::new(ShowConfigurationsRequest::default())).await.map(|_| ()),
    ] {
        assert!(status.expect_err("gRPC error").message().starts_with("node not match"));
    }
}

#[tokio::test(start_paused = true)]
async fn timestamps_and_ids_come_as_ranges() {
    let service = Service::active().await;
    let ts = service.service.alloc_timestamp(Request::new(AllocTimestampRequest { base: None, count: 10 }));
    let ts = ts.await.expect("served").into_inner();
    assert_eq!((ts.status, ts.count), (Some(success()), 10));
    let next = service.service.alloc_timestamp(Request::new(AllocTimestampRequest { base: None, count: 1 }));
    assert!(next.await.expect("served").into_inner().timestamp >= ts.timestamp + 10);
    let ids = service.service.alloc_id(Request::new(AllocIdRequest { base: None, count: 200_000 })).await;
    let ids = ids.expect("served").into_inner();
    let more = service.service.alloc_id(Request::new(AllocIdRequest { base: None, count: 1 })).await;
    assert_eq!(more.expect("served").into_inner().id, ids.id + 200_000);

    for (count, text) in [(0, "tso count should be positive"), (1 << 18, "can not get timestamp")] {
        let refused =
            service.service.alloc_timestamp(Request::new(AllocTimestampRequest { base: None, count }));
        check_status(refused.await.expect("a status").into_inner().status, 65535, text, false);
    }
}

#[tokio::test(start_paused = true)]
async fn databases_are_created_listed_and_dropped() {
    let service = Service::active().await;
    let create = |name: &str, base| CreateDatabaseRequest { base, db_name: name.to_owned() };
    let base = MsgBase { msg_id: 4, timestamp: 5, source_id: 3, ..MsgBase::default() };
    for _ in 0..2 {
        let created =
            service.service.create_database(Request::new(create("books", Some(base.clone())))).await;
        assert_eq!(created.expect("served").into_inner(), success(), "also when it is repeated");
    }
    // The Go client fills in a time of seconds where there is none, and no number.
    let unnumbered = MsgBase { timestamp: 5, source_id: 3, ..MsgBase::default() };
    for base in [None, Some(unnumbered)] {
        let again = service.service.create_database(Request::new(create("books", base))).await;
        let again = again.expect("a status").into_inner();
        check_status(Some(again), 65535, "database already exist: books", false);
    }
    let listed = service.service.list_databases(Request::new(ListDatabasesRequest::default())).await;
    let listed = listed.expect("served").into_inner();
    assert_eq!(listed.db_names, ["default", "books"]);
    assert_eq!(listed.created_timestamp.len(), 2);
    assert!(listed.created_timestamp[1] >= listed.created_timestamp[0]);
    let drop = |name: &str| DropDatabaseRequest { base: None, db_name: name.to_owned() };
    let dropped = service.service.drop_database(Request::new(drop("books"))).await;
    assert_eq!(dropped.expect("served").into_inner(), success());
    let refused = service.service.drop_database(Request::new(drop("default"))).await;
    let refused = refused.expect("a status").into_inner();
    check_status(Some(refused), 65535, "can not drop default database", false);
}

#[tokio::test(start_paused = true)]
async fn health_names_each_proxy_that_is_not() {
    let states = |code: StateCode| ComponentStates {
        state: Some(ComponentInfo { state_code: code.into(), ..ComponentInfo::default() }),
        ..ComponentStates::default()
    };
    let proxies = Listed(vec![
        (ServerId(1), Ok(states(StateCode::Healthy))),
        (ServerId(2), Ok(states(StateCode::Abnormal))),
        (ServerId(3), Err("connection refused".to_owned())),
    ]);
    let mut service = Service::with(Standing::Active { epoch: Epoch(5) }, Arc::new(proxies));
    service.instance.take_over(&service.bed.store).await;
    let health = service.service.check_health(Request::new(CheckHealthRequest {})).await;
    let health = health.expect("served").into_inner();
    assert_eq!((health.status, health.is_healthy), (Some(success()), false));
    let expected = ["service not ready[Proxy=2]: Abnormal", "Proxy=3 not healthy: connection refused"];
    assert_eq!(health.reasons, expected);

    let alone = Service::active().await.service.check_health(Request::new(CheckHealthRequest {})).await;
    assert!(alone.expect("served").into_inner().is_healthy);
}

#[tokio::test(start_paused = true)]
async fn configuration_is_shown_by_part_of_the_key() {
    let service = Service::active().await;
    let asked = ShowConfigurationsRequest { base: None, pattern: "ETCD.rootpath".to_owned() };
    let shown = service.service.show_configurations(Request::new(asked)).await.expect("served").into_inner();
    assert_eq!(
        shown.configuations,
        [KeyValuePair { key: "etcd.rootpath".to_owned(), value: "by-dev".to_owned() }]
    );
}

#[tokio::test(start_paused = true)]
async fn metrics_are_told_by_active_and_standby() {
    for (standing, state) in standings() {
        let service = Service::at(standing).service;
        let request = |metric: &str| {
            Request::new(GetMetricsRequest {
                base: None,
                request: format!(r#"{{"metric_type":"{metric}"}}"#),
            })
        };
        let told = service.get_metrics(request("system_info")).await.expect("a status").into_inner();
        if matches!(state, "Healthy" | "StandBy") {
            assert_eq!((told.status, told.component_name.as_str()), (Some(success()), "rootcoord9"));
            let told: serde_json::Value = serde_json::from_str(&told.response).expect("JSON");
            assert_eq!(told["self"]["hardware_infos"]["ip"], "10.0.0.9:53100");
            let other = service.get_metrics(request("disk")).await.expect("a status").into_inner();
            check_status(other.status, 1200, "metric not found[metric=disk]", false);
        } else {
            check_status(told.status, 1, &format!("service not ready[rootcoord=9]: {state}"), true);
            assert_eq!((told.response.as_str(), told.component_name.as_str()), ("", ""));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_served_yet_is_unimplemented_by_name() {
    let service = Service::active().await.service;
    let status = Wire::list_import_tasks(&service, Request::new(ListImportTasksRequest::default()));
    let status = status.await.expect_err("not yet");
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "milvus-coord does not serve RootCoord/ListImportTasks yet");
}
