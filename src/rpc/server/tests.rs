use std::time::Duration;

use milvus_proto::{
    milvus::GetComponentStatesRequest,
    peer::{StatusRequest, peer_client::PeerClient},
    rootcoord::{AllocTimestampRequest, root_coord_client::RootCoordClient},
};
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpStream};
use tonic::{Code, body::Body, codec::CompressionEncoding};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::*;
use crate::{
    election::standing::Standing,
    ids::Epoch,
    rpc::testing::{Node, PATIENCE, Wishes, connect, create, list, patient, to, until},
};

const ACTIVE: Standing = Standing::Active { epoch: Epoch(100) };

#[tokio::test]
async fn a_call_is_answered() {
    let node = Node::start(7, ACTIVE).await;
    let mut client = node.client().await;
    for id in [Some(7), None] {
        let answer = client
            .alloc_timestamp(to(id, AllocTimestampRequest { count: 5, ..Default::default() }))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.count, 5);
        assert_eq!(answer.status, None);
    }
}

#[tokio::test]
async fn what_is_not_offered_is_unimplemented() {
    let node = Node::start(7, ACTIVE).await;
    let mut client = PeerClient::new(node.link().await);
    let error = client.status(StatusRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    assert_eq!(error.message(), "unknown service milvuscoord.peer.Peer");
    let mut client = node.client().await;
    let error = client.drop_database(to(Some(7), Default::default())).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);

    for path in ["/", "/x", "//", "/milvus.proto.rootcoord.RootCoord/Nothing"] {
        let mut request = http::Request::new(Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        let response = node.link().await.send(request).await.unwrap();
        let status = tonic::Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
}

#[tokio::test]
async fn compressed_requests_are_understood() {
    let node = Node::start(7, ACTIVE).await;
    for encoding in [CompressionEncoding::Zstd, CompressionEncoding::Gzip] {
        let mut client = node.client().await.send_compressed(encoding);
        let name = "long ".repeat(10_000);
        client.create_database(to(Some(7), create(&name))).await.unwrap();
        assert_eq!(node.toy.created.lock().pop().unwrap(), name);
    }
    // Answers come as they are, also to those who could read compressed ones.
    let mut client = node.client().await.accept_compressed(CompressionEncoding::Zstd);
    let answer = client.list_databases(to(None, list(100_000))).await.unwrap();
    assert!(!answer.metadata().contains_key("grpc-encoding"));
}

#[tokio::test]
async fn messages_may_be_large_but_not_too_large() {
    let sizes = Sizes { receive: 9 << 20, send: 10 << 20 };
    let node = Node::start_with(7, ACTIVE, Wishes { sizes, ..Wishes::default() }).await;
    let mut client = node.client().await;
    let eight = "x".repeat(8 << 20);
    client.create_database(to(Some(7), create(&eight))).await.unwrap();
    assert_eq!(node.toy.created.lock().pop().unwrap().len(), 8 << 20);
    let answer = client.list_databases(to(Some(7), list(9 << 20))).await.unwrap();
    assert_eq!(answer.into_inner().db_names[0].len(), 9 << 20);

    let ten = "x".repeat(10 << 20);
    let error = client.create_database(to(Some(7), create(&ten))).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange);
    // Small on the wire, too large when unpacked.
    let mut packed = node.client().await.send_compressed(CompressionEncoding::Zstd);
    let error = packed.create_database(to(Some(7), create(&ten))).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(client.list_databases(to(Some(7), list(11 << 20))).await.is_err());
    assert!(node.toy.created.lock().is_empty());
    client.create_database(to(Some(7), create("still there"))).await.unwrap();
}

#[tokio::test]
async fn a_panic_costs_one_call() {
    let node = Node::start(7, ACTIVE).await;
    let mut client = node.client().await;
    let error = client.create_database(to(Some(7), create("panic"))).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert_eq!(error.message(), "panic in /milvus.proto.rootcoord.RootCoord/CreateDatabase: as asked");
    assert_eq!(*node.hooks.panicked.lock(), ["/milvus.proto.rootcoord.RootCoord/CreateDatabase"]);
    assert_eq!(node.gatehouse.in_flight(), 0);
    client.create_database(to(Some(7), create("fine"))).await.unwrap();
}

#[tokio::test]
async fn garbage_on_a_connection_harms_nobody_else() {
    let node = Node::start(7, ACTIVE).await;
    for garbage in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_bytes(),
        &[0xff; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxxx",
    ] {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        // The other side may be done with us before we are with it.
        let _ = stream.write_all(garbage).await;
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "the connection is ended");
    }
    let mut client = node.client().await;
    client.create_database(to(Some(7), create("fine"))).await.unwrap();
}

#[tokio::test]
async fn headers_may_be_large() {
    let node = Node::start(7, ACTIVE).await;
    let mut request = to(Some(7), create("with headers"));
    request.metadata_mut().insert("traceparent", "x".repeat(100 << 10).parse().unwrap());
    node.client().await.create_database(request).await.unwrap();
}

#[tokio::test]
async fn streams_are_not_limited() {
    let node = Node::start_with(7, Standing::Activating { epoch: Epoch(100) }, patient()).await;
    let client = node.client().await;
    let calls = (0..500).map(|i| {
        let mut client = client.clone();
        async move { client.create_database(to(Some(7), create(&i.to_string()))).await.unwrap() }
    });
    // On one connection, all at once.
    tokio::join!(futures::future::join_all(calls), async {
        until(|| node.gatehouse.waiting() == 500).await;
        node.standing.send_replace(ACTIVE);
    });
    assert_eq!(node.toy.created.lock().len(), 500);
}

