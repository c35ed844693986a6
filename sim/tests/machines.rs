//! What can happen to simulated machines and processes looks to others as it does in reality.

use std::{io, sync::Arc, time::Duration};

use milvus_coord::{clock::BootInstant, net::BoxIo};
use milvus_coord_sim::{
    machine::process::{Ended, Env},
    world::{MachineId, ProcessId, World, WorldSettings},
};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 7000;

/// What a process saw, with the time since it began by its boot clock.
type Seen = Arc<Mutex<Vec<(Duration, String)>>>;

struct Pair {
    world: World,
    here: MachineId,
    there: MachineId,
    server: ProcessId,
    seen: Seen,
}

async fn echo(env: Env) -> i32 {
    let mut listener = env.listen(PORT).await.expect("the port is free");
    let tasks = tokio_util::task::TaskTracker::new();
    while let Ok((mut io, _)) = listener.accept().await {
        tasks.spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(&mut io);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
    }
    0
}

/// A client on `here`, an echo server on `there`.
fn pair<F, Fut>(seed: u64, client: F) -> Pair
where
    F: FnOnce(Env, Seen) -> Fut,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut world = World::new(WorldSettings::seeded(seed));
    let (here, there) = (world.machine("here", 0, 0), world.machine("there", 0, 0));
    let server = world.start(there, "server", echo);
    world.run_for(Duration::from_millis(20));
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    world.start(here, "client", |env| {
        let (begin, clock) = (env.clock.boot(), Arc::clone(&env.clock));
        let client = client(env, Arc::clone(&log));
        async move {
            if let Err(error) = client.await {
                log.lock().push((clock.boot().since(begin), format!("{:?}", error.kind())));
            }
            0
        }
    });
    Pair { world, here, there, server, seen }
}

async fn dial(env: &Env) -> io::Result<BoxIo> {
    env.dial(Duration::from_secs(1)).dial("there", PORT).await
}

async fn ping(io: &mut BoxIo) -> io::Result<()> {
    io.write_all(b"ping").await?;
    let mut answer = [0; 4];
    io.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"ping");
    Ok(())
}

/// Pings, each ten milliseconds, and notes the first that fails; then how a new connection goes.
async fn ping_until_it_fails(env: Env, seen: Seen) -> io::Result<()> {
    let begin = env.clock.boot();
    let note = |what: String| seen.lock().push((env.clock.boot().since(begin), what));
    let mut io = dial(&env).await?;
    let error = loop {
        match ping(&mut io).await {
            Ok(()) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => break error,
        }
    };
    note(format!("{:?}", error.kind()));
    match dial(&env).await {
        Ok(_) => note("connected".to_owned()),
        Err(error) => note(format!("{:?}", error.kind())),
    }
    Ok(())
}

impl Pair {
    fn run_ms(&mut self, ms: u64) {
        self.world.run_for(Duration::from_millis(ms));
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().iter().map(|(_, what)| what.clone()).collect()
    }
}

#[test]
fn a_killed_process_is_known_at_once_and_refuses() {
    let mut pair = pair(1, ping_until_it_fails);
    pair.run_ms(100);
    assert!(pair.seen().is_empty());
    pair.world.kill(pair.server);
    pair.run_ms(30);
    let seen = pair.seen();
    assert!(["UnexpectedEof", "ConnectionReset"].contains(&seen[0].as_str()), "{seen:?}");
    assert_eq!(seen[1], "ConnectionRefused");
}

#[test]
fn a_restarted_process_has_its_port_again() {
    let mut pair = pair(2, ping_until_it_fails);
    pair.run_ms(100);
    pair.world.kill(pair.server);
    pair.world.start(pair.there, "server again", echo);
    pair.run_ms(50);
    assert_eq!(pair.seen().last().map(String::as_str), Some("connected"));
}

#[test]
fn a_frozen_process_is_silent_and_its_machine_accepts() {
    let mut pair = pair(3, |env, seen| async move {
        let begin = env.clock.boot();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut io = dial(&env).await?;
        seen.lock().push((env.clock.boot().since(begin), "connected".to_owned()));
        ping(&mut io).await?;
        seen.lock().push((env.clock.boot().since(begin), "answered".to_owned()));
        Ok(())
    });
    pair.run_ms(20);
    pair.world.freeze(pair.server);
    pair.run_ms(500);
    assert_eq!(pair.seen(), ["connected"]);
    pair.world.thaw(pair.server);
    pair.run_ms(20);
    assert_eq!(pair.seen(), ["connected", "answered"]);
    assert!(pair.seen.lock()[1].0 > Duration::from_millis(450));
}

#[test]
fn a_machine_without_power_is_silence() {
    let mut pair = pair(4, ping_until_it_fails);
    pair.run_ms(100);
    pair.world.lose(pair.there);
    pair.run_ms(5_000);
    assert!(pair.seen().is_empty(), "{:?}", pair.seen());
    pair.world.bring_back(pair.there);
    pair.run_ms(50);
    assert_eq!(pair.seen().len(), 2, "the machine knows nothing of the old connection");
}

