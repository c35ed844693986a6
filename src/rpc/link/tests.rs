use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::Reason;
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
};

use tokio_util::task::TaskTracker;

use super::*;
use crate::net::Tcp;

const SETTINGS_FRAME: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const PATIENCE: Duration = Duration::from_secs(20);

fn settings() -> LinkSettings {
    LinkSettings { connect_timeout: Duration::from_secs(10), ..LinkSettings::default() }
}

async fn connect_with(address: SocketAddr, settings: LinkSettings) -> Result<Link, LinkError> {
    let dial = Tcp { connect_timeout: PATIENCE };
    tokio::time::timeout(
        PATIENCE,
        Link::connect(&dial, &address.to_string(), settings, &LinkOwner::default()),
    )
    .await
    .expect("connecting ends")
}

async fn connect(address: SocketAddr) -> Result<Link, LinkError> {
    connect_with(address, settings()).await
}

/// Accepts one connection and does with it what it is told.
async fn peer<F>(script: impl FnOnce(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = TaskTracker::new().spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        drop(listener);
        script(stream).await;
    });
    (address, task)
}

fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[track_caller]
fn not_opened(result: Result<Link, LinkError>, expected: Ended) {
    let error = result.expect_err("no connection");
    assert!(error.certainly_not_processed());
    assert_eq!(error.ended(), Some(expected), "{error:?}");
}

#[tokio::test]
async fn an_open_connection_ends_with_the_peers_reset_or_fin() {
    for with_reset in [true, false] {
        let (close, mut closed) = tokio::sync::oneshot::channel::<()>();
        let (address, _task) = peer(move |mut stream| async move {
            stream.write_all(&SETTINGS_FRAME).await.unwrap();
            // Closing with something unread would be a reset, too.
            let mut buf = [0; 1024];
            loop {
                tokio::select! {
                    biased;
                    read = stream.read(&mut buf) => assert!(read.unwrap() > 0),
                    _ = &mut closed => break,
                }
            }
            if with_reset {
                reset(stream);
            }
        })
        .await;
        let link = connect(address).await.unwrap();
        assert!(link.is_open());
        close.send(()).unwrap();
        let ended = tokio::time::timeout(PATIENCE, link.ended()).await.unwrap();
        assert_eq!(ended, Ended::ByPeer, "reset: {with_reset}");
        assert!(!link.is_open());
        let error = link.send(http::Request::new(Body::empty())).await.unwrap_err();
        assert!(error.certainly_not_processed(), "{error:?}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    not_opened(connect(address).await, Ended::Refused);
}

#[tokio::test]
async fn a_connection_ended_before_its_first_byte_is_a_refusal() {
    let (address, _task) = peer(|stream| async move { drop(stream) }).await;
    not_opened(connect(address).await, Ended::Refused);
    let (address, _task) = peer(|stream| async move { reset(stream) }).await;
    not_opened(connect(address).await, Ended::Refused);
    let (address, _task) = peer(|mut stream| async move {
        // All that was sent is read, so closing sends a FIN.
        let mut buf = [0; 1024];
        assert!(stream.read(&mut buf).await.unwrap() > 0);
    })
    .await;
    not_opened(connect(address).await, Ended::Refused);
}

#[tokio::test]
async fn a_frozen_peer_is_silent() {
    let short = LinkSettings { connect_timeout: Duration::from_millis(100), ..settings() };
    // The kernel accepts for a process that doesn't.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    not_opened(connect_with(address, short).await, Ended::Silent(Silence::Timeout));
}

#[tokio::test]
async fn a_full_accept_queue_is_silent() {
    let short = LinkSettings { connect_timeout: Duration::from_millis(100), ..settings() };
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    loop {
        let attempt = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), attempt).await {
            Ok(stream) => queued.push(stream.unwrap()),
            Err(_) => break,
        }
        assert!(queued.len() < 100, "the queue never fills");
    }
    not_opened(connect_with(address, short).await, Ended::Silent(Silence::Timeout));
}