#[tokio::test]
async fn a_full_server_leaves_new_connections_waiting_instead_of_ending_them() {
    let server = ServerSettings { most_connections: 2, ..ServerSettings::default() };
    let node = Node::start_with(7, ACTIVE, Wishes { server, ..Wishes::default() }).await;
    let (first, _second) = (node.link().await, node.link().await);
    let mut third = TcpStream::connect(node.address()).await.unwrap();
    let mut byte = [0];
    let answered = tokio::time::timeout(Duration::from_millis(200), third.read(&mut byte)).await;
    assert!(answered.is_err(), "neither served nor closed");
    drop(third);
    let fourth = connect(node.address());
    drop(first);
    assert!(fourth.await.is_open());
}

#[tokio::test]
async fn stopping_lets_running_calls_end() {
    let node = Node::start(7, ACTIVE).await;
    let mut client = node.client().await;
    let (toy, address) = (node.toy.clone(), node.address());
    let (answer, stopped) = tokio::join!(client.create_database(to(Some(7), create("slow"))), async {
        node.toy.begun.notified().await;
        let stop = node.server.stop(PATIENCE);
        let finish = async {
            // The listener is gone while the call still runs.
            while TcpStream::connect(address).await.is_ok() {}
            toy.finish.notify_one();
        };
        tokio::join!(stop, finish).0
    });
    answer.unwrap();
    assert!(stopped);
    assert_eq!(*toy.created.lock(), ["slow"]);
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let node = Node::start(7, ACTIVE).await;
    let mut client = node.client().await;
    let (answer, stopped) = tokio::join!(client.create_database(to(Some(7), create("slow"))), async {
        node.toy.begun.notified().await;
        node.server.stop(Duration::from_millis(50)).await
    });
    assert!(answer.is_err());
    assert!(!stopped);
    assert_eq!(node.gatehouse.in_flight(), 0, "the handler is gone");
}

#[tokio::test]
async fn a_stream_of_cancelled_calls_does_not_cost_the_connection() {
    let node = Node::start(7, Standing::Activating { epoch: Epoch(100) }).await;
    let link = node.link().await;
    for round in 0..20 {
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let mut client = RootCoordClient::new(link.clone());
                async move { client.create_database(to(Some(7), create("given up"))).await }
            })
            .collect();
        let all = futures::future::join_all(calls);
        assert!(tokio::time::timeout(Duration::from_millis(1), all).await.is_err(), "{round}");
    }
    assert!(link.is_open());
    node.standing.send_replace(ACTIVE);
    RootCoordClient::new(link).create_database(to(Some(7), create("fine"))).await.unwrap();
    // In no order: one that was held may go on before it is known that its caller has given up.
    assert!(node.toy.created.lock().iter().any(|name| name == "fine"));
}

#[tokio::test]
async fn health_follows_the_standing() {
    let role = "milvus.proto.rootcoord.RootCoord";
    let node = Node::start(7, Standing::Starting).await;
    let mut client = HealthClient::new(node.link().await);
    let request = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let mut watch = client.watch(request(role)).await.unwrap().into_inner();
    let mut next = async || {
        let status = tokio::time::timeout(PATIENCE, watch.message()).await.unwrap().unwrap().unwrap();
        status.status()
    };
    assert_eq!(next().await, ServingStatus::NotServing);
    node.standing.send_replace(ACTIVE);
    assert_eq!(next().await, ServingStatus::Serving);
    node.standing.send_replace(Standing::Suspended { epoch: Epoch(100) });
    assert_eq!(next().await, ServingStatus::NotServing);
    assert_eq!(client.check(request("")).await.unwrap().into_inner().status(), ServingStatus::Serving);
    let unknown = client.check(request("milvus.proto.query.QueryCoord")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    let mut process = client.watch(request("")).await.unwrap().into_inner();
    assert_eq!(process.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    node.standing.send_replace(Standing::Leaving { active: None });
    let left = tokio::time::timeout(PATIENCE, process.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(left.status(), ServingStatus::NotServing);
}

#[tokio::test]
async fn reflection_names_what_is_offered() {
    let node = Node::start(7, Standing::Starting).await;
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "milvus.proto.rootcoord.RootCoord",
    ];
    macro_rules! ask {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let mut client = ServerReflectionClient::new(node.link().await);
            let ask =
                |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
            let requests = [
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol(
                    "milvus.proto.rootcoord.RootCoord.AllocTimestamp".to_owned(),
                )),
            ];
            let mut answers =
                client.server_reflection_info(futures::stream::iter(requests)).await.unwrap().into_inner();
            let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
            let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
            let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names, expected);
            let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
            assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");
        }};
    }
    ask!(v1);
    ask!(v1alpha);
}

#[tokio::test]
async fn the_own_state_is_told_at_once_in_every_standing() {
    let node = Node::start(7, Standing::Starting).await;
    let mut client = node.client().await;
    for standing in [
        Standing::Starting,
        Standing::Standby { active: None },
        Standing::Activating { epoch: Epoch(1) },
        Standing::Suspended { epoch: Epoch(1) },
        Standing::HandingOver { epoch: Epoch(1) },
        Standing::Leaving { active: None },
    ] {
        node.standing.send_replace(standing);
        for id in [None, Some(7)] {
            let answer = client.get_component_states(to(id, GetComponentStatesRequest {})).await.unwrap();
            assert_eq!(answer.into_inner().state.unwrap().node_id, 7);
        }
    }
    assert!(node.hooks.waited.lock().is_empty());
}
