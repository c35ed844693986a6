//! The streams that other instances keep to this one, seen from here.
//!
//! Over them this instance tells in which term it serves, and asks for pledges. A
//! standby may depose by a hint only a term that it was told of on such a stream, so
//! those told are exactly those whose pledge counts: all of them must give it, and
//! one whose stream has broken can't. Who comes while a term lives on pledges is told
//! of it together with how long it is bound as if it had been asked.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use milvus_proto::peer::{Hello, Phase, PledgeRequest, WatchEvent, watch_event::Kind};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::{
    clock::{BootInstant, Clock},
    ids::{Epoch, Revision, Role, ServerId},
};

/// Events waiting for one slow reader; more, and its stream is cut.
const STREAM_BUFFER: usize = 64;
/// Streams at a time; a group has a handful.
const MAX_STREAMS: usize = 256;

/// What goes to the reader of one stream.
pub type StreamSender = mpsc::Sender<Result<WatchEvent, tonic::Status>>;
/// The reader's end.
pub type StreamReceiver = mpsc::Receiver<Result<WatchEvent, tonic::Status>>;

#[derive(Debug)]
struct Stream {
    caller: ServerId,
    /// When its session was put.
    registered_at: Revision,
    sender: StreamSender,
}

#[derive(Debug)]
struct Round {
    nonce: u64,
    missing: HashSet<ServerId>,
}

#[derive(Debug)]
struct State {
    hello: Hello,
    streams: HashMap<u64, Stream>,
    /// Who was told of the term in `hello` and may still act upon it, under a registration
    /// that was put at this revision.
    told: HashMap<ServerId, Revision>,
    round: Option<Round>,
    /// The term may live on pledges until then; nothing if none were asked for.
    bound_until: BootInstant,
}

/// See the module.
#[derive(Debug)]
pub struct PeerHub {
    clock: Arc<dyn Clock>,
    next: AtomicU64,
    state: Mutex<State>,
    pledged: Notify,
}

impl PeerHub {
    /// A hub of an instance that does not know its id yet.
    pub fn new(role: Role, clock: Arc<dyn Clock>) -> Arc<Self> {
        let hello = Hello {
            role: role.name().to_owned(),
            server_id: 0,
            phase: Phase::WaitingForEtcd.into(),
            ..Hello::default()
        };
        let state = State {
            hello,
            streams: HashMap::new(),
            told: HashMap::new(),
            round: None,
            bound_until: BootInstant::default(),
        };
        Arc::new(Self { clock, next: AtomicU64::new(1), state: Mutex::new(state), pledged: Notify::new() })
    }

    /// Tells all who listen where this instance stands.
    pub fn announce(&self, own: ServerId, phase: Phase, epoch: Option<Epoch>) {
        let mut state = self.state.lock();
        let epoch = epoch.map_or(0, |epoch| epoch.0);
        let hello = Hello { server_id: own.0, phase: phase.into(), epoch, ..state.hello.clone() };
        if hello == state.hello {
            return;
        }
        if epoch != state.hello.epoch {
            state.told.clear();
            state.round = None;
            state.bound_until = BootInstant::default();
        }
        state.hello = hello;
        let ids: Vec<u64> = state.streams.keys().copied().collect();
        let now = self.clock.boot();
        for id in ids {
            state.greet(id, now);
        }
    }

    /// A new stream from `caller`; its first event is a Hello. `None`: too many.
    ///
    /// `registered_at`: the revision at which the caller put its session.
    pub fn open(&self, caller: ServerId, registered_at: Revision) -> Option<(u64, StreamReceiver)> {
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        if state.streams.len() >= MAX_STREAMS {
            return None;
        }
        state.streams.insert(id, Stream { caller, registered_at, sender });
        state.greet(id, self.clock.boot());
        Some((id, receiver))
    }

    /// The stream is over. What its caller was told, it was told.
    pub fn close(&self, id: u64) {
        self.state.lock().streams.remove(&id);
    }

    /// Instances that have a stream open: they live, and see this one.
    pub fn listeners(&self) -> HashSet<ServerId> {
        self.state.lock().streams.values().map(|stream| stream.caller).collect()
    }

