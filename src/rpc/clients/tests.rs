use std::collections::BTreeMap;

use bytes::Bytes;
use milvus_proto::{
    common::{StateCode, Status as Outcome},
    milvus::{
        ComponentInfo, ComponentStates, CreateDatabaseRequest, DropDatabaseRequest, GetComponentStatesRequest,
    },
    proxy::proxy_server::{Proxy, ProxyServer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Response, Status};

use super::*;
use crate::{
    clock::SystemClock,
    election::standing::{Peer, Standing},
    ids::{Epoch, Role, ServerId},
    net::Tcp,
    rpc::{
        gatehouse::{Gatehouse, GatehouseSettings, NoHooks},
        merr::{Kind, MilvusError},
        server::{Server, ServerSettings, Services},
        testing::{CLUSTER_NAME, Node, PATIENCE, Wishes, create, link_settings},
    },
};

const ACTIVE: Standing = Standing::Active { epoch: Epoch(100) };
const MS: Duration = Duration::from_millis(1);

fn context() -> ClientContext {
    let identity = Arc::new(Identity::new(CLUSTER_NAME));
    identity.set_server_id(ServerId(77));
    ClientContext {
        identity,
        dial: Arc::new(Tcp { connect_timeout: PATIENCE }),
        clock: Arc::new(SystemClock),
        links: LinkOwner::default(),
        settings: ClientSettings { link: link_settings(), grace: Duration::ZERO, ..Default::default() },
    }
}

fn following(peer: Option<Peer>) -> (RootCoordClient, watch::Sender<Option<Peer>>) {
    let (session, seen) = watch::channel(peer);
    (RootCoordClient::new(Target::Coordinator(Role::RootCoord, seen), context()), session)
}

async fn create_database(
    client: &RootCoordClient,
    within: Duration,
    request: CreateDatabaseRequest,
) -> Result<Outcome, ClientError> {
    client.call(within, request, async |mut stub, request| stub.create_database(request).await).await
}

/// Completes the handshake, then says nothing more.
async fn mute() -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    TaskTracker::new().spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut buf = [0; 1024];
        while stream.read(&mut buf).await.is_ok_and(|n| n > 0) {}
    });
    Peer { server_id: ServerId(666), address }
}

#[tokio::test]
async fn calls_are_addressed_and_stamped_as_milvus_members_do() {
    let node = Node::start(7, ACTIVE).await;
    let (client, _session) = following(Some(node.peer()));
    let mut request = create("x");
    request.base = Some(Default::default());
    // As a handler would: from a task.
    let other = client.clone();
    let answer = TaskTracker::new()
        .spawn(async move { create_database(&other, PATIENCE, request).await })
        .await
        .unwrap();
    assert_eq!(answer.unwrap(), Outcome::default());
    let seen = node.toy.metadata.lock().clone();
    assert_eq!(seen["cluster"], "by-dev");
    assert_eq!(seen["serverid"], "7");
    assert_eq!(seen["sourceid"], "QEBtaWx2dXMtbWVtYmVyQEA=");
    assert!(seen.contains_key("grpc-timeout"));
    assert!(!seen.contains_key("grpc-encoding"));
    let base = node.toy.base.lock().clone().unwrap();
    assert_eq!((base.source_id, base.target_id), (77, 7));
    assert!(base.timestamp > 1_600_000_000 && base.timestamp < 1 << 34, "unix seconds: {}", base.timestamp);

    // What is filled stays, what isn't there stays away.
    let mut request = create("y");
    let base = milvus_proto::common::MsgBase { timestamp: 5, source_id: 6, ..Default::default() };
    request.base = Some(base);
    create_database(&client, PATIENCE, request).await.unwrap();
    let base = node.toy.base.lock().clone().unwrap();
    assert_eq!((base.timestamp, base.source_id, base.target_id), (5, 6, 7));
    create_database(&client, PATIENCE, create("z")).await.unwrap();
    assert_eq!(*node.toy.base.lock(), None);
}

#[tokio::test]
async fn requests_can_be_compressed() {
    let node = Node::start(7, ACTIVE).await;
    let mut context = context();
    context.settings.compress = true;
    let (_session, seen) = watch::channel(Some(node.peer()));
    let client = RootCoordClient::new(Target::Coordinator(Role::RootCoord, seen), context);
    create_database(&client, PATIENCE, create(&"x".repeat(10_000))).await.unwrap();
    assert_eq!(node.toy.metadata.lock()["grpc-encoding"], "zstd");
}

#[tokio::test]
async fn the_session_is_followed() {
    let (first, second) = (Node::start(1, ACTIVE).await, Node::start(2, ACTIVE).await);
    let (client, session) = following(Some(first.peer()));
    create_database(&client, PATIENCE, create("x")).await.unwrap();
    session.send_replace(Some(second.peer()));
    create_database(&client, PATIENCE, create("y")).await.unwrap();
    assert_eq!(*first.toy.created.lock(), ["x"]);
    assert_eq!(*second.toy.created.lock(), ["y"]);
}