#[test]
fn a_firewall_resets_and_refuses_while_the_process_lives() {
    let mut pair = pair(5, ping_until_it_fails);
    pair.run_ms(100);
    pair.world.reject(pair.here, pair.there);
    pair.world.reset(pair.here, pair.there);
    pair.run_ms(30);
    assert!(pair.world.is_alive(pair.server));
    assert!(["ConnectionReset", "BrokenPipe"].contains(&pair.seen()[0].as_str()));
    assert_eq!(pair.seen()[1], "ConnectionRefused");
}

#[test]
fn a_cut_link_delays_and_loses_nothing() {
    let mut pair = pair(6, ping_until_it_fails);
    pair.run_ms(100);
    pair.world.cut("here", "there");
    pair.run_ms(3_000);
    pair.world.mend("here", "there");
    pair.run_ms(1_000);
    assert!(pair.seen().is_empty());
}

#[test]
fn connecting_fails_with_the_machines_own_trouble() {
    const EMFILE: i32 = 24;
    let mut pair = pair(7, |env, _| async move { dial(&env).await.map(|_| ()) });
    pair.world.set_trouble(pair.here, Some(EMFILE));
    pair.run_ms(10);
    let expected = io::Error::from_raw_os_error(EMFILE).kind();
    assert_eq!(pair.seen(), [format!("{expected:?}")]);
}

/// Notes what the clocks say every ten milliseconds of tokio's time.
fn ticking(seen: &Arc<Mutex<Vec<(BootInstant, u64)>>>) -> impl FnOnce(Env) -> BoxedMain {
    let seen = Arc::clone(seen);
    move |env| {
        Box::pin(async move {
            loop {
                seen.lock().push((env.clock.boot(), env.clock.wall().millis()));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    }
}

type BoxedMain = std::pin::Pin<Box<dyn Future<Output = i32> + Send>>;

#[test]
fn clocks_go_on_for_a_frozen_process_and_stand_still_in_a_paused_machine() {
    for (freeze, suspended, expected) in [(true, false, 1_000), (false, false, 0), (false, true, 1_000)] {
        let mut world = World::new(WorldSettings::seeded(8));
        let machine = world.machine("here", 0, 0);
        let seen = Arc::default();
        let process = world.start(machine, "ticking", ticking(&seen));
        world.run_for(Duration::from_millis(100));
        let before = *seen.lock().last().expect("it ran");
        if freeze {
            world.freeze(process);
        } else {
            world.pause(machine);
        }
        world.run_for(Duration::from_secs(1));
        let count = seen.lock().len();
        if freeze {
            world.thaw(process);
        } else {
            world.resume(machine, suspended);
        }
        assert!(seen.lock().len() <= count + 1);
        world.run_for(Duration::from_millis(20));
        let after = seen.lock()[count];
        let passed = after.0.since(before.0).as_millis();
        assert!((expected..expected + 30).contains(&passed), "{passed} ms, expected about {expected}");
        assert_eq!(u128::from(after.1 - before.1) / 100, passed / 100, "both clocks agree");
    }
}

#[test]
fn clocks_drift_and_jump() {
    let mut world = World::new(WorldSettings::seeded(9));
    let (right, fast) = (world.machine("right", 0, 0), world.machine("fast", 0, 10_000));
    let (seen_right, seen_fast) = (Arc::default(), Arc::default());
    world.start(right, "right", ticking(&seen_right));
    world.start(fast, "fast", ticking(&seen_fast));
    world.run_for(Duration::from_secs(10));
    let span = |seen: &Arc<Mutex<Vec<(BootInstant, u64)>>>| {
        let seen = seen.lock();
        seen[seen.len() - 1].0.since(seen[0].0).as_millis()
    };
    assert!(span(&seen_fast) - span(&seen_right) >= 90, "1 % of ten seconds, less the grain");
    assert!(seen_fast.lock().len() > seen_right.lock().len(), "tokio's timers drift with it");

    world.time(right).jump_wall(-3_600_000_000_000);
    world.run_for(Duration::from_millis(20));
    let seen = seen_right.lock();
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    assert!(last.1 < first.1 && last.0 > first.0, "the wall clock went back, the boot clock did not");
}

#[test]
fn the_end_of_a_process_is_known() {
    let mut world = World::new(WorldSettings::seeded(10));
    let machine = world.machine("here", 0, 0);
    let seven = world.start(machine, "seven", |_| async { 7 });
    let panics = world.start(machine, "panics", |_| async { panic!("on purpose") });
    world.run_for(Duration::from_millis(5));
    assert_eq!(world.ended(seven), Some(&Ended::Returned(7)));
    assert_eq!(world.ended(panics), Some(&Ended::Panicked));
}