    /// A caller promised not to depose `epoch` by a hint.
    pub fn pledge(&self, id: u64, nonce: u64, epoch: Epoch) {
        let mut state = self.state.lock();
        if state.hello.epoch != epoch.0 {
            return;
        }
        let Some(caller) = state.streams.get(&id).map(|stream| stream.caller) else { return };
        if let Some(round) = state.round.as_mut().filter(|round| round.nonce == nonce) {
            round.missing.remove(&caller);
            if round.missing.is_empty() {
                self.pledged.notify_waiters();
            }
        }
    }

    /// Forgets that those were told who have neither a stream nor, in the mirror up to `at`, the
    /// session that they had when they were told: they must hear it again before they can use it.
    pub fn forget(&self, at: Revision, listed: impl Fn(ServerId) -> bool) {
        let mut state = self.state.lock();
        let open: HashSet<ServerId> = state.streams.values().map(|stream| stream.caller).collect();
        state.told.retain(|id, registered_at| open.contains(id) || listed(*id) || at < *registered_at);
    }

    /// Asks all who could depose `epoch` by a hint not to, for `lasting` from now, and binds
    /// for as long whoever is told of it from now on. Returns once all have promised, and until
    /// when they have; drop the future to give up.
    pub async fn ask_pledges(&self, epoch: Epoch, lasting: Duration) -> BootInstant {
        let nonce = self.next.fetch_add(1, Ordering::Relaxed);
        let until = {
            let mut state = self.state.lock();
            let until = self.clock.boot() + lasting;
            let missing = state.told.keys().copied().collect();
            state.round = Some(Round { nonce, missing });
            state.bound_until = until;
            let request = PledgeRequest { nonce, epoch: epoch.0, millis: millis(lasting) };
            for stream in state.streams.values() {
                let event = WatchEvent { kind: Some(Kind::PledgeRequest(request)) };
                // A full stream is a reader that can't promise anything either.
                let _ = stream.sender.try_send(Ok(event));
            }
            until
        };
        loop {
            let pledged = self.pledged.notified();
            tokio::pin!(pledged);
            pledged.as_mut().enable();
            let done = {
                let state = self.state.lock();
                state.hello.epoch == epoch.0
                    && state
                        .round
                        .as_ref()
                        .is_some_and(|round| round.nonce == nonce && round.missing.is_empty())
            };
            if done {
                return until;
            }
            pledged.await;
        }
    }
}

/// Whole milliseconds, not less.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