#[tokio::test]
async fn an_attempt_that_hangs_is_left_when_the_session_changes() {
    let node = Node::start(7, ACTIVE).await;
    let (client, session) = following(Some(mute().await));
    let (answer, ()) = tokio::join!(create_database(&client, PATIENCE, create("x")), async {
        // Well after the call has been sent; nothing would end it.
        tokio::time::sleep(MS * 50).await;
        session.send_replace(Some(node.peer()));
    });
    answer.unwrap();
    assert_eq!(*node.toy.created.lock(), ["x"]);
}

#[tokio::test]
async fn who_is_pushed_away_goes_to_where_the_session_points() {
    let (old, new) = (Node::start(1, Standing::Leaving { active: None }).await, Node::start(2, ACTIVE).await);
    let (client, session) = following(Some(old.peer()));
    let (answer, ()) = tokio::join!(create_database(&client, PATIENCE, create("x")), async {
        crate::rpc::testing::until(|| !old.hooks.pushed_away.lock().is_empty()).await;
        session.send_replace(Some(new.peer()));
    });
    answer.unwrap();
    assert_eq!(*new.toy.created.lock(), ["x"]);
}

#[tokio::test]
async fn nobody_to_call() {
    let (client, _session) = following(None);
    let error = create_database(&client, MS * 50, create("x")).await.unwrap_err();
    assert_eq!(error.to_string(), "find no available rootcoord, check rootcoord state");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (client, session) = following(Some(Peer { server_id: ServerId(1), address: address.clone() }));
    let error = create_database(&client, MS * 50, create("x")).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("failed to connect {address}, reason: ")), "{error}");

    // Too little time for a pause, but enough for a session that comes.
    let node = Node::start(7, ACTIVE).await;
    session.send_replace(None);
    let (answer, _) = tokio::join!(create_database(&client, PATIENCE, create("x")), async {
        tokio::task::yield_now().await;
        session.send_replace(Some(node.peer()));
    });
    answer.unwrap();
}

#[tokio::test]
async fn an_answer_that_asks_for_it_is_repeated_on_the_same_connection() {
    let mut wishes = Wishes::default();
    wishes.gatehouse.patience = MS * 20;
    let node = Node::start_with(7, Standing::Activating { epoch: Epoch(100) }, wishes).await;
    let (client, _session) = following(Some(node.peer()));
    let (answer, ()) = tokio::join!(create_database(&client, PATIENCE, create("x")), async {
        crate::rpc::testing::until(|| !node.hooks.waited.lock().is_empty()).await;
        node.standing.send_replace(ACTIVE);
    });
    assert_eq!(answer.unwrap(), Outcome::default());

    node.standing.send_replace(Standing::Activating { epoch: Epoch(101) });
    let answer = create_database(&client, MS * 150, create("y")).await.unwrap();
    assert!(answer.retriable, "the last answer is handed out: {answer:?}");
}

#[tokio::test]
async fn failures_that_do_not_ask_for_it_are_not_repeated() {
    let node = Node::start(7, ACTIVE).await;
    let (client, _session) = following(Some(node.peer()));
    let answer = create_database(&client, PATIENCE, create("fail")).await.unwrap();
    assert_eq!(answer.code, 800);
    let error = client
        .ask(PATIENCE, create("fail"), async |mut stub, request| stub.create_database(request).await)
        .await
        .unwrap_err();
    assert_eq!(error, MilvusError::new(Kind::DatabaseNotFound).with("database", "fail"));
    assert_eq!(node.toy.calls(), 2);

    let error = client
        .ask(PATIENCE, DropDatabaseRequest::default(), async |mut stub, request| {
            stub.drop_database(request).await
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Some(Kind::ServiceUnimplemented));
}

#[tokio::test]
async fn no_call_takes_longer_than_it_may() {
    let (client, _session) = following(Some(mute().await));
    let began = Instant::now();
    let error = create_database(&client, MS * 50, create("x")).await.unwrap_err();
    assert!(matches!(error, ClientError::Late { .. }), "{error:?}");
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(error.to_string(), "no answer from rootcoord within 50ms");
}

#[tokio::test]
async fn a_damaged_status_is_an_error_and_no_panic() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    TaskTracker::new().spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let response = http::Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "12")
                .header("grpc-message", "%FF%")
                .header("grpc-status-details-bin", "!!!");
            let mut body: h2::SendStream<Bytes> =
                respond.send_response(response.body(()).unwrap(), false).unwrap();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status-details-bin", "!!!".parse().unwrap());
            body.send_trailers(trailers).unwrap();
        }
    });
    let (client, _session) = following(Some(Peer { server_id: ServerId(1), address }));
    assert!(create_database(&client, MS * 100, create("x")).await.is_err());
}

/// A proxy that says how it is.
#[derive(Debug)]
struct ToyProxy(i64, StateCode, Outcome);

#[tonic::async_trait]
impl Proxy for ToyProxy {
    async fn get_component_states(
        &self,
        _: Request<GetComponentStatesRequest>,
    ) -> Result<Response<ComponentStates>, Status> {
        let state = ComponentInfo { node_id: self.0, state_code: self.1.into(), ..Default::default() };
        Ok(Response::new(ComponentStates {
            state: Some(state),
            status: Some(self.2.clone()),
            ..Default::default()
        }))
    }
}

