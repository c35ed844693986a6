//! Wall clocks that jump.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use milvus_coord_testbed::{bed::Bed, faketime::Faketime, grpc::Span, load::Load, or_skip};

use crate::bounds::{FAST, PROGRAM, SOON};

/// Seconds by which a timestamp's physical part is ahead of this machine's clock.
fn ahead(span: Span) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let physical = span.last() >> 18;
    (i64::try_from(physical).unwrap() - i64::try_from(now).unwrap()) / 1000
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_neither_way_breaks_the_order_and_no_jump_ahead_is_followed() {
    let bed = Bed::new(PROGRAM).await;
    let clock = or_skip!(Faketime::new(bed.etcd.folder()));
    let (first, second) = bed.pair_of(bed.plan("first").by(&clock), bed.plan("second")).await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;

    for jump in [3600, -3600, 86_400 * 400, 0] {
        clock.set(jump).unwrap();
        // Long enough for the clock to be read and the window to be extended.
        tokio::time::sleep(Duration::from_secs(4)).await;
        load.successes(100, SOON).await;
        let ahead = ahead(client.alloc_timestamp(1).await.unwrap());
        assert!(ahead < 30, "a jump of {jump} s was followed: timestamps are {ahead} s ahead");
    }

    let killed = first.kill().await;
    second.serves(FAST).await;
    load.success_since(killed, FAST).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    assert_eq!(bed.audit().await.len(), 2, "a clock that jumps ends no term");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_whose_clock_is_behind_goes_on_from_the_window() {
    let bed = Bed::new(PROGRAM).await;
    let clock = or_skip!(Faketime::new(bed.etcd.folder()));
    clock.set(-7200).unwrap();
    let (first, second) = bed.pair_of(bed.plan("first"), bed.plan("second").by(&clock)).await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;
    let killed = first.kill().await;
    second.serves(FAST).await;
    load.success_since(killed, FAST).await;
    load.successes(500, SOON).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    assert_eq!(bed.audit().await.len(), 2);
}
