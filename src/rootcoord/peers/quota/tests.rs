use std::time::Duration;

use milvus_proto::{
    common::{ErrorCode, MsgBase, MsgType},
    internal::{Rate as RateOnWire, RateType},
    milvus::{GetMetricsRequest, QuotaState},
    proxy::CollectionRate,
};
use tokio::time::Instant;

use super::{LATE, WAIT};
use crate::{
    ids::{CollectionId, ServerId},
    rootcoord::{
        peers::{
            Peers as _,
            testing::{A, Asked, B, Bed, FIGURES, Mood, OWN, Told, refusal},
        },
        quota::{Access, CollectionRates, NO_LIMIT, Rate, Rates, Reason},
    },
    rpc::merr::{Kind, MilvusError},
    telemetry::{log::LogLevel, testing::lines_of},
};

const MS: Duration = Duration::from_millis(1);

fn rates() -> Rates {
    let limited = CollectionRates {
        rates: [(Rate::Insert, 10.0), (Rate::Upsert, NO_LIMIT), (Rate::Search, 3.0)].into(),
        ..CollectionRates::default()
    };
    let denied = CollectionRates {
        rates: [(Rate::BulkLoad, 0.0)].into(),
        denied: [(Access::Writing, Reason::MemoryQuotaExhausted), (Access::Reading, Reason::ForceDeny)]
            .into(),
    };
    [(CollectionId(7), limited), (CollectionId(8), denied)].into()
}

#[track_caller]
fn check_asked(request: &GetMetricsRequest) {
    assert_eq!(request.request, r#"{"metric_type":"system_info"}"#);
    let base = request.base.as_ref().expect("a base");
    assert_eq!((base.msg_type(), base.source_id), (MsgType::SystemInfo, OWN.0));
}

#[tokio::test(start_paused = true)]
async fn each_proxy_gets_its_part_as_milvus_sends_it() {
    let mut bed = Bed::new();
    let toys = [bed.proxy(5, A), bed.proxy(6, B)];
    let told = bed.clients.set_rates(&rates()).await;
    assert_eq!(told, [(ServerId(5), Ok(())), (ServerId(6), Ok(()))]);
    let rate = |kind: RateType, r| RateOnWire { rt: kind.into(), r };
    let limited = CollectionRate {
        collection: 7,
        rates: vec![
            rate(RateType::DmlInsert, 5.0),
            rate(RateType::DmlUpsert, f64::MAX),
            rate(RateType::DqlSearch, 1.5),
        ],
        ..CollectionRate::default()
    };
    let denied = CollectionRate {
        collection: 8,
        rates: vec![rate(RateType::DmlBulkLoad, 0.0)],
        states: vec![QuotaState::DenyToWrite.into(), QuotaState::DenyToRead.into()],
        codes: vec![ErrorCode::MemoryQuotaExhausted.into(), ErrorCode::ForceDeny.into()],
    };
    for (toy, id) in toys.iter().zip([5, 6]) {
        let asked = toy.take_asked();
        let [Told::Rates(request)] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!(request.rates, [limited.clone(), denied.clone()]);
        let base = request.base.clone().expect("a base");
        let (msg_id, timestamp) = (base.msg_id, base.timestamp);
        assert_eq!(i64::try_from(timestamp), Ok(msg_id));
        let expected = MsgBase { msg_id, timestamp, source_id: OWN.0, target_id: id, ..MsgBase::default() };
        assert_eq!(base, expected);
    }
    // Told even if there are none: a proxy then forgets those that it has.
    bed.clients.set_rates(&Rates::new()).await;
    assert!(matches!(&toys[0].take_asked()[..], [Told::Rates(request)] if request.rates.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn everybody_is_asked_for_figures() {
    let mut bed = Bed::new();
    let (proxy, data, query) = (bed.proxy(5, A), bed.data_coord(3, B), bed.query_coord(4, "10.0.0.3:1"));
    assert_eq!(bed.clients.proxy_metrics().await, [(ServerId(5), Ok(FIGURES.to_owned()))]);
    assert_eq!(bed.clients.data_metrics().await, Ok(FIGURES.to_owned()));
    assert_eq!(bed.clients.query_metrics().await, Ok(FIGURES.to_owned()));
    let told = proxy.take_asked();
    let [Told::Metrics(request)] = &told[..] else { panic!("{told:?}") };
    check_asked(request);
    for coordinator in [data, query] {
        let asked = coordinator.take_asked();
        let [Asked::Metrics(request)] = &asked[..] else { panic!("{asked:?}") };
        check_asked(request);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_in_milvus_s_words() {
    let mut bed = Bed::new();
    let (proxy, query) = (bed.proxy(5, A), bed.query_coord(4, B));
    let sick = Mood::Answering(refusal(Kind::ParameterInvalid));
    proxy.mood.send_replace(sick.clone());
    query.mood.send_replace(sick);
    let words = |what: &str| MilvusError::plain(format!("{what}, err = invalid parameter: sick"));
    assert_eq!(bed.clients.query_metrics().await, Err(words("quotaCenter get Query cluster failed")));
    let refused = bed.clients.set_rates(&rates()).await;
    assert_eq!(refused, [(ServerId(5), Err(words("SetRates failed, proxyID = 5")))]);
    let refused = bed.clients.proxy_metrics().await;
    assert_eq!(refused, [(ServerId(5), Err(words("GetMetrics failed, proxyID = 5")))]);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_holds_up_the_others_for_less_the_second_time() {
    let mut bed = Bed::new();
    let (hanging, well) = (bed.proxy(5, A), bed.proxy(6, B));
    hanging.mood.send_replace(Mood::Hanging);
    for patience in [WAIT, LATE, LATE] {
        let begun = Instant::now();
        let told = bed.clients.set_rates(&rates()).await;
        let took = begun.elapsed();
        assert!(took >= patience && took < patience + 100 * MS, "{took:?}");
        assert!(told[0].1.is_err());
        assert_eq!(told[1], (ServerId(6), Ok(())));
        assert_eq!(well.take_asked().len(), 1);
    }
    hanging.mood.send_replace(Mood::Well);
    assert!(bed.clients.set_rates(&rates()).await[0].1.is_ok());
    hanging.mood.send_replace(Mood::Hanging);
    let begun = Instant::now();
    bed.clients.proxy_metrics().await;
    assert!(begun.elapsed() >= WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_hangs_is_given_up() {
    let mut bed = Bed::new();
    let data = bed.data_coord(3, A);
    data.mood.send_replace(Mood::Hanging);
    let begun = Instant::now();
    assert!(bed.clients.data_metrics().await.is_err());
    assert!(begun.elapsed() <= Duration::from_secs(10) + 100 * MS);
}

#[test]
fn that_there_is_nobody_to_tell_is_said_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let lines = lines_of(LogLevel::Info, || {
        runtime.block_on(async {
            let bed = Bed::new();
            for _ in 0..3 {
                assert_eq!(bed.clients.proxy_metrics().await, []);
                assert_eq!(bed.clients.set_rates(&rates()).await, []);
            }
        });
    });
    assert_eq!(
        lines,
        [
            r#"[WARN] ["proxy client is empty, GetMetrics will not send to any client"]"#,
            r#"[WARN] ["proxy client is empty, SetRates will not send to any client"]"#,
        ]
    );
}