async fn proxy(id: i64, state: StateCode, status: Outcome) -> (Server, Peer) {
    let (_, standing) = watch::channel(Standing::Starting);
    let gatehouse = Gatehouse::new(
        Arc::new(Identity::new(CLUSTER_NAME)),
        standing,
        GatehouseSettings::default(),
        Arc::new(Tcp { connect_timeout: PATIENCE }),
        TaskTracker::new(),
        Arc::new(NoHooks),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let services = Services::new(Sizes::default()).add(ProxyServer::new(ToyProxy(id, state, status)), false);
    let server =
        Server::start(Box::new(listener), services, Arc::new(gatehouse), ServerSettings::default()).unwrap();
    let peer = Peer { server_id: ServerId(id), address: server.address().to_string() };
    (server, peer)
}

#[tokio::test]
async fn all_proxies_are_asked_at_once_and_none_holds_up_the_others() {
    let (_one, one) = proxy(1, StateCode::Healthy, Outcome::default()).await;
    let (_two, two) = proxy(2, StateCode::Initializing, Outcome::default()).await;
    let sick = MilvusError::new(Kind::ServiceInternal).saying("sick").into();
    let (_three, three) = proxy(3, StateCode::Healthy, sick).await;
    let mutes = [mute().await, mute().await, mute().await];
    let mut all: BTreeMap<_, _> = [one, two, three].map(|peer| (peer.server_id, peer)).into();
    for (id, peer) in (4..).zip(mutes) {
        all.insert(ServerId(id), peer);
    }
    let (sessions, seen) = watch::channel(Nodes::new(all.clone()));
    let proxies = Proxies::new(seen, context());
    // Long enough for those that answer, on a busy machine too; the mute ones take all of it, together.
    let within = Duration::from_secs(2);
    let began = Instant::now();
    let states = proxies.component_states(within).await;
    assert!(began.elapsed() < within * 2, "one after the other");
    let told: Vec<_> = states
        .into_iter()
        .map(|(id, answer)| {
            (id.0, answer.map(|states| (states.state.unwrap().state_code(), states.status.unwrap().code)))
        })
        .collect();
    assert!(
        matches!(
            told[..],
            [
                (1, Ok((StateCode::Healthy, 0))),
                (2, Ok((StateCode::Initializing, 0))),
                (3, Ok((StateCode::Healthy, 5))),
                (4, Err(ClientError::Late { .. })),
                (5, Err(ClientError::Late { .. })),
                (6, Err(ClientError::Late { .. })),
            ]
        ),
        "{told:?}"
    );

    sessions.send_replace(Nodes::new(all.into_iter().take(1).collect()));
    let states = proxies.component_states(PATIENCE).await;
    assert!(matches!(states[..], [(ServerId(1), Ok(_))]), "{states:?}");
    sessions.send_replace(Nodes::default());
    assert!(proxies.component_states(PATIENCE).await.is_empty());
}

#[tokio::test]
async fn a_node_whose_session_is_gone_is_not_waited_for() {
    let peer = mute().await;
    let id = ServerId(5);
    let (sessions, seen) = watch::channel(Nodes::new([(id, peer)].into()));
    let client = ProxyClient::new(Target::Node { kind: "proxy", id, nodes: seen }, context());
    let ask = || {
        client.ask(PATIENCE, GetComponentStatesRequest {}, async |mut stub, request| {
            stub.get_component_states(request).await
        })
    };
    let (answer, ()) = tokio::join!(ask(), async {
        tokio::time::sleep(MS * 50).await;
        sessions.send_replace(Nodes::default());
    });
    for error in [answer.unwrap_err(), ask().await.unwrap_err()] {
        assert_eq!(error.to_string(), "session not found->proxy-5: node not found[node=5]");
        assert_eq!(error.kind(), Some(Kind::NodeNotFound));
    }
}

#[test]
fn errors_on_the_way_have_codes() {
    let grpc = |code, text: &str| ClientError::Grpc(Box::new(Status::new(code, text)));
    let table = [
        (grpc(Code::Unavailable, "x"), 65535, "rpc error: code = Unavailable desc = x"),
        (
            grpc(Code::Unimplemented, "x"),
            10,
            "service unimplemented: rpc error: code = Unimplemented desc = x",
        ),
        (grpc(Code::Unknown, "cross cluster routing[…]"), 2, "service unavailable"),
        (grpc(Code::DeadlineExceeded, "x"), 10001, "context deadline exceeded"),
        (
            ClientError::NoCoordinator(Role::DataCoord),
            65535,
            "find no available datacoord, check datacoord state",
        ),
        (
            ClientError::Late { whom: "proxy-5".into(), within: MS * 1500 },
            10001,
            "no answer from proxy-5 within 1.5s: context deadline exceeded",
        ),
    ];
    for (error, code, text) in table {
        let error = MilvusError::from(error);
        assert_eq!((error.code(), &*error.to_string()), (code, text));
    }
}
