use std::time::Duration;

use milvus_proto::common::Status as Answered;
use tokio::time::Instant;
use tonic::{Code, codec::CompressionEncoding};

use super::*;
use crate::{
    election::standing::Peer,
    ids::{Epoch, ServerId},
    rpc::testing::{Node, PATIENCE, Wishes, create, list, patient, to, until},
};

const TERM: Epoch = Epoch(100);
const ACTIVE: Standing = Standing::Active { epoch: TERM };
const ACTIVATING: Standing = Standing::Activating { epoch: TERM };
const FOLLOWER: Standing = Standing::Standby { active: None };

fn hasty() -> Wishes {
    let mut wishes = Wishes::default();
    wishes.gatehouse.patience = Duration::from_millis(100);
    wishes
}

#[track_caller]
fn assert_away(error: &tonic::Status, text: &str) {
    assert_eq!(error.code(), Code::Unknown);
    assert_eq!(error.message(), text);
}

#[track_caller]
fn assert_not_ready(answer: &Answered) {
    assert_eq!((answer.code, answer.retriable), (1, true), "{answer:?}");
    assert!(answer.reason.starts_with("service not ready[rootcoord="), "{answer:?}");
}

#[tokio::test]
async fn the_wrong_instance_and_the_wrong_cluster_push_away_with_milvus_texts() {
    let node = Node::start(7, ACTIVE).await;
    let mut client = node.client().await;
    let error = client.create_database(to(Some(3), create("x"))).await.unwrap_err();
    assert_away(&error, "node not match[expectedNodeID=3][actualNodeID=7]");
    let mut request = to(Some(7), create("x"));
    request.metadata_mut().insert("cluster", "other".parse().unwrap());
    let error = client.create_database(request).await.unwrap_err();
    assert_away(&error, "cross cluster routing[expectedCluster=by-dev][actualCluster=other]");
    assert_eq!(*node.hooks.pushed_away.lock(), [PushAway::NodeNotMatch, PushAway::CrossCluster]);

    let mut request = to(None, create("no number"));
    request.metadata_mut().insert("serverid", "abc".parse().unwrap());
    client.create_database(request).await.unwrap();
    let mut request = to(None, create("empty"));
    request.metadata_mut().insert("cluster", "".parse().unwrap());
    client.create_database(request).await.unwrap();
    assert_eq!(*node.toy.created.lock(), ["no number", "empty"]);
}

#[tokio::test]
async fn a_deposed_instance_pushes_away_those_who_mean_it() {
    let node = Node::start(7, FOLLOWER).await;
    let error = node.client().await.create_database(to(Some(7), create("x"))).await.unwrap_err();
    assert_away(&error, "node not match[expectedNodeID=7][actualNodeID=7]");
}

#[tokio::test]
async fn calls_wait_while_activating() {
    let node = Node::start_with(7, ACTIVATING, patient()).await;
    let mut client = node.client().await;
    let (answer, ()) = tokio::join!(client.create_database(to(Some(7), create("x"))), async {
        until(|| node.gatehouse.waiting() == 1).await;
        assert!(node.toy.created.lock().is_empty());
        node.standing.send_replace(ACTIVE);
    });
    assert_eq!(answer.unwrap().into_inner(), Answered::default());
    assert_eq!(node.gatehouse.waiting(), 0);
    assert_eq!(*node.hooks.waited.lock(), [false]);
}

#[tokio::test]
async fn calls_that_waited_are_pushed_away_when_another_one_serves() {
    let node = Node::start_with(7, Standing::Suspended { epoch: TERM }, patient()).await;
    let mut client = node.client().await;
    let (answer, ()) = tokio::join!(client.create_database(to(Some(7), create("x"))), async {
        until(|| node.gatehouse.waiting() == 1).await;
        node.standing.send_replace(FOLLOWER);
    });
    assert_away(&answer.unwrap_err(), "node not match[expectedNodeID=7][actualNodeID=7]");
}

#[tokio::test]
async fn waiting_in_vain_ends_as_the_standing_wants() {
    for standing in [ACTIVATING, Standing::Suspended { epoch: TERM }, FOLLOWER, Standing::Starting] {
        let id = (standing.own_epoch().is_some()).then_some(7);
        let node = Node::start_with(7, standing, hasty()).await;
        let answer = node.client().await.create_database(to(id, create("x"))).await.unwrap();
        assert_not_ready(&answer.into_inner());
        assert_eq!(*node.hooks.waited.lock(), [true]);
    }
    let node = Node::start_with(7, Standing::HandingOver { epoch: TERM }, hasty()).await;
    let error = node.client().await.create_database(to(Some(7), create("x"))).await.unwrap_err();
    assert_away(&error, "node not match[expectedNodeID=7][actualNodeID=7]");
}

