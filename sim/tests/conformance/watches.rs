//! Watches among writes, leases and compactions: the same events in the same order.

use std::collections::BTreeMap;

use etcd_client::proto::{
    PbCompactionRequest, PbEvent, PbWatchRequest, PbWatchRequestUnion, PbWatchResponse,
};
use proptest::{prelude::*, test_runner::TestCaseError};
use tokio::{
    sync::mpsc,
    time::{Duration, timeout},
};
use tonic::Streaming;

use super::{
    Twins, put,
    requests::{Base, Step, step},
    wire::Peer,
};

/// Etcd brings watches that begin in the past up to date every 100 ms.
const PATIENCE: Duration = Duration::from_secs(5);
/// The id of a watch of our own, whose one event comes last.
const LAST: i64 = 100;

/// What happens on a watch stream, or beside it.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A new watch.
    Watch(Wish),
    /// The watch of that id ends.
    Cancel(i64),
    /// A request that may change something.
    Request(Step),
}

/// A watch, whose revision counts from the begin of its sequence.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    id: i64,
    key: Vec<u8>,
    range_end: Vec<u8>,
    from: i64,
    prev_kv: bool,
    filters: Vec<i32>,
}

impl Wish {
    fn request(&self, base: Base) -> PbWatchRequest {
        let mut union = PbWatchRequestUnion::CreateRequest(Default::default());
        if let PbWatchRequestUnion::CreateRequest(create) = &mut union {
            create.watch_id = self.id;
            create.key = self.key.clone();
            create.range_end = self.range_end.clone();
            create.start_revision = if self.from == 0 { 0 } else { base.revision + self.from };
            create.prev_kv = self.prev_kv;
            create.filters = self.filters.clone();
        }
        PbWatchRequest { request_union: Some(union) }
    }
}

/// What one watch was told. Events that come in one answer in one etcd may come in two
/// in the other if the watch began in the past.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<PbEvent>,
    ends: Vec<(i64, String)>,
}

/// One etcd's end of the stream.
struct End {
    requests: mpsc::Sender<PbWatchRequest>,
    answers: Streaming<PbWatchResponse>,
    told: BTreeMap<i64, Told>,
}

impl End {
    async fn open(peer: &Peer) -> Self {
        let last = Wish {
            id: LAST,
            key: b"revision".to_vec(),
            range_end: vec![],
            from: 0,
            prev_kv: false,
            filters: vec![],
        };
        let first = last.request(Base { revision: 0, lease: 0 });
        let opened = peer.stream("/etcdserverpb.Watch/Watch", first).await;
        let (requests, answers) = opened.expect("a watch stream");
        let mut end = Self { requests, answers, told: BTreeMap::new() };
        end.until("the first watch", |answer| answer.created).await;
        end
    }

    async fn send(&self, request: PbWatchRequest) {
        self.requests.send(request).await.expect("the stream is open");
    }

    /// Reads up to the answer that is looked for; all others are noted.
    async fn until(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&PbWatchResponse) -> bool,
    ) -> PbWatchResponse {
        loop {
            let answer = match timeout(PATIENCE, self.answers.message()).await {
                Ok(answer) => answer.expect("the stream goes on").expect("the stream stays open"),
                Err(_) => panic!("no answer within {PATIENCE:?}: {what}; told so far: {:?}", self.told),
            };
            let revision = answer.header.as_ref().map_or(0, |header| header.revision);
            if let Some(event) = answer.events.last() {
                let of = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
                assert!(revision >= of, "an answer as of {revision} tells of {of}");
            }
            let found = wanted(&answer);
            let told = self.told.entry(answer.watch_id).or_default();
            told.events.extend(answer.events.iter().cloned());
            if answer.canceled {
                told.ends.push((answer.compact_revision, answer.cancel_reason.clone()));
            }
            if found {
                return answer;
            }
        }
    }

    fn count(&self, id: i64) -> (usize, usize) {
        self.told.get(&id).map_or((0, 0), |told| (told.events.len(), told.ends.len()))
    }

    /// Waits until watch `id` has been told so much.
    async fn until_told(&mut self, id: i64, (events, ends): (usize, usize)) {
        while self.count(id) < (events, ends) {
            self.until(&format!("{events} events and {ends} ends of watch {id}"), |answer| {
                answer.watch_id == id
            })
            .await;
        }
    }
}

/// Both ends of one sequence.
struct Ends {
    real: End,
    fake: End,
}