#[tokio::test]
async fn what_happens_on_this_side_is_silence() {
    // Pings that nobody answers.
    let (address, task) = peer(|mut stream| async move {
        stream.write_all(&SETTINGS_FRAME).await.unwrap();
        let mut buf = [0; 1024];
        while stream.read(&mut buf).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    let pinging = LinkSettings {
        ping_every: Duration::from_millis(20),
        ping_timeout: Duration::from_millis(20),
        ..settings()
    };
    let link = connect_with(address, pinging).await.unwrap();
    let error = tokio::time::timeout(PATIENCE, link.send(http::Request::new(Body::empty())))
        .await
        .unwrap()
        .unwrap_err();
    assert!(!error.certainly_not_processed());
    assert!(matches!(error.ended(), Some(Ended::Silent(_))), "{error:?}");
    assert!(matches!(tokio::time::timeout(PATIENCE, link.ended()).await.unwrap(), Ended::Silent(_)));
    drop(link);
    task.await.unwrap();

    // Closed here.
    let (address, task) = peer(|mut stream| async move {
        stream.write_all(&SETTINGS_FRAME).await.unwrap();
        let mut buf = [0; 1024];
        while stream.read(&mut buf).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    let link = connect(address).await.unwrap();
    link.close();
    assert_eq!(tokio::time::timeout(PATIENCE, link.ended()).await.unwrap(), Ended::Silent(Silence::Other));
    task.await.unwrap();
}

#[tokio::test]
async fn dropping_the_link_closes_the_connection() {
    let (address, task) = peer(|mut stream| async move {
        stream.write_all(&SETTINGS_FRAME).await.unwrap();
        let mut buf = [0; 1024];
        while stream.read(&mut buf).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    drop(connect(address).await.unwrap());
    tokio::time::timeout(PATIENCE, task).await.expect("the peer sees the end").unwrap();
}

#[tokio::test]
async fn addresses_are_checked() {
    let dial = Tcp { connect_timeout: PATIENCE };
    for address in ["", "host", "host:", ":1", "host:port", "::1:80", "[::1:80", "ho st:1", "host:70000"] {
        let result = Link::connect(&dial, address, settings(), &LinkOwner::default()).await;
        assert!(matches!(result, Err(LinkError::Address(_))), "{address:?}: {result:?}");
    }
    assert_eq!(split("[::1]:80"), Some(("::1", 80)));
    assert_eq!(split("coord-0.svc:53100"), Some(("coord-0.svc", 53100)));
}

/// An HTTP/2 server that treats its first call as it is told.
async fn h2_peer<F>(
    script: impl FnOnce(h2::server::Connection<TcpStream, Bytes>, h2::server::SendResponse<Bytes>) -> F
    + Send
    + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let (address, _task) = peer(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_request, respond) = connection.accept().await.unwrap().unwrap();
        script(connection, respond).await;
    })
    .await;
    address
}

async fn run(mut connection: h2::server::Connection<TcpStream, Bytes>) {
    while let Some(Ok(_)) = connection.accept().await {}
}

#[tokio::test]
async fn a_refused_stream_was_not_processed() {
    let address = h2_peer(|connection, mut respond| async move {
        respond.send_reset(Reason::REFUSED_STREAM);
        run(connection).await;
    })
    .await;
    let link = connect(address).await.unwrap();
    let error = link.send(http::Request::new(Body::empty())).await.unwrap_err();
    assert!(matches!(error, LinkError::NotTaken { .. }), "{error:?}");
    assert!(link.is_open());
}

#[tokio::test]
async fn a_call_broken_off_may_have_been_processed() {
    let address = h2_peer(|connection, mut respond| async move {
        respond.send_reset(Reason::INTERNAL_ERROR);
        run(connection).await;
    })
    .await;
    let link = connect(address).await.unwrap();
    let error = link.send(http::Request::new(Body::empty())).await.unwrap_err();
    assert!(matches!(error, LinkError::BrokenOff { .. }), "{error:?}");
    assert!(!error.certainly_not_processed());
    assert!(link.is_open());
}

#[tokio::test]
async fn a_call_above_the_goaways_number_was_not_processed() {
    // SETTINGS, then GOAWAY with last stream 0 as soon as the preface and a call are there.
    let (address, _task) = peer(|mut stream| async move {
        stream.write_all(&SETTINGS_FRAME).await.unwrap();
        let mut seen = Vec::new();
        // A frame of type HEADERS on stream 1.
        while !seen.windows(6).any(|frame| frame[0] == 1 && frame[2..] == [0, 0, 0, 1]) {
            let mut buf = [0; 1024];
            let n = stream.read(&mut buf).await.unwrap();
            seen.extend_from_slice(&buf[..n]);
        }
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        stream.write_all(&goaway).await.unwrap();
        let mut buf = [0; 1024];
        while stream.read(&mut buf).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    let link = connect(address).await.unwrap();
    let error = link.send(http::Request::new(Body::empty())).await.unwrap_err();
    assert!(matches!(error, LinkError::NotTaken { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_lost_under_a_call_says_how() {
    let (address, _task) = peer(|mut stream| async move {
        stream.write_all(&SETTINGS_FRAME).await.unwrap();
        let mut seen = Vec::new();
        while !seen.windows(6).any(|frame| frame[0] == 1 && frame[2..] == [0, 0, 0, 1]) {
            let mut buf = [0; 1024];
            let n = stream.read(&mut buf).await.unwrap();
            seen.extend_from_slice(&buf[..n]);
        }
        reset(stream);
    })
    .await;
    let link = connect(address).await.unwrap();
    let error = link.send(http::Request::new(Body::empty())).await.unwrap_err();
    assert!(matches!(error, LinkError::Lost { ended: Ended::ByPeer, .. }), "{error:?}");
    assert!(!error.certainly_not_processed());
}

#[tokio::test]
async fn a_connection_lost_under_an_answer_says_how() {
    let address = h2_peer(|mut connection, mut respond| async move {
        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"half"), false).unwrap();
        // Drives the connection until the data is out, and ends it.
        let _ = tokio::time::timeout(Duration::from_millis(50), connection.accept()).await;
    })
    .await;
    let link = connect(address).await.unwrap();
    let mut body = link.send(http::Request::new(Body::empty())).await.unwrap().into_body();
    drop(link);
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "half");
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.ended(), Some(Ended::ByPeer));
}

#[tokio::test]
async fn a_goodbye_in_good_order_is_no_silence() {
    let address = h2_peer(|mut connection, mut respond| async move {
        respond.send_response(http::Response::new(()), true).unwrap();
        connection.graceful_shutdown();
        // Drives the connection to its end.
        while connection.accept().await.is_some() {}
    })
    .await;
    let link = connect(address).await.unwrap();
    let answer = link.send(http::Request::new(Body::empty())).await.unwrap();
    drop(answer);
    let ended = tokio::time::timeout(PATIENCE, link.ended()).await.unwrap();
    // Which of the two closes first is open.
    assert!(matches!(ended, Ended::Farewell | Ended::ByPeer), "{ended:?}");
}

#[tokio::test]
async fn what_is_closed_here_says_nothing_of_the_peer() {
    let (address, _task) = peer(|mut stream| async move {
        stream.write_all(&SETTINGS_FRAME).await.unwrap();
        // Until the other side ends it.
        while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    let link = connect(address).await.unwrap();
    link.close();
    assert_eq!(tokio::time::timeout(PATIENCE, link.ended()).await.unwrap(), Ended::Silent(Silence::Other));
}

#[tokio::test]
async fn one_attempt_for_all_who_ask() {
    let (address, _task) = peer(|mut stream| async move {
        stream.write_all(&SETTINGS_FRAME).await.unwrap();
        let mut buf = [0; 1024];
        while stream.read(&mut buf).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    let address = address.to_string();
    let dial = Arc::new(Tcp { connect_timeout: PATIENCE });
    let slot = Slot::new(dial, settings(), LinkOwner::default());
    // The listener takes one connection only.
    let (a, b) = tokio::join!(slot.link(&address), slot.link(&address));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(Arc::ptr_eq(&a.0, &b.0));

    slot.forget(&a);
    assert!(matches!(*slot.link(&address).await.unwrap_err(), LinkError::NotOpened { .. }));
    assert!(a.is_open(), "forgetting does not close");
}

#[tokio::test]
async fn a_link_that_ended_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let slot = Slot::new(Arc::new(Tcp { connect_timeout: PATIENCE }), settings(), LinkOwner::default());
    let serve = async || {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&SETTINGS_FRAME).await.unwrap();
        stream
    };
    let (first, stream) = tokio::join!(slot.link(&address), serve());
    let first = first.unwrap();
    drop(stream);
    first.ended().await;
    let (second, _stream) = tokio::join!(slot.link(&address), serve());
    assert!(second.unwrap().is_open());
}