#[tokio::test]
async fn no_call_waits_longer_than_its_caller_does() {
    let node = Node::start_with(7, ACTIVATING, patient()).await;
    let mut request = to(Some(7), create("x"));
    request.set_timeout(Duration::from_millis(50));
    let began = Instant::now();
    // Nobody in between ends this call but the gatehouse.
    let answer = node.client().await.create_database(request).await.unwrap();
    assert_not_ready(&answer.into_inner());
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn only_so_many_calls_wait() {
    let mut wishes = patient();
    wishes.gatehouse.most_waiting = 2;
    let node = Node::start_with(7, ACTIVATING, wishes).await;
    let client = node.client().await;
    let call = |name: &'static str| {
        let mut client = client.clone();
        async move { client.create_database(to(Some(7), create(name))).await.unwrap().into_inner() }
    };
    let (first, second, ()) = tokio::join!(call("1"), call("2"), async {
        until(|| node.gatehouse.waiting() == 2).await;
        assert_not_ready(&call("3").await);
        node.standing.send_replace(ACTIVE);
    });
    assert_eq!((first, second), (Answered::default(), Answered::default()));
}

#[tokio::test]
async fn a_caller_who_gives_up_frees_its_place() {
    let node = Node::start_with(7, ACTIVATING, patient()).await;
    let mut client = node.client().await;
    let call = client.create_database(to(Some(7), create("x")));
    let both = futures::future::select(Box::pin(call), Box::pin(until(|| node.gatehouse.waiting() == 1)));
    assert!(matches!(both.await, futures::future::Either::Right(_)));
    until(|| node.gatehouse.waiting() == 0).await;
}

#[tokio::test]
async fn waiting_calls_do_not_block_the_connection_with_their_bodies() {
    let node = Node::start_with(7, ACTIVATING, patient()).await;
    let client = node.client().await;
    // Together far more than one stream's window.
    let calls = (0..12).map(|_| {
        let mut client = client.clone();
        async move { client.create_database(to(Some(7), create(&"x".repeat(1 << 20)))).await.unwrap() }
    });
    tokio::join!(futures::future::join_all(calls), async {
        until(|| node.gatehouse.waiting() == 12).await;
        let states = client.clone().get_component_states(to(Some(7), Default::default())).await;
        assert_eq!(states.unwrap().into_inner().state.unwrap().node_id, 7);
        node.standing.send_replace(ACTIVE);
    });
    assert_eq!(node.toy.created.lock().len(), 12);
}

#[tokio::test]
async fn a_standby_forwards_who_does_not_say_whom_it_wants() {
    let (active, standby) = (Node::start(1, ACTIVE).await, Node::start(2, FOLLOWER).await);
    standby.follow(&active, 100);
    let mut client = standby.client().await;
    let mut request = to(None, create("x"));
    request.metadata_mut().insert("client_request_id", "r1".parse().unwrap());
    client.create_database(request).await.unwrap();
    assert_eq!(*active.toy.created.lock(), ["x"]);
    assert!(standby.toy.created.lock().is_empty());
    let seen = active.toy.metadata.lock().clone();
    assert_eq!(seen["serverid"], "1");
    assert_eq!(seen["milvus-coord-forwarded"], "100");
    assert_eq!(seen["client_request_id"], "r1");
    assert_eq!(seen["cluster"], "by-dev");
    assert_eq!(*standby.hooks.forwarded.lock(), [true]);

    // Answers come back as they are: metadata, errors with their texts, compressed requests.
    let answer = client.list_databases(to(None, list(3))).await.unwrap();
    assert_eq!(answer.metadata().get("served-by").unwrap(), "1");
    let error = client.create_database(to(None, create("status"))).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert_eq!(error.message(), "odd: ä % \n");
    assert_eq!(error.metadata().get("extra").unwrap(), "kept");
    let error = client.drop_database(to(None, Default::default())).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    let mut client = client.send_compressed(CompressionEncoding::Zstd);
    client.create_database(to(None, create(&"y".repeat(100_000)))).await.unwrap();
    assert_eq!(active.toy.created.lock().last().unwrap().len(), 100_000);

    // About itself it speaks itself.
    let states = client.get_component_states(to(None, Default::default())).await.unwrap();
    assert_eq!(states.into_inner().state.unwrap().node_id, 2);
}

