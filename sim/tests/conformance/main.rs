//! The fake etcd and a real one are put the same random requests: answers, revisions,
//! errors and watch events must be equal. A failing sequence is shrunk and printed whole.

mod limits;
mod requests;
mod watches;
mod wire;

use std::sync::atomic::{AtomicI64, Ordering};

use etcd_client::proto::{PbCompactionRequest, PbDeleteRequest, PbPutRequest};
use milvus_coord_sim::fake_etcd::{fate::Odds, server::FakeEtcd};
use milvus_coord_testbed::etcd::Etcd;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use requests::{Answer, Base, Step, ask, step};
use tokio::runtime::Runtime;
use wire::{Failure, Peer};

/// A real etcd and a fake one, in the same state.
struct Twins {
    real: Peer,
    fake: Peer,
    /// What stands behind the fake one.
    cluster: FakeEtcd,
    _server: Etcd,
}

impl Twins {
    async fn start() -> Self {
        Self::of(Etcd::single().await.expect("etcd starts")).await
    }

    async fn of(server: Etcd) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let fake = format!("http://{}", listener.local_addr().expect("it is bound"));
        let cluster = FakeEtcd::on_tokio_time(1, Odds::immediate());
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn({
            let cluster = cluster.clone();
            async move { cluster.serve(0, listener).await }
        });
        Self { real: Peer::new(server.endpoint(0)), fake: Peer::new(fake), cluster, _server: server }
    }

    /// Puts a request to both; the answers must be equal.
    async fn ask(&self, step: Step) -> Result<Option<Answer>, TestCaseError> {
        let (real, fake) = tokio::join!(ask(&self.real, step.clone()), ask(&self.fake, step.clone()));
        if let Err(Failure { code: tonic::Code::Unavailable, message }) = &real {
            panic!("the real etcd ended ({message}) at {step:?}");
        }
        prop_assert_eq!(&fake, &real, "fake and real differ on {:?}", step);
        Ok(real.ok())
    }

    /// No keys, nothing below the current revision, and leases that were never used. Also
    /// after a sequence that left the two at different revisions.
    async fn clean(&self) -> Result<Base, TestCaseError> {
        static LEASES: AtomicI64 = AtomicI64::new(1_000);
        loop {
            let (real, fake) = (put(&self.real).await, put(&self.fake).await);
            let (behind, by) =
                if real < fake { (&self.real, fake - real) } else { (&self.fake, real - fake) };
            if by == 0 {
                break;
            }
            for _ in 0..by {
                put(behind).await;
            }
        }
        let all = PbDeleteRequest { key: vec![0], range_end: vec![0], prev_kv: false };
        let deleted =
            (ask(&self.real, Step::Delete(all.clone())).await, ask(&self.fake, Step::Delete(all)).await);
        prop_assert!(deleted.0.is_ok() && deleted.1.is_ok(), "{:?}", deleted);
        let revision = put(&self.real).await;
        prop_assert_eq!(revision, put(&self.fake).await);
        self.ask(Step::Compact(PbCompactionRequest { revision, physical: false })).await?;
        Ok(Base { revision, lease: LEASES.fetch_add(10, Ordering::Relaxed) })
    }
}

/// Puts a key that the sequences do not know, and says at which revision.
async fn put(peer: &Peer) -> i64 {
    let request = PbPutRequest { key: b"revision".to_vec(), ..Default::default() };
    match ask(peer, Step::Put(request)).await {
        Ok(Answer::Put(put)) => put.header.map_or(0, |header| header.revision),
        other => panic!("a put without options: {other:?}"),
    }
}

/// Cases enough to matter; proptest's `PROPTEST_CASES` asks for more.
fn check<S: Strategy>(
    cases: u32,
    strategy: S,
    mut test: impl FnMut(&Runtime, &Twins, S::Value) -> Result<(), TestCaseError>,
) {
    let runtime = Runtime::new().expect("a runtime");
    let twins = runtime.block_on(Twins::start());
    let asked = Config::default();
    let config = Config {
        cases: if asked.cases == 256 { cases } else { asked.cases },
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..asked
    };
    let mut runner = TestRunner::new(config);
    let test = std::cell::RefCell::new(&mut test);
    if let Err(failure) = runner.run(&strategy, |input| (test.borrow_mut())(&runtime, &twins, input)) {
        panic!("{failure}");
    }
}

#[test]
fn requests_get_the_answers_of_a_real_etcd() {
    check(300, prop::collection::vec(step(), 1..15), |runtime, twins, steps| {
        runtime.block_on(async {
            let base = twins.clean().await?;
            for step in steps {
                twins.ask(base.fix(step)).await?;
            }
            Ok(())
        })
    });
}

#[test]
fn watches_are_told_what_a_real_etcd_tells() {
    check(100, prop::collection::vec(watches::happening(), 1..15), |runtime, twins, happenings| {
        runtime.block_on(watches::live_through(twins, happenings))
    });
}
