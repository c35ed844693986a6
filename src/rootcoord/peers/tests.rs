//! What callers rely on when they tell proxies, over real gRPC on a network in memory. Time is
//! paused: it jumps to the next timer when there is nothing else to do.

use std::time::Duration;

use milvus_proto::{
    common::{MsgBase, MsgType},
    proxy::{InvalidateCollMetaCacheRequest, RefreshPolicyInfoCacheRequest},
};
use tokio::time::Instant;

use super::{
    Forget, Invalidation, Patience, Peers as _, PolicyChange,
    testing::{A, B, Bed, Mood, OWN, Told, Toy, refusal, until},
};
use crate::{
    ids::CollectionId,
    rpc::merr::{Kind, MilvusError},
    telemetry::{log::LogLevel, testing::lines_of},
    tso::hybrid::Timestamp,
};

const MS: Duration = Duration::from_millis(1);

fn notice(ts: u64, what: Forget) -> Invalidation {
    Invalidation { ts: Timestamp(ts), database: "db".to_owned(), what }
}

fn name(ts: u64, name: &str) -> Invalidation {
    notice(ts, Forget::Names(vec![name.to_owned()]))
}

fn collection_id(ts: u64, id: i64) -> Invalidation {
    notice(ts, Forget::Collection(CollectionId(id)))
}

/// What a proxy has been told, answered or not, in short.
fn told(toy: &Toy<Told>) -> Vec<(u64, String)> {
    in_short(toy.take_asked())
}

/// What it has done.
fn done(toy: &Toy<Told>) -> Vec<(u64, String)> {
    in_short(std::mem::take(&mut *toy.done.lock()))
}

fn in_short(told: Vec<Told>) -> Vec<(u64, String)> {
    told.into_iter()
        .map(|told| match told {
            Told::Invalidate(request) => {
                let ts = request.base.expect("a base").timestamp;
                (ts, format!("{}{}", request.collection_name, request.collection_id))
            }
            Told::Refresh(_) => (0, "policy".to_owned()),
            Told::Metrics(_) | Told::Rates(_) => panic!("nobody has limits here"),
        })
        .collect()
}