#[tokio::test]
async fn large_messages_are_forwarded_in_both_directions() {
    let (active, standby) = (Node::start(1, ACTIVE).await, Node::start(2, FOLLOWER).await);
    standby.follow(&active, 100);
    let mut client = standby.client().await;
    let size = 20 << 20;
    client.create_database(to(None, create(&"x".repeat(size)))).await.unwrap();
    assert_eq!(active.toy.created.lock()[0].len(), size);
    let answer = client.list_databases(to(None, list(size))).await.unwrap();
    assert_eq!(answer.into_inner().db_names[0].len(), size);
}

#[tokio::test]
async fn a_standby_that_shall_not_forward_says_that_it_is_not_ready() {
    let mut wishes = patient();
    wishes.gatehouse.forward = false;
    let (active, standby) = (Node::start(1, ACTIVE).await, Node::start_with(2, FOLLOWER, wishes).await);
    standby.follow(&active, 100);
    let answer = standby.client().await.create_database(to(None, create("x"))).await.unwrap();
    assert_not_ready(&answer.into_inner());
}

#[tokio::test]
async fn a_standby_that_knows_nobody_waits_for_somebody() {
    let active = Node::start(1, ACTIVE).await;
    let standby = Node::start_with(2, FOLLOWER, patient()).await;
    let mut client = standby.client().await;
    let (answer, ()) = tokio::join!(client.create_database(to(None, create("x"))), async {
        until(|| standby.gatehouse.waiting() == 1).await;
        standby.follow(&active, 100);
    });
    answer.unwrap();
    assert_eq!(*active.toy.created.lock(), ["x"]);
}

#[tokio::test]
async fn who_leaves_on_purpose_forwards_those_who_mean_it_then_pushes_them_away() {
    let (old, new) = (Node::start_with(1, ACTIVE, patient()).await, Node::start(2, ACTIVE).await);
    let mut client = old.client().await;
    old.standing.send_replace(Standing::HandingOver { epoch: Epoch(90) });
    let (answer, ()) = tokio::join!(client.create_database(to(Some(1), create("x"))), async {
        until(|| old.gatehouse.waiting() == 1).await;
        old.standing.send_replace(Standing::Forwarding { to: new.peer(), epoch: TERM });
    });
    answer.unwrap();
    client.create_database(to(None, create("y"))).await.unwrap();
    assert_eq!(*new.toy.created.lock(), ["x", "y"]);
    assert_eq!(new.toy.metadata.lock()["serverid"], "2");

    // Who knows an id looks the server up again; who has an address may be told by the
    // connection's end only, and until then is served.
    old.standing.send_replace(Standing::Leaving { active: Some((new.peer(), TERM)) });
    let error = client.create_database(to(Some(1), create("z"))).await.unwrap_err();
    assert_away(&error, "node not match[expectedNodeID=1][actualNodeID=1]");
    client.create_database(to(None, create("z"))).await.unwrap();
    assert_eq!(*new.toy.created.lock(), ["x", "y", "z"]);
    old.standing.send_replace(Standing::Leaving { active: None });
    let error = client.create_database(to(None, create("z"))).await.unwrap_err();
    assert_away(&error, "node not match[expectedNodeID=0][actualNodeID=1]");
}

#[tokio::test]
async fn a_forwarded_call_is_not_forwarded_again() {
    let active = Node::start(1, ACTIVE).await;
    let (first, second) = (Node::start_with(2, FOLLOWER, hasty()).await, Node::start(3, FOLLOWER).await);
    second.follow(&active, 100);
    // Its mirror shows an older term.
    first.follow(&second, 90);
    let error = first.client().await.create_database(to(None, create("x"))).await.unwrap_err();
    assert_away(&error, "node not match[expectedNodeID=3][actualNodeID=3]");
    assert!(active.toy.created.lock().is_empty());
    assert_eq!(*second.hooks.pushed_away.lock(), [PushAway::NodeNotMatch]);
    assert!(second.hooks.forwarded.lock().is_empty());
}

#[tokio::test]
async fn who_forwarded_to_the_wrong_one_looks_again_once() {
    let (wrong, right) =
        (Node::start(1, Standing::Leaving { active: None }).await, Node::start(2, ACTIVE).await);
    let standby = Node::start_with(3, FOLLOWER, patient()).await;
    standby.follow(&wrong, 90);
    let mut client = standby.client().await;
    let (answer, ()) = tokio::join!(client.create_database(to(None, create("x"))), async {
        until(|| standby.gatehouse.waiting() == 1).await;
        standby.follow(&right, 100);
    });
    answer.unwrap();
    assert_eq!(*right.toy.created.lock(), ["x"]);
    assert_eq!(*standby.hooks.forwarded.lock(), [false, true]);

    // The second wrong one is the last one.
    let also_wrong = Node::start(4, Standing::Leaving { active: None }).await;
    standby.follow(&wrong, 101);
    let (answer, ()) = tokio::join!(client.create_database(to(None, create("y"))), async {
        until(|| standby.gatehouse.waiting() == 1).await;
        standby.follow(&also_wrong, 102);
    });
    assert_away(&answer.unwrap_err(), "node not match[expectedNodeID=4][actualNodeID=4]");
    assert_eq!(*right.toy.created.lock(), ["x"]);
    // It waited once for each of the two calls, and not after the second wrong one.
    assert_eq!(*standby.hooks.waited.lock(), [false, false]);
}

