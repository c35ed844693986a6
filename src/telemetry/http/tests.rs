use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tracing::instrument::WithSubscriber;

use super::*;
use crate::{
    election::standing::{Peer, Standing},
    ids::{Epoch, Revision, Role, ServerId},
    net::{BoxFuture, BoxIo},
    telemetry::{
        log::{LogFormat, LogLevel},
        metrics::LiveFigures,
        testing::{Logged, Stopped},
    },
};

const SOON: Duration = Duration::from_secs(10);
const LOOPBACK: std::net::IpAddr = std::net::IpAddr::V4(Ipv4Addr::LOCALHOST);

fn peer(id: i64) -> Peer {
    Peer { server_id: ServerId(id), address: format!("10.0.0.{id}:53100") }
}

/// Stands where it was put.
struct Stand(Mutex<(Standing, bool)>);

impl HealthSource for Stand {
    fn health(&self) -> Health {
        let (standing, broken) = &*self.0.lock();
        let own = (*standing != Standing::Starting).then(|| peer(7));
        Health { restart_helps: *broken, ..Health::of(Role::RootCoord, own.as_ref(), standing) }
    }

    fn live(&self) -> LiveFigures {
        LiveFigures { mirror_revision: Some(Revision(170)), ..LiveFigures::default() }
    }
}

struct Port {
    stand: Arc<Stand>,
    server: HttpServer,
    log: Logged,
}

fn serve(listener: impl Accept + 'static) -> Port {
    let stand = Arc::new(Stand(Mutex::new((Standing::Starting, false))));
    let log = Logged::new(LogFormat::Text, LogLevel::Info);
    let management = Management {
        health: Arc::clone(&stand) as _,
        metrics: Metrics::new(Role::RootCoord, &Stopped),
        log: log.guard.handle(),
    };
    Port { stand, server: management.serve(listener).unwrap(), log }
}

async fn serve_tcp() -> Port {
    serve(bind(LOOPBACK, ManagementPort::Set(0)).await.unwrap())
}