fn heard(all: &[(u64, &str)]) -> Vec<(u64, String)> {
    all.iter().map(|&(ts, what)| (ts, what.to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn proxies_are_told_as_milvus_tells_them() {
    let mut bed = Bed::new();
    let toys = [bed.proxy(5, A), bed.proxy(6, B)];
    let names = notice(9, Forget::Names(vec!["a".to_owned(), "b".to_owned()]));
    bed.clients.invalidate(names).await.expect("all are well");
    bed.clients.invalidate(collection_id(10, 7)).await.expect("all are well");
    bed.clients.invalidate(notice(11, Forget::Dropped(CollectionId(7)))).await.expect("all are well");
    bed.clients.refresh_policy(PolicyChange::ReloadAll).await.expect("all are well");
    for (toy, id) in toys.iter().zip([5, 6]) {
        let base = |timestamp, kind: MsgType| {
            let (msg_type, source_id) = (kind.into(), OWN.0);
            Some(MsgBase { msg_type, timestamp, source_id, target_id: id, ..MsgBase::default() })
        };
        let name = |name: &str| {
            Told::Invalidate(InvalidateCollMetaCacheRequest {
                base: base(9, MsgType::Undefined),
                db_name: "db".to_owned(),
                collection_name: name.to_owned(),
                collection_id: 0,
            })
        };
        let collection = |ts, kind| {
            Told::Invalidate(InvalidateCollMetaCacheRequest {
                base: base(ts, kind),
                db_name: "db".to_owned(),
                collection_name: String::new(),
                collection_id: 7,
            })
        };
        let mut asked = toy.take_asked();
        // Names are told at once, in any order.
        if asked.first() == Some(&name("b")) {
            asked.swap(0, 1);
        }
        let refresh = RefreshPolicyInfoCacheRequest { base: None, op_type: 7, op_key: String::new() };
        let expected = [
            name("a"),
            name("b"),
            collection(10, MsgType::Undefined),
            collection(11, MsgType::DropCollection),
            Told::Refresh(refresh),
        ];
        assert_eq!(asked, expected);
        let metadata = toy.metadata.lock().clone();
        assert_eq!(metadata["cluster"], "by-dev");
        assert_eq!(metadata["serverid"], id.to_string());
        assert_eq!(metadata["sourceid"], "QEBtaWx2dXMtbWVtYmVyQEA=");
    }
}

#[test]
fn without_proxies_there_is_a_line_and_no_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let lines = lines_of(LogLevel::Info, || {
        runtime.block_on(async {
            let bed = Bed::new();
            assert_eq!(bed.clients.invalidate(name(1, "a")).await, Ok(()));
            assert_eq!(bed.clients.refresh_policy(PolicyChange::ReloadAll).await, Ok(()));
            bed.register("proxy-5", 5, A);
            bed.register("proxy-5", 5, A);
            bed.unregister("proxy-5");
        });
    });
    let expected = [
        r#"[WARN] ["proxy client is empty, InvalidateCollectionMetaCache will not send to any client"]"#,
        r#"[WARN] ["proxy client is empty, RefreshPrivilegeInfoCache will not send to any client"]"#,
        r#"[INFO] ["succeed to create proxy client"] [address=10.0.0.1:19529] [serverID=5]"#,
        r#"[INFO] ["remove proxy client"] ["proxy address"=10.0.0.1:19529] ["proxy id"=5]"#,
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_hangs_is_waited_for_once_and_told_the_newest_of_everything_later() {
    let mut bed = Bed::new();
    let (hanging, well) = (bed.proxy(5, A), bed.proxy(6, B));
    hanging.mood.send_replace(Mood::Hanging);
    let patience = Patience::default();
    let began = Instant::now();
    assert_eq!(bed.clients.invalidate(name(1, "a")).await, Ok(()));
    let took = began.elapsed();
    assert!(took >= patience.wait && took < patience.wait + MS * 100, "{took:?}");
    assert_eq!(told(&well), heard(&[(1, "a0")]));

    for ts in 2..5 {
        let began = Instant::now();
        assert_eq!(bed.clients.invalidate(name(ts, "a")).await, Ok(()));
        assert_eq!(bed.clients.invalidate(collection_id(ts, 7)).await, Ok(()));
        assert!(began.elapsed() < patience.late * 2 + MS * 100, "{:?}", began.elapsed());
        assert_eq!(told(&well), heard(&[(ts, "a0"), (ts, "7")]));
    }
    // Nothing is lost while it hangs, however long.
    tokio::time::sleep(Duration::from_secs(300)).await;
    hanging.mood.send_replace(Mood::Well);
    until(|| hanging.done.lock().len() >= 2).await;
    // Caught up: a call is answered at once, and nothing more comes.
    let began = Instant::now();
    assert_eq!(bed.clients.invalidate(name(9, "b")).await, Ok(()));
    assert!(began.elapsed() < MS * 100);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(done(&hanging), heard(&[(4, "a0"), (4, "7"), (9, "b0")]));
}

#[tokio::test(start_paused = true)]
async fn what_a_late_proxy_hears_in_a_later_call_is_not_told_again() {
    let mut bed = Bed::new();
    let toy = bed.proxy(5, A);
    toy.mood.send_replace(Mood::Hanging);
    assert_eq!(bed.clients.invalidate(name(1, "a")).await, Ok(()));
    // The repetition is on its way, and is not answered either.
    until(|| toy.asked.lock().len() > 1).await;
    bed.kill(A).await;
    let toy = bed.proxy(5, A);
    assert_eq!(bed.clients.invalidate(name(2, "a")).await, Ok(()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let told = told(&toy);
    assert_eq!(told.iter().filter(|(ts, _)| *ts == 2).count(), 1, "{told:?}");
    assert!(told.len() <= 2, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_caller_s_error_and_the_others_are_told_all_the_same() {
    let mut bed = Bed::new();
    let (sick, well) = (bed.proxy(5, A), bed.proxy(6, B));
    sick.mood.send_replace(Mood::Answering(refusal(Kind::ServiceInternal)));
    let error = bed.clients.invalidate(name(1, "a")).await.expect_err("it refuses");
    let text = "InvalidateCollectionMetaCache failed, proxyID = 5, err = service internal error: sick";
    assert_eq!(error, MilvusError::plain(text));
    assert_eq!(told(&well), heard(&[(1, "a0")]));
    // Milvus passes this one on as it is.
    let error = bed.clients.refresh_policy(PolicyChange::ReloadAll).await.expect_err("it refuses");
    assert_eq!((error.code(), &*error.to_string()), (5, "service internal error: sick"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&sick), heard(&[(1, "a0"), (0, "policy")]), "who was told of it sees to the rest");
}

#[tokio::test(start_paused = true)]
async fn who_is_owed_a_notice_gets_it_although_it_refuses_in_between() {
    let mut bed = Bed::new();
    let toy = bed.proxy(5, A);
    // As a proxy says it that is about to begin, or to end.
    toy.mood.send_replace(Mood::Answering(MilvusError::not_ready("proxy", 5, "Abnormal").into()));
    assert_eq!(bed.clients.refresh_policy(PolicyChange::ReloadAll).await, Ok(()));
    assert_eq!(bed.clients.invalidate(name(1, "a")).await, Ok(()));
    toy.mood.send_replace(Mood::Answering(refusal(Kind::ServiceInternal)));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(bed.clients.invalidate(name(2, "a")).await.is_err(), "this caller hears of it");
    assert_eq!(done(&toy), []);
    toy.mood.send_replace(Mood::Well);
    until(|| toy.done.lock().len() >= 2).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut done = done(&toy);
    done.sort();
    assert_eq!(done, heard(&[(0, "policy"), (1, "a0")]));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_gone_is_not_waited_for() {
    let mut bed = Bed::new();
    let (hanging, well) = (bed.proxy(5, A), bed.proxy(6, B));
    hanging.mood.send_replace(Mood::Hanging);
    let clients = bed.clients.clone();
    let began = Instant::now();
    let (result, ()) = tokio::join!(clients.invalidate(name(1, "a")), async {
        until(|| !hanging.asked.lock().is_empty()).await;
        bed.unregister("proxy-5");
    });
    assert_eq!(result, Ok(()));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(told(&well), heard(&[(1, "a0")]));

    // The same for what is owed already.
    bed.register("proxy-5", 5, A);
    assert_eq!(bed.clients.invalidate(name(2, "a")).await, Ok(()));
    bed.unregister("proxy-5");
    tokio::time::sleep(Duration::from_secs(10)).await;
    hanging.take_asked();
    hanging.mood.send_replace(Mood::Well);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&hanging), []);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_was_restarted_is_another_one() {
    let mut bed = Bed::new();
    let old = bed.proxy(5, A);
    assert_eq!(bed.clients.invalidate(name(1, "a")).await, Ok(()));
    // It crashes: its session stays until its lease ends.
    bed.kill(A).await;
    let began = Instant::now();
    assert_eq!(bed.clients.invalidate(name(2, "a")).await, Ok(()));
    let took = began.elapsed();
    assert!(took >= Patience::default().wait, "it might only be cut off: {took:?}");
    // Its successor has its address, and another id: the old one is dead.
    let new = bed.proxy(8, A);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    assert_eq!(bed.clients.invalidate(name(3, "a")).await, Ok(()));
    assert!(began.elapsed() < MS * 100, "{:?}", began.elapsed());
    assert_eq!(told(&new), heard(&[(3, "a0")]));
    assert_eq!(told(&old), heard(&[(1, "a0")]));
    bed.unregister("proxy-5");
    assert_eq!(bed.clients.invalidate(name(4, "a")).await, Ok(()));
    assert_eq!(told(&new), heard(&[(4, "a0")]));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_term_ends_what_is_under_way_and_what_is_owed() {
    let mut bed = Bed::new();
    let toy = bed.proxy(5, A);
    toy.mood.send_replace(Mood::Hanging);
    assert_eq!(bed.clients.invalidate(name(1, "a")).await, Ok(()));
    let clients = bed.clients.clone();
    let began = Instant::now();
    let (told_late, released, ()) = tokio::join!(
        clients.invalidate(name(2, "b")),
        // There is no querycoord.
        clients.release_collection(CollectionId(7)),
        async {
            tokio::time::sleep(MS * 50).await;
            clients.end().await;
        }
    );
    assert!(began.elapsed() < MS * 100, "{:?}", began.elapsed());
    let cancelled = Err(MilvusError::new(Kind::Canceled));
    assert_eq!((told_late, released), (cancelled.clone(), cancelled));
    toy.take_asked();
    toy.mood.send_replace(Mood::Well);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&toy), []);
    // The next term.
    let began = Instant::now();
    assert_eq!(bed.clients.invalidate(name(3, "c")).await, Ok(()));
    assert!(began.elapsed() < MS * 100);
    assert_eq!(told(&toy), heard(&[(3, "c0")]));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_leaves_nothing_untold() {
    let mut bed = Bed::new();
    let toy = bed.proxy(5, A);
    toy.mood.send_replace(Mood::Hanging);
    assert!(tokio::time::timeout(MS * 100, bed.clients.invalidate(name(1, "a"))).await.is_err());
    assert!(!toy.take_asked().is_empty(), "it was on its way");
    // The proxy must have seen that it was given up, or it would do both.
    tokio::time::sleep(MS * 100).await;
    toy.mood.send_replace(Mood::Well);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(done(&toy), heard(&[(1, "a0")]));
}

#[tokio::test(start_paused = true)]
async fn there_is_an_end_to_what_a_proxy_can_be_owed() {
    let mut bed = Bed::with(Patience { most_owed: 20, ..Patience::default() });
    let toy = bed.proxy(5, A);
    toy.mood.send_replace(Mood::Hanging);
    let names = |count: usize| notice(1, Forget::Names((0..count).map(|n| format!("n{n}")).collect()));
    let began = Instant::now();
    assert_eq!(bed.clients.invalidate(names(20)).await, Ok(()));
    assert!(began.elapsed() < Patience::default().wait + MS * 100, "one bound for all names");
    assert_eq!(bed.clients.invalidate(names(20)).await, Ok(()), "they need no more room");
    let error = bed.clients.invalidate(name(2, "more")).await.expect_err("there is no room");
    let text = "InvalidateCollectionMetaCache failed, proxyID = 5, \
                err = 20 earlier notices are not answered yet";
    assert_eq!(error, MilvusError::plain(text));
}