#[tokio::test]
async fn who_does_not_know_yet_that_it_won_lets_forwarded_calls_wait() {
    let winner = Node::start_with(1, FOLLOWER, patient()).await;
    let standby = Node::start(2, FOLLOWER).await;
    standby.follow(&winner, 100);
    let mut client = standby.client().await;
    let (answer, ()) = tokio::join!(client.create_database(to(None, create("x"))), async {
        until(|| winner.gatehouse.waiting() == 1).await;
        winner.standing.send_replace(ACTIVATING);
        winner.standing.send_replace(ACTIVE);
    });
    answer.unwrap();
    assert_eq!(*winner.toy.created.lock(), ["x"]);
}

#[tokio::test]
async fn an_instance_that_cannot_be_reached_is_waited_for_and_then_reported() {
    let gone = Node::start(1, ACTIVE).await;
    let gone_peer = gone.peer();
    assert!(gone.server.stop(PATIENCE).await);
    // Bound and not listening: refused, and nobody else's port meanwhile.
    let place = tokio::net::TcpSocket::new_v4().unwrap();
    place.bind(gone_peer.address.parse().unwrap()).unwrap();
    let standby = Node::start_with(2, FOLLOWER, hasty()).await;
    standby.standing.send_replace(Standing::Standby { active: Some((gone_peer.clone(), Epoch(90))) });
    let answer = standby.client().await.create_database(to(None, create("x"))).await.unwrap();
    assert_not_ready(&answer.into_inner());

    // Or until this one serves itself.
    let standby = Node::start_with(3, FOLLOWER, patient()).await;
    standby.standing.send_replace(Standing::Standby { active: Some((gone_peer.clone(), Epoch(90))) });
    let mut client = standby.client().await;
    let (answer, ()) = tokio::join!(client.create_database(to(None, create("x"))), async {
        until(|| standby.gatehouse.waiting() == 1).await;
        standby.standing.send_replace(ACTIVATING);
        standby.standing.send_replace(ACTIVE);
    });
    answer.unwrap();
    assert_eq!(*standby.toy.created.lock(), ["x"]);

    // One that is leaving has nothing to say of itself.
    let leaving = Node::start_with(4, Standing::Forwarding { to: gone_peer, epoch: TERM }, hasty()).await;
    let error = leaving.client().await.create_database(to(Some(4), create("x"))).await.unwrap_err();
    assert_away(&error, "node not match[expectedNodeID=4][actualNodeID=4]");
}

#[tokio::test]
async fn a_connection_that_is_closing_is_replaced() {
    let first = Node::start(1, ACTIVE).await;
    let standby = Node::start_with(2, FOLLOWER, patient()).await;
    standby.follow(&first, 100);
    let mut client = standby.client().await;
    client.create_database(to(None, create("x"))).await.unwrap();
    assert!(first.server.stop(PATIENCE).await);
    let second = Node::start(3, ACTIVE).await;
    let (answer, ()) = tokio::join!(client.create_database(to(None, create("y"))), async {
        until(|| standby.gatehouse.waiting() == 1).await;
        standby.follow(&second, 100);
    });
    answer.unwrap();
    assert_eq!(*first.toy.created.lock(), ["x"]);
    assert_eq!(*second.toy.created.lock(), ["y"]);
}

#[tokio::test]
async fn a_call_that_broke_on_its_way_is_not_repeated() {
    let (first, second) = (Node::start(1, ACTIVE).await, Node::start(2, ACTIVE).await);
    let standby = Node::start_with(3, FOLLOWER, patient()).await;
    standby.follow(&first, 100);
    let mut client = standby.client().await;
    let (answer, _) = tokio::join!(client.create_database(to(None, create("slow"))), async {
        first.toy.begun.notified().await;
        standby.follow(&second, 100);
        first.server.stop(Duration::ZERO).await
    });
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    assert!(second.toy.created.lock().is_empty());
    assert_eq!(*standby.hooks.forwarded.lock(), [false]);
}

