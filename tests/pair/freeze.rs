//! A process that stands still and wakes up later: a debugger, a paused container, a
//! machine out of memory.

use milvus_coord_testbed::{
    bed::Bed,
    grpc::Direct,
    load::{Load, Shape},
};

use crate::bounds::{LEASE, LEASE_END, PROGRAM, SHORT_LEASE, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_active_one_is_replaced_and_answers_nothing_old_when_it_wakes() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, SHORT_LEASE);
    let (active, standby) = bed.pair_of(plan("first"), plan("second")).await;
    let (old, own_key) = (bed.active().await, bed.session_of(&active).await);
    let client = bed.client().await;
    let load = Load::start(&client, Shape::default());
    // A client that stays with the old one, whatever happens.
    let direct = Direct::connect(&active.address(), Some(old.server_id)).await.unwrap();
    let loyal = Load::start(&direct, Shape { callers: 8, ..Shape::default() });
    load.successes(100, SOON).await;
    loyal.successes(100, SOON).await;

    // The calls on their way to it hang, as with any server that stands still.
    active.process.freeze().await;
    standby.serves(LEASE_END).await;
    let newcomers = Load::under_way(&client.separate(), 100, SOON).await;

    let before = active.process.log.mark();
    let woken = active.process.thaw();
    active.process.log.wait(before, "rootcoord is in STANDBY ...", SOON).await;
    load.success_since(woken, SOON).await;
    newcomers.successes(100, SOON).await;
    let loyal = loyal.stop().await;
    let stale = loyal.since(woken);
    assert_eq!(stale.successes().count(), 0, "the deposed one answered a call that began after its end");
    load.stop().await.and(loyal).and(newcomers.stop().await).assert_ordered();

    // The same process, and again of use.
    let again = bed.session_of(&active).await;
    assert_eq!(again.server_id, own_key.server_id);
    assert_ne!(again.lease, own_key.lease, "a lease is used for one candidacy");
    standby.kill().await;
    bed.wait_active(&active, LEASE_END).await;
    client.alloc_timestamp(1).await.unwrap();
    assert_eq!(bed.audit().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_stop_ends_no_term_and_breaks_no_order() {
    let bed = Bed::new(PROGRAM).await;
    let (active, _standby) = bed.pair().await;
    let term = bed.active().await;
    let load = Load::under_way(&bed.client().await, 100, SOON).await;
    for millis in [50, 300, 1000] {
        active.process.freeze().await;
        // The length of the fault, not a wait for anything.
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
        let woken = active.process.thaw();
        load.success_since(woken, SOON).await;
    }
    load.stop().await.assert_ordered();
    assert_eq!(bed.active().await.revision, term.revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_standby_disturbs_nobody_and_is_of_use_again_when_it_wakes() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, SHORT_LEASE);
    let (active, standby) = bed.pair_of(plan("first"), plan("second")).await;
    let before = bed.session_of(&standby).await;
    let client = bed.client().await;
    let load = Load::start(&client, Shape::default());
    standby.process.freeze().await;
    let sessions = bed.sessions().await;
    let lost = |all: &[milvus_coord_testbed::session::Session]| all.iter().all(|s| s.lease != before.lease);
    sessions.wait("the frozen standby's lease to end", LEASE_END, lost).await;
    load.successes(100, SOON).await;
    standby.process.thaw();
    let after = bed.session_of(&standby).await;
    assert_eq!(after.server_id, before.server_id);
    let killed = active.kill().await;
    load.success_since(killed, LEASE_END).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
}