impl Ends {
    /// The fake one answers a progress request when it has told everything; then the real
    /// one must have told, or tell soon, as much.
    async fn catch_up(&mut self) {
        let progress = PbWatchRequestUnion::ProgressRequest(Default::default());
        self.fake.send(PbWatchRequest { request_union: Some(progress) }).await;
        self.fake.until("progress", |answer| answer.watch_id == -1 && !answer.created).await;
        for id in self.fake.told.keys().copied().filter(|id| *id >= 0).collect::<Vec<_>>() {
            self.real.until_told(id, self.fake.count(id)).await;
        }
    }

    async fn create(&mut self, wish: &Wish, base: Base) -> Result<bool, TestCaseError> {
        self.real.send(wish.request(base)).await;
        self.fake.send(wish.request(base)).await;
        let mut real = self.real.until("created", |answer| answer.created).await;
        let mut fake = self.fake.until("created", |answer| answer.created).await;
        super::wire::anonymous(&mut real.header);
        super::wire::anonymous(&mut fake.header);
        let created = !real.canceled;
        prop_assert_eq!(fake, real, "created differently: {:?}", wish);
        self.catch_up().await;
        Ok(created)
    }

    async fn cancel(&mut self, id: i64) -> Result<(), TestCaseError> {
        self.catch_up().await;
        let mut union = PbWatchRequestUnion::CancelRequest(Default::default());
        if let PbWatchRequestUnion::CancelRequest(cancel) = &mut union {
            cancel.watch_id = id;
        }
        let request = PbWatchRequest { request_union: Some(union) };
        self.real.send(request.clone()).await;
        self.fake.send(request).await;
        let is_end = |answer: &PbWatchResponse| answer.canceled && answer.watch_id == id;
        let mut real = self.real.until("canceled", is_end).await;
        let mut fake = self.fake.until("canceled", is_end).await;
        super::wire::anonymous(&mut real.header);
        super::wire::anonymous(&mut fake.header);
        prop_assert_eq!(fake, real);
        Ok(())
    }
}

/// Lives through a sequence with both.
pub(crate) async fn live_through(twins: &Twins, happenings: Vec<Happening>) -> Result<(), TestCaseError> {
    let base = twins.clean().await?;
    let mut ends = Ends { real: End::open(&twins.real).await, fake: End::open(&twins.fake).await };
    let mut watched = Vec::new();
    for happening in happenings {
        match happening {
            Happening::Watch(wish) => {
                if ends.create(&wish, base).await? {
                    watched.push(wish.id);
                }
            }
            Happening::Cancel(id) => {
                // Etcd is silent about watches that it does not know.
                if let Some(at) = watched.iter().position(|watched| *watched == id) {
                    watched.swap_remove(at);
                    ends.cancel(id).await?;
                }
            }
            Happening::Request(step) => {
                if matches!(step, Step::Compact(_)) {
                    ends.catch_up().await;
                }
                twins.ask(base.fix(step)).await?;
            }
        }
    }
    ends.catch_up().await;
    let last = put(&twins.real).await;
    prop_assert_eq!(put(&twins.fake).await, last);
    // All watches that keep up are told of one revision before any is told of the next.
    for end in [&mut ends.real, &mut ends.fake] {
        end.until("the last event", |answer| answer.watch_id == LAST && !answer.events.is_empty()).await;
        end.told.remove(&-1);
        for told in end.told.values_mut() {
            told.events.retain(|event| event.kv.as_ref().is_none_or(|kv| kv.key != b"revision"));
        }
    }
    prop_assert_eq!(ends.fake.told, ends.real.told);
    Ok(())
}

prop_compose! {
    fn wish()(
        id in 1..5_i64,
        key in prop::sample::select(vec![&b"a"[..], b"a/1", b"b", b""]),
        range_end in prop::sample::select(vec![&b""[..], b"a0", b"c", b"\0", b"a"]),
        // Not the compacted revision itself: releases differ in what is left of it.
        from in prop_oneof![3 => Just(0), 1 => Just(-2), 2 => 1..4_i64, 1 => 5..12_i64],
        prev_kv: bool,
        filters in prop_oneof![4 => Just(vec![]), 1 => Just(vec![0]), 1 => Just(vec![1])],
    ) -> Wish {
        Wish { id, key: key.to_vec(), range_end: range_end.to_vec(), from, prev_kv, filters }
    }
}

/// Watches early and late, and requests between them.
pub(crate) fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => wish().prop_map(Happening::Watch),
        1 => (1..5_i64).prop_map(Happening::Cancel),
        8 => step().prop_filter("reads change nothing", |step| !matches!(step, Step::Range(_)))
            .prop_map(Happening::Request),
        // Compactions at the newest revision, where no watch begins.
        1 => Just(Happening::Request(Step::Compact(PbCompactionRequest { revision: 0, physical: false }))),
    ]
}