/// Sends a request, and returns status, the interesting headers and body.
async fn ask(port: &Port, request: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(port.server.address()).await.unwrap();
    let length = body.len();
    let request = format!(
        "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let media = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (status, media.to_owned(), body.to_owned())
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "content-type: application/json\r\n";
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// Recorded from a real rootcoord 2.3.5, the texts of JSON's own errors left out.
#[tokio::test]
async fn the_log_level_is_answered_as_by_the_original() {
    let port = serve_tcp().await;
    let no_level = r#"{"error":"must specify logging level"}"#;
    let wrong_method = r#"{"error":"Only GET and PUT are supported."}"#;
    for (request, headers, body, status, answer) in [
        ("GET /log/level", "", "", 200, r#"{"level":"info"}"#),
        ("PUT /log/level", FORM, "level=zz", 400, r#"{"error":"unrecognized level: \"zz\""}"#),
        ("PUT /log/level", FORM, "", 400, no_level),
        ("PUT /log/level?level=warn", FORM, "a=b", 200, r#"{"level":"warn"}"#),
        ("PUT /log/level?level=warn", FORM, "level=error", 200, r#"{"level":"error"}"#),
        ("PUT /log/level", FORM, "level=WARN", 200, r#"{"level":"warn"}"#),
        ("PUT /log/level", FORM, "level=d%65bug", 200, r#"{"level":"debug"}"#),
        ("PUT /log/level", FORM, "level=a+b%22", 400, r#"{"error":"unrecognized level: \"a b\\\"\""}"#),
        (
            "PUT /log/level",
            JSON,
            r#"{"level":"zz"}"#,
            400,
            r#"{"error":"malformed request body: unrecognized level: \"zz\""}"#,
        ),
        ("PUT /log/level", JSON, r#"{"level":"debug"}"#, 200, r#"{"level":"debug"}"#),
        ("PUT /log/level", "", r#"{"level":""}"#, 200, r#"{"level":"info"}"#),
        ("PUT /log/level", JSON, "{}", 400, no_level),
        ("PUT /log/level", JSON, "", 400, r#"{"error":"malformed request body: EOF"}"#),
        ("POST /log/level", "", "", 405, wrong_method),
    ] {
        let answered = ask(&port, request, headers, body).await;
        assert_eq!(answered, (status, TEXT.to_owned(), format!("{answer}\n")), "{request} {body}");
    }
    for body in ["nope", r#"{"level":3}"#] {
        let (status, _, answer) = ask(&port, "PUT /log/level", JSON, body).await;
        assert_eq!(status, 400);
        assert!(answer.starts_with(r#"{"error":"malformed request body: "#), "{answer}");
    }
    assert_eq!(ask(&port, "HEAD /log/level", "", "").await, (405, TEXT.to_owned(), String::new()));

    ask(&port, "PUT /log/level", FORM, "level=error").await;
    assert_eq!(port.log.guard.handle().level(), LogLevel::Error);
    assert!(port.server.stop(SOON).await);
}

#[tokio::test]
async fn health_asks_for_a_restart_only_when_one_helps() {
    let port = serve_tcp().await;
    let epoch = Epoch(167);
    for (standing, code) in [
        (Standing::Starting, 2),
        (Standing::Standby { active: None }, 3),
        (Standing::Standby { active: Some((peer(3), epoch)) }, 3),
        (Standing::Activating { epoch }, 0),
        (Standing::Active { epoch }, 1),
        (Standing::Suspended { epoch }, 2),
        (Standing::HandingOver { epoch }, 2),
        (Standing::Forwarding { to: peer(3), epoch }, 2),
        (Standing::Leaving { active: None }, 2),
    ] {
        *port.stand.0.lock() = (standing.clone(), false);
        for method in ["GET", "POST"] {
            let answered = ask(&port, &format!("{method} /healthz"), "", "").await;
            assert_eq!(answered, (200, TEXT.to_owned(), "OK".to_owned()), "{standing:?}");
        }
        let in_full = format!(r#"{{"state":"OK","detail":[{{"name":"rootcoord","code":{code}}}]}}"#);
        assert_eq!(
            ask(&port, "GET /healthz", JSON, "").await,
            (200, TEXT.to_owned(), in_full),
            "{standing:?}"
        );

        let (is_active, ..) = ask(&port, "GET /active", "", "").await;
        assert_eq!(is_active == 200, matches!(standing, Standing::Active { .. }), "{standing:?}");
        let (is_standby, ..) = ask(&port, "OPTIONS /standby", "", "").await;
        assert_eq!(is_standby == 200, matches!(standing, Standing::Standby { .. }), "{standing:?}");
    }

    *port.stand.0.lock() = (Standing::Suspended { epoch }, true);
    let sick = "component rootcoord state is Abnormal";
    assert_eq!(ask(&port, "GET /healthz", "", "").await, (500, TEXT.to_owned(), sick.to_owned()));
    let in_full = format!(r#"{{"state":"{sick}","detail":[{{"name":"rootcoord","code":2}}]}}"#);
    assert_eq!(ask(&port, "GET /healthz", JSON, "").await, (500, TEXT.to_owned(), in_full));
    assert!(port.server.stop(SOON).await);
}

#[tokio::test]
async fn the_role_names_who_is_active() {
    let port = serve_tcp().await;
    let (_, media, starting) = ask(&port, "GET /role", "", "").await;
    assert_eq!(media, "application/json");
    assert_eq!(
        starting,
        r#"{"role":"rootcoord","server_id":null,"address":null,"phase":"starting","state":"Abnormal","epoch":null,"active":null,"paused":null}"#.to_owned() + "\n"
    );
    port.stand.0.lock().0 = Standing::Standby { active: Some((peer(3), Epoch(160))) };
    let (.., standby) = ask(&port, "GET /role", "", "").await;
    assert_eq!(
        standby,
        r#"{"role":"rootcoord","server_id":7,"address":"10.0.0.7:53100","phase":"standby","state":"StandBy","epoch":null,"active":{"server_id":3,"address":"10.0.0.3:53100","epoch":160},"paused":null}"#.to_owned() + "\n"
    );
    port.stand.0.lock().0 = Standing::Active { epoch: Epoch(167) };
    let (.., active) = ask(&port, "GET /role", "", "").await;
    assert_eq!(
        active,
        r#"{"role":"rootcoord","server_id":7,"address":"10.0.0.7:53100","phase":"active","state":"Healthy","epoch":167,"active":{"server_id":7,"address":"10.0.0.7:53100","epoch":167},"paused":null}"#.to_owned() + "\n"
    );
    assert_eq!(ask(&port, "GET /active", "", "").await, (200, TEXT.to_owned(), "active".to_owned()));
    assert_eq!(ask(&port, "GET /standby", "", "").await, (503, TEXT.to_owned(), "active".to_owned()));
    assert!(port.server.stop(SOON).await);
}

#[tokio::test]
async fn metrics_and_the_rest() {
    let port = serve_tcp().await;
    let media = "text/plain; version=0.0.4; charset=utf-8";
    let (status, given, all) = ask(&port, "GET /metrics", "", "").await;
    assert_eq!((status, given.as_str()), (200, media));
    for line in ["milvus_rootcoord_id_alloc_count 0\n", "milvus_coord_mirror_revision 170\n"] {
        assert!(all.contains(line), "{line}");
    }
    assert!(all.contains("# TYPE process_cpu_seconds_total counter\n"));
    let (status, given, own) = ask(&port, "GET /metrics_default", "", "").await;
    assert_eq!((status, given.as_str()), (200, media));
    assert!(own.contains("process_resident_memory_bytes") && !own.contains("milvus"));

    for path in ["/", "/nope", "/expr", "/healthz/"] {
        let answered = ask(&port, &format!("GET {path}"), "", "").await;
        assert_eq!(answered, (404, TEXT.to_owned(), "404 page not found\n".to_owned()), "{path}");
    }
    let (too_large, ..) = ask(&port, "PUT /log/level", JSON, &" ".repeat(MAX_BODY + 1)).await;
    assert_eq!(too_large, 413);
    assert!(port.server.stop(SOON).await);
}

#[tokio::test]
async fn a_port_that_was_asked_for_is_had_or_the_start_fails() {
    let taken = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let number = taken.local_addr().unwrap().port();
    let refused = bind(LOOPBACK, ManagementPort::Set(number)).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("cannot listen on the management port 127.0.0.1:{number}"));
    assert_eq!(refused.source.kind(), io::ErrorKind::AddrInUse);

    let log = Logged::new(LogFormat::Text, LogLevel::Info);
    let moved = bind(LOOPBACK, ManagementPort::From(number));
    let moved = moved.with_subscriber(log.guard.dispatch().clone()).await.unwrap();
    let other = moved.local_addr().unwrap().port();
    assert_ne!(other, number);
    assert_eq!(
        log.read(),
        [
            format!(
                r#"[WARN] ["the management port is taken, another is used"] [taken={number}] [port={other}]"#
            ),
            format!(r#"[INFO] ["management listen"] [addr=:{other}]"#),
        ]
    );
}

#[tokio::test]
async fn a_stopped_port_is_closed() {
    let port = serve_tcp().await;
    let address = port.server.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    assert!(port.server.stop(SOON).await, "an idle connection holds nothing up");
    timeout(SOON, idle.read_to_end(&mut Vec::new())).await.expect("closed").unwrap();
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

/// A listener without a network, for tests in which time is made.
#[derive(Debug)]
struct Pipes(mpsc::Receiver<DuplexStream>);

impl Accept for Pipes {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxIo, SocketAddr)>> {
        Box::pin(async {
            match self.0.recv().await {
                Some(pipe) => Ok((Box::new(pipe) as BoxIo, self.local_addr()?)),
                None => std::future::pending().await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(LOOPBACK, 0))
    }
}

fn serve_pipes() -> (Port, mpsc::Sender<DuplexStream>) {
    let (connect, pipes) = mpsc::channel(1);
    (serve(Pipes(pipes)), connect)
}

async fn connect(to: &mpsc::Sender<DuplexStream>) -> DuplexStream {
    let (ours, theirs) = duplex(1 << 10);
    to.send(theirs).await.unwrap();
    ours
}

async fn is_served(stream: &mut DuplexStream) {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

/// After how many seconds the connection is closed from the other side.
async fn closed_after(stream: &mut DuplexStream) -> u64 {
    let before = tokio::time::Instant::now();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(1000), stream.read_to_end(&mut rest)).await.expect("closed").unwrap();
    before.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_longer_than_the_limit() {
    let (_port, to) = serve_pipes();
    let mut silent = connect(&to).await;
    assert_eq!(closed_after(&mut silent).await, 10);

    let mut slow = connect(&to).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").await.unwrap();
    assert_eq!(closed_after(&mut slow).await, 10);

    let mut half = connect(&to).await;
    half.write_all(b"PUT /log/level HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nlev").await.unwrap();
    assert!(closed_after(&mut half).await <= 20);

    let mut idle = connect(&to).await;
    is_served(&mut idle).await;
    assert_eq!(closed_after(&mut idle).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stopped_is_left_in_the_end() {
    let (port, to) = serve_pipes();
    let mut stuck = connect(&to).await;
    stuck.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(302)).await;
    // What fitted into the pipe, and then its end.
    let mut received = Vec::new();
    timeout(SOON, stuck.read_to_end(&mut received)).await.expect("closed").unwrap();
    assert_eq!(received.len(), 1 << 10);
    assert!(port.server.stop(SOON).await);
}

#[tokio::test(start_paused = true)]
async fn those_who_stay_do_not_shut_others_out() {
    let (_port, to) = serve_pipes();
    let mut staying = Vec::new();
    for _ in 0..64 {
        staying.push(connect(&to).await);
    }
    is_served(&mut staying[0]).await;
    let mut probe = connect(&to).await;
    is_served(&mut probe).await;
    assert_eq!(closed_after(&mut staying[0]).await, 0, "the oldest makes room");
    is_served(&mut staying[1]).await;
}
