//! Active-standby switched off, as Milvus ships it: one instance, and the key says so.

use milvus_coord_testbed::{bed::Bed, instance::Plan, log::Mark};

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

fn alone(bed: &Bed, name: &str) -> Plan {
    bed.plan(name).set("rootCoord.enableActiveStandby", false).set(LEASE, LONG_LEASE)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_names_the_holder_and_gives_up_with_code_three() {
    let bed = Bed::new(PROGRAM).await;
    let first = alone(&bed, "first").start();
    first.serves(SOON).await;
    let holder = bed.active().await;
    let second = alone(&bed, "second").set("common.session.retryTimes", 1).start();
    second.says(&holder.address, SOON).await;
    assert_eq!(second.process.exit(SOON).await.code, Some(3));
    assert_eq!(bed.active().await, holder, "the holder was not disturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_takes_over_when_the_holder_is_killed() {
    let bed = Bed::new(PROGRAM).await;
    let first = alone(&bed, "first").start();
    first.serves(SOON).await;
    let client = bed.client().await;
    let before = client.alloc_timestamp(10).await.unwrap();
    let second = alone(&bed, "second").start();
    second.says(&first.address(), SOON).await;
    first.kill().await;
    second.serves(FAST).await;
    let after = client.alloc_timestamp(10).await.unwrap();
    assert!(after.first > before.last());
    assert_eq!(second.process.log.count(Mark::default(), "CompareAndSwap error"), 0);
    assert_eq!(bed.audit().await.len(), 2);
}
