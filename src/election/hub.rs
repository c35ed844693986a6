//! The streams that other instances keep to this one, seen from here.
//!
//! Over them this instance tells in which term it serves, and asks for pledges. A
//! standby may depose by a hint only a term that it was told of on such a stream, so
//! those told are exactly those whose pledge counts: all of them must give it, and
//! one whose stream has broken can't.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use milvus_proto::peer::{Hello, Phase, PledgeRequest, WatchEvent, watch_event::Kind};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::ids::{Epoch, Role, ServerId};

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
    /// Who was told of the term in `hello` and may still act upon it.
    told: HashSet<ServerId>,
    round: Option<Round>,
}

/// See the module.
#[derive(Debug)]
pub struct PeerHub {
    next: AtomicU64,
    state: Mutex<State>,
    pledged: Notify,
}

impl PeerHub {
    /// A hub of an instance that does not know its id yet.
    pub fn new(role: Role) -> Arc<Self> {
        let hello = Hello {
            role: role.name().to_owned(),
            server_id: 0,
            phase: Phase::WaitingForEtcd.into(),
            epoch: 0,
        };
        let state = State { hello, streams: HashMap::new(), told: HashSet::new(), round: None };
        Arc::new(Self { next: AtomicU64::new(1), state: Mutex::new(state), pledged: Notify::new() })
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
        }
        state.hello = hello;
        let ids: Vec<u64> = state.streams.keys().copied().collect();
        for id in ids {
            state.greet(id);
        }
    }

    /// A new stream from `caller`; its first event is a Hello. `None`: too many.
    pub fn open(&self, caller: ServerId) -> Option<(u64, StreamReceiver)> {
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        if state.streams.len() >= MAX_STREAMS {
            return None;
        }
        state.streams.insert(id, Stream { caller, sender });
        state.greet(id);
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

    /// These have neither a session any more nor, on this machine, a process: whatever
    /// they were told, they must hear it again before they can use it.
    pub fn forget(&self, gone: impl Fn(ServerId) -> bool) {
        let mut state = self.state.lock();
        let open: HashSet<ServerId> = state.streams.values().map(|stream| stream.caller).collect();
        state.told.retain(|id| open.contains(id) || !gone(*id));
    }

    /// Asks all who could depose `epoch` by a hint not to, for `millis` from now.
    /// Returns once all have promised; drop the future to give up.
    pub async fn ask_pledges(&self, epoch: Epoch, millis: u32) {
        let nonce = self.next.fetch_add(1, Ordering::Relaxed);
        {
            let mut state = self.state.lock();
            let missing = state.told.clone();
            state.round = Some(Round { nonce, missing });
            let request = PledgeRequest { nonce, epoch: epoch.0, millis };
            for stream in state.streams.values() {
                let event = WatchEvent { kind: Some(Kind::PledgeRequest(request)) };
                // A full stream is a reader that can't promise anything either.
                let _ = stream.sender.try_send(Ok(event));
            }
        }
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
                return;
            }
            pledged.await;
        }
    }
}

impl State {
    fn greet(&mut self, id: u64) {
        let Some(stream) = self.streams.get(&id) else { return };
        let event = WatchEvent { kind: Some(Kind::Hello(self.hello.clone())) };
        if self.hello.epoch != 0 {
            // Counted before it is sent: it may arrive even if the sender is told otherwise.
            self.told.insert(stream.caller);
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

    const EPOCH: Epoch = Epoch(61);

    fn active() -> Arc<PeerHub> {
        let hub = PeerHub::new(Role::RootCoord);
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
        let hub = PeerHub::new(Role::RootCoord);
        let (_, mut receiver) = hub.open(ServerId(2)).unwrap();
        assert_eq!(hello(&mut receiver).phase(), Phase::WaitingForEtcd);
        hub.announce(ServerId(1), Phase::Active, Some(EPOCH));
        hub.announce(ServerId(1), Phase::Active, Some(EPOCH));
        let heard = hello(&mut receiver);
        assert_eq!((heard.server_id, heard.phase(), heard.epoch), (1, Phase::Active, 61));
        assert!(receiver.try_recv().is_err());
    }

    #[tokio::test]
    async fn alone_there_is_nobody_to_ask() {
        assert_eq!(active().ask_pledges(EPOCH, 500).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn all_who_were_told_must_promise() {
        let hub = active();
        let (first, mut first_reads) = hub.open(ServerId(2)).unwrap();
        let (second, mut second_reads) = hub.open(ServerId(3)).unwrap();
        let mut asking = Box::pin(hub.ask_pledges(EPOCH, 500));
        assert_eq!(asking.as_mut().now_or_never(), None);
        hub.pledge(first, asked(&mut first_reads), EPOCH);
        assert_eq!(asking.as_mut().now_or_never(), None);
        let nonce = asked(&mut second_reads);
        hub.pledge(second, nonce + 1, EPOCH);
        hub.pledge(second, nonce, Epoch(60));
        assert_eq!(asking.as_mut().now_or_never(), None);
        hub.pledge(second, nonce, EPOCH);
        assert_eq!(asking.as_mut().now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn who_was_told_and_is_out_of_reach_keeps_the_promise_from_being_complete() {
        let hub = active();
        let (id, _reads) = hub.open(ServerId(2)).unwrap();
        hub.close(id);
        assert_eq!(hub.ask_pledges(EPOCH, 500).now_or_never(), None);
        hub.forget(|gone| gone == ServerId(2));
        assert_eq!(hub.ask_pledges(EPOCH, 500).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_cut_off() {
        let hub = active();
        let (_, _reads) = hub.open(ServerId(2)).unwrap();
        for epoch in 0..STREAM_BUFFER as i64 + 1 {
            hub.announce(ServerId(1), Phase::Active, Some(Epoch(100 + epoch)));
        }
        assert!(hub.listeners().is_empty());
    }
}