#[tokio::test]
async fn a_body_too_large_to_keep_is_not_repeated() {
    let (wrong, right) =
        (Node::start(1, Standing::Leaving { active: None }).await, Node::start(2, ACTIVE).await);
    let standby = Node::start_with(3, FOLLOWER, patient()).await;
    standby.follow(&wrong, 90);
    let mut client = standby.client().await;
    let large = create(&"x".repeat(5 << 20));
    let (answer, ()) = tokio::join!(client.create_database(to(None, large)), async {
        until(|| standby.gatehouse.waiting() == 1 || !standby.hooks.forwarded.lock().is_empty()).await;
        standby.follow(&right, 100);
    });
    // Whether the wrong one has answered before all was read is a race; both ends are fine.
    match answer {
        Ok(_) => assert_eq!(right.toy.created.lock().len(), 1),
        Err(error) => {
            assert_eq!(error.code(), Code::Unavailable, "{error:?}");
            assert!(right.toy.created.lock().is_empty());
        }
    }
}

#[tokio::test]
async fn only_so_many_calls_are_under_way() {
    let mut wishes = patient();
    wishes.gatehouse.most_forwarded = 1;
    let (active, standby) = (Node::start(1, ACTIVE).await, Node::start_with(2, FOLLOWER, wishes).await);
    standby.follow(&active, 100);
    let (mut one, mut two) = (standby.client().await, standby.client().await);
    let (slow, ()) = tokio::join!(one.create_database(to(None, create("slow"))), async {
        active.toy.begun.notified().await;
        let error = two.create_database(to(None, create("x"))).await.unwrap_err();
        assert_away(&error, "node not match[expectedNodeID=0][actualNodeID=2]");
        active.toy.finish.notify_one();
    });
    slow.unwrap();
}

#[tokio::test]
async fn a_caller_who_gives_up_ends_the_forwarded_call() {
    let (active, standby) = (Node::start(1, ACTIVE).await, Node::start(2, FOLLOWER).await);
    standby.follow(&active, 100);
    let mut client = standby.client().await;
    let call = client.create_database(to(None, create("slow")));
    let both = futures::future::select(Box::pin(call), Box::pin(active.toy.begun.notified()));
    assert!(matches!(both.await, futures::future::Either::Right(_)));
    until(|| active.gatehouse.in_flight() == 0).await;
}

#[tokio::test]
async fn a_hand_over_can_wait_for_the_calls_that_are_inside() {
    let node = Node::start_with(7, ACTIVE, patient()).await;
    let (mut one, mut two) = (node.client().await, node.client().await);
    let (slow, late, drained) = tokio::join!(
        one.create_database(to(Some(7), create("slow"))),
        async {
            until(|| matches!(*node.standing.borrow(), Standing::HandingOver { .. })).await;
            two.create_database(to(Some(7), create("late"))).await
        },
        async {
            node.toy.begun.notified().await;
            assert_eq!(node.gatehouse.in_flight(), 1);
            node.standing.send_replace(Standing::HandingOver { epoch: TERM });
            assert!(!node.gatehouse.drain(Duration::from_millis(10)).await);
            until(|| node.gatehouse.waiting() == 1).await;
            node.toy.finish.notify_one();
            let drained = node.gatehouse.drain(PATIENCE).await;
            assert_eq!(*node.toy.created.lock(), ["slow"]);
            node.standing.send_replace(Standing::Leaving { active: None });
            drained
        }
    );
    slow.unwrap();
    assert!(drained);
    assert_eq!(late.unwrap_err().code(), Code::Unknown);
}

#[tokio::test]
async fn forwarding_asks_for_addresses_that_make_sense() {
    let standby = Node::start_with(2, FOLLOWER, hasty()).await;
    let peer = Peer { server_id: ServerId(1), address: "not an address".to_owned() };
    standby.standing.send_replace(Standing::Standby { active: Some((peer, TERM)) });
    let answer = standby.client().await.create_database(to(None, create("x"))).await.unwrap();
    assert_not_ready(&answer.into_inner());
}

#[tokio::test]
async fn a_server_that_has_stopped_leaves_no_task_behind() {
    let (active, standby) = (Node::start(1, ACTIVE).await, Node::start(2, FOLLOWER).await);
    standby.follow(&active, 100);
    standby.client().await.create_database(to(None, create("x"))).await.unwrap();
    let Node { gatehouse, server, tasks, .. } = standby;
    assert!(!tasks.is_empty(), "a connection to the active one");
    server.stop(PATIENCE).await;
    tasks.close();
    tokio::time::timeout(PATIENCE, tasks.wait()).await.expect("nothing is left");
    drop(gatehouse);
}