impl State {
    fn greet(&mut self, id: u64, now: BootInstant) {
        let Some(stream) = self.streams.get(&id) else { return };
        let hello = Hello { bound_millis: millis(self.bound_until.since(now)), ..self.hello.clone() };
        let event = WatchEvent { kind: Some(Kind::Hello(hello)) };
        if self.hello.epoch != 0 {
            // Counted before it is sent: it may arrive even if the sender is told otherwise.
            let registered_at = self.told.entry(stream.caller).or_insert(stream.registered_at);
            *registered_at = stream.registered_at.max(*registered_at);
        }
        if stream.sender.try_send(Ok(event)).is_err() {
            self.streams.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::clock::testing::Hand;

    const EPOCH: Epoch = Epoch(61);
    const HALF: Duration = Duration::from_millis(500);
    /// When the callers' sessions were put.
    const PUT: Revision = Revision(40);

    fn active() -> Arc<PeerHub> {
        active_by(Arc::new(Hand::default()))
    }

    fn active_by(clock: Arc<dyn Clock>) -> Arc<PeerHub> {
        let hub = PeerHub::new(Role::RootCoord, clock);
        hub.announce(ServerId(1), Phase::Active, Some(EPOCH));
        hub
    }

    fn asked(receiver: &mut StreamReceiver) -> u64 {
        loop {
            match receiver.try_recv().expect("a question").expect("no error").kind {
                Some(Kind::PledgeRequest(request)) => return request.nonce,
                _ => continue,
            }
        }
    }

    fn hello(receiver: &mut StreamReceiver) -> Hello {
        match receiver.try_recv().expect("an event").expect("no error").kind {
            Some(Kind::Hello(hello)) => hello,
            other => panic!("no hello but {other:?}"),
        }
    }

    #[test]
    fn every_stream_hears_every_change_and_nothing_twice() {
        let hub = PeerHub::new(Role::RootCoord, Arc::new(Hand::default()));
        let (_, mut receiver) = hub.open(ServerId(2), PUT).unwrap();
        assert_eq!(hello(&mut receiver).phase(), Phase::WaitingForEtcd);
        hub.announce(ServerId(1), Phase::Active, Some(EPOCH));
        hub.announce(ServerId(1), Phase::Active, Some(EPOCH));
        let heard = hello(&mut receiver);
        assert_eq!((heard.server_id, heard.phase(), heard.epoch), (1, Phase::Active, 61));
        assert!(receiver.try_recv().is_err());
    }

    #[tokio::test]
    async fn alone_there_is_nobody_to_ask() {
        assert!(active().ask_pledges(EPOCH, HALF).now_or_never().is_some());
    }

    #[tokio::test]
    async fn all_who_were_told_must_promise() {
        let hub = active();
        let (first, mut first_reads) = hub.open(ServerId(2), PUT).unwrap();
        let (second, mut second_reads) = hub.open(ServerId(3), PUT).unwrap();
        let mut asking = Box::pin(hub.ask_pledges(EPOCH, HALF));
        assert_eq!(asking.as_mut().now_or_never(), None);
        hub.pledge(first, asked(&mut first_reads), EPOCH);
        assert_eq!(asking.as_mut().now_or_never(), None);
        let nonce = asked(&mut second_reads);
        hub.pledge(second, nonce + 1, EPOCH);
        hub.pledge(second, nonce, Epoch(60));
        assert_eq!(asking.as_mut().now_or_never(), None);
        hub.pledge(second, nonce, EPOCH);
        assert!(asking.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_was_told_and_is_out_of_reach_keeps_the_promise_from_being_complete() {
        let hub = active();
        let (id, _reads) = hub.open(ServerId(2), PUT).unwrap();
        hub.close(id);
        assert_eq!(hub.ask_pledges(EPOCH, HALF).now_or_never(), None);
        // The mirror is not yet where its session was put.
        hub.forget(Revision(39), |_| false);
        assert_eq!(hub.ask_pledges(EPOCH, HALF).now_or_never(), None);
        hub.forget(Revision(90), |listed| listed == ServerId(2));
        assert_eq!(hub.ask_pledges(EPOCH, HALF).now_or_never(), None);
        hub.forget(Revision(90), |_| false);
        assert!(hub.ask_pledges(EPOCH, HALF).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_was_told_again_is_forgotten_by_its_newer_session_only() {
        let hub = active();
        for put in [Revision(80), PUT] {
            let (id, _reads) = hub.open(ServerId(2), put).unwrap();
            hub.close(id);
        }
        hub.forget(Revision(79), |_| false);
        assert_eq!(hub.ask_pledges(EPOCH, HALF).now_or_never(), None);
    }

    #[tokio::test]
    async fn who_comes_while_the_term_lives_on_pledges_is_bound_by_them() {
        let clock = Arc::new(Hand::default());
        let hub = active_by(Arc::clone(&clock) as Arc<dyn Clock>);
        let (_, mut early) = hub.open(ServerId(2), PUT).unwrap();
        assert_eq!(hello(&mut early).bound_millis, 0);
        let asking = hub.ask_pledges(EPOCH, HALF);
        assert_eq!(asking.now_or_never(), None);
        // Also before all have promised: then they may still do so.
        clock.set(Duration::from_micros(100_500));
        let (_, mut late) = hub.open(ServerId(3), PUT).unwrap();
        assert_eq!(hello(&mut late).bound_millis, 400);
        clock.set(HALF);
        let (_, mut later) = hub.open(ServerId(4), PUT).unwrap();
        assert_eq!(hello(&mut later).bound_millis, 0);
    }

    #[tokio::test]
    async fn nobody_is_bound_by_what_an_earlier_term_was_promised() {
        let clock = Arc::new(Hand::default());
        let hub = active_by(Arc::clone(&clock) as Arc<dyn Clock>);
        assert!(hub.ask_pledges(EPOCH, HALF).now_or_never().is_some());
        hub.announce(ServerId(1), Phase::Active, Some(Epoch(70)));
        let (_, mut receiver) = hub.open(ServerId(2), PUT).unwrap();
        assert_eq!(hello(&mut receiver).bound_millis, 0);
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_cut_off() {
        let hub = active();
        let (_, _reads) = hub.open(ServerId(2), PUT).unwrap();
        for epoch in 0..STREAM_BUFFER as i64 + 1 {
            hub.announce(ServerId(1), Phase::Active, Some(Epoch(100 + epoch)));
        }
        assert!(hub.listeners().is_empty());
    }
}
