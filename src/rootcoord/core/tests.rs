use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    election::gate::NotServing,
    etcd::{
        commit::memory::{Fault, MemoryStore},
        txn::{Guard, Op},
    },
    ids::Epoch,
    rootcoord::{
        ddl::Request,
        error::DdlError,
        keys::{Repeatable, RequestId},
        testing::{Bed, Instance, START, W},
    },
    tso::{hybrid, window},
};

fn stored(store: &MemoryStore, key: &str) -> UnixNanos {
    window::decode(key, &store.get(key).expect("stored").value).expect("decodable")
}

const TIMESTAMP: &str = "by-dev/kv/gid/timestamp";
const ID: &str = "by-dev/kv/gid/idTimestamp";

fn named(name: &str) -> Request {
    Request::CreateDatabase { name: name.to_owned(), id: None }
}

#[tokio::test(start_paused = true)]
async fn a_first_term_serves_timestamps_ids_and_databases() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    assert_eq!(instance.core.alloc_timestamps(instance.clock.boot(), 1).await, Err(Failure::NoTerm));
    instance.take_over(&bed.store).await;
    let first = instance.timestamp(5).await.expect("serves");
    assert!(first.physical() >= START && first.physical() < START + Duration::from_secs(1));
    assert_eq!(instance.timestamp(1).await.map(|ts| ts.0 >= first.0 + 5), Ok(true));
    assert_eq!(instance.id(1).await.map(|id| id >> 18), Ok(i64::try_from(START.millis()).expect("fits")));
    assert_eq!(instance.names().await, Ok(vec!["default".to_owned()]));
    assert_eq!(instance.create("books", None).await, Ok(()));
    assert_eq!(instance.names().await, Ok(vec!["default".to_owned(), "books".to_owned()]));
    assert_eq!(stored(&bed.store, TIMESTAMP), START + Duration::from_secs(9));
    instance.core.deactivate().await;
    assert_eq!(instance.names().await, Err(Failure::NoTerm));
}

#[tokio::test(start_paused = true)]
async fn timestamps_and_ids_rise_over_many_takeovers_in_quick_succession() {
    let bed = Bed::new();
    let (mut last_ts, mut last_id) = (Timestamp(0), 0);
    let mut previous: Option<Instance> = None;
    for _ in 0..5 {
        let mut instance = bed.instance();
        instance.take_over(&bed.store).await;
        for _ in 0..3 {
            let ts = instance.timestamp(1_000).await.expect("serves");
            let id = instance.id(200_000).await.expect("serves");
            assert!(ts > last_ts && id > last_id);
            (last_ts, last_id) = (Timestamp(ts.0 + 999), id + 199_999);
        }
        // The one before it is alive: it may give out, but its gate lets nothing go.
        if let Some(previous) = previous.replace(instance) {
            previous.gate.as_ref().expect("had a term").end();
            let late = previous.core.alloc_timestamps(previous.clock.boot(), 1).await;
            assert!(matches!(late, Err(Failure::NotServing(NotServing::Ended(_)))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hand_overs_in_quick_succession_do_not_run_ahead_of_the_clock() {
    let bed = Bed::new();
    let (mut last, mut told, mut stored_end) = (Timestamp(0), None, UnixNanos(0));
    for _ in 0..5 {
        let mut instance = bed.instance();
        instance.told = told;
        instance.take_over(&bed.store).await;
        let first = instance.timestamp(1_000).await.expect("serves");
        assert!(first > last, "{first:?} after {last:?}");
        let end = stored(&bed.store, TIMESTAMP);
        assert!(end >= stored_end, "what is stored never goes back");
        (last, stored_end) = (Timestamp(first.0 + 999), end);
        instance.core.deactivate().await;
        let epoch = instance.gate.as_ref().expect("had a term").epoch();
        told = instance.core.given_until(epoch);
        assert!(told.is_some_and(|until| until > last.physical()));
        assert_eq!(instance.core.given_until(Epoch(epoch.0 - 1)), None, "of another term it says nothing");
    }
    assert!(last.physical().since(bed.clock.wall()) < Duration::from_secs(1), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_the_mirror_has_not_shown_makes_the_campaign_fail_and_try_again() {
    let bed = Bed::new();
    let mut first = bed.instance();
    first.take_over(&bed.store).await;
    let mut second = bed.instance();
    // Extended, and used up to the new end; the second one's mirror knows nothing of it.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let last = first.timestamp(1).await.expect("serves");
    first.over.cancel();
    assert_eq!(second.campaign(&bed.store).await, None);
    let epoch = second.campaign(&bed.store).await.expect("it has learned");
    second.begin(&bed.store, epoch).await.expect("as staked");
    assert!(second.timestamp(1).await.expect("serves") > last);
}

#[tokio::test(start_paused = true)]
async fn a_second_term_of_the_same_process_does_not_go_on_from_memory() {
    let bed = Bed::new();
    let mut first = bed.instance();
    let mut second = bed.instance();
    first.take_over(&bed.store).await;
    let early = first.id(200_000).await.expect("serves");
    first.core.deactivate().await;
    second.load(&bed.store);
    second.take_over(&bed.store).await;
    let between = second.id(200_000).await.expect("serves");
    second.core.deactivate().await;
    first.load(&bed.store);
    first.take_over(&bed.store).await;
    let late = first.id(1).await.expect("serves");
    assert!(early < between && between + 200_000 <= late);
}

#[tokio::test(start_paused = true)]
async fn a_term_whose_window_was_not_set_as_staked_does_not_begin() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    let epoch = instance.campaign(&bed.store).await.expect("alone");
    let another = bed.store.put(TIMESTAMP, window::encode(START));
    assert!(instance.begin(&bed.store, Epoch(another.0)).await.is_err());
    assert!(!instance.core.is_serving());
    assert!(instance.begin(&bed.store, epoch).await.is_ok(), "the right one still does");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_garbage_is_left_alone_and_nothing_is_served() {
    for key in [TIMESTAMP, ID] {
        let bed = Bed::new();
        bed.store.put(key, "garbage");
        let mut instance = bed.instance();
        let epoch = instance.campaign(&bed.store).await.expect("the key is won without the window");
        let error = instance.begin(&bed.store, epoch).await.expect_err("no timestamps");
        assert!(error.contains(key), "{error}");
        assert_eq!(bed.store.get(key).expect("there").value, b"garbage");
        assert!(!instance.core.is_serving());
    }
}

#[tokio::test(start_paused = true)]
async fn the_windows_of_milvus_are_continued_and_it_can_continue_ours() {
    let bed = Bed::new();
    // A Milvus coordinator that has been active for a month: it stored the ids' end
    // once, at its activation, and has given out more since.
    let month = Duration::from_secs(30 * 24 * 3600);
    let activation = UnixNanos(START.0 - u64::try_from(month.as_nanos()).expect("fits"));
    bed.store.put(ID, window::encode(activation + Duration::from_secs(3)));
    bed.store.put(TIMESTAMP, window::encode(START + Duration::from_secs(2)));
    let given = Timestamp(Timestamp::at_milli(activation.millis()).0 + 2_000_000_000);
    let mut instance = bed.instance();
    instance.take_over(&bed.store).await;
    assert!(instance.id(1).await.expect("serves") > i64::try_from(given.0).expect("fits"));
    assert!(instance.timestamp(1).await.expect("serves").physical() > START + Duration::from_secs(2));

    let mut last = 0;
    for _ in 0..20 {
        last = instance.id(100_000_000).await.expect("serves") + 99_999_999;
    }
    instance.core.deactivate().await;
    // What it would do: one millisecond behind the stored end, if the clock is not later.
    let next = stored(&bed.store, ID) + Duration::from_millis(1);
    assert!(hybrid::last_before(next) > u64::try_from(last).expect("positive"));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_put_of_a_window_is_undone_while_serving() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    instance.take_over(&bed.store).await;
    for key in [TIMESTAMP, ID] {
        let ours = stored(&bed.store, key);
        bed.store.put(key, window::encode(START));
        instance.hear(&bed.store);
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(stored(&bed.store, key) >= ours);
    }
    assert!(instance.timestamp(1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_foreign_put_between_the_campaign_and_the_activation_is_undone_too() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    let epoch = instance.campaign(&bed.store).await.expect("alone");
    let ours = stored(&bed.store, TIMESTAMP);
    bed.store.put(TIMESTAMP, window::encode(START));
    instance.begin(&bed.store, epoch).await.expect("as staked");
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(stored(&bed.store, TIMESTAMP) >= ours);
}

#[tokio::test(start_paused = true)]
async fn without_etcd_timestamps_last_longer_than_the_lease() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    instance.take_over(&bed.store).await;
    for phase in 0..5 {
        tokio::time::sleep(Duration::from_millis(700 * phase)).await;
        bed.store.fail(vec![Fault::NotSent; 40]);
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(6) {
            assert!(instance.timestamp(1).await.is_ok(), "after {:?}", begun.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Back again, until the window is whole.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(instance.timestamp(1).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_wall_clock_is_not_followed() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    instance.take_over(&bed.store).await;
    let year = 365 * 24 * 3_600_000;
    bed.clock.offset_millis.store(year, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let ts = instance.timestamp(1).await.expect("serves").physical();
    assert!(ts < START + Duration::from_secs(20) && ts > START + Duration::from_secs(9));
    // Neither does the successor, by a stored window that is of today.
    let mut successor = bed.instance();
    instance.over.cancel();
    successor.take_over(&bed.store).await;
    let next = successor.timestamp(1).await.expect("serves");
    assert!(next.physical() > ts && next.physical() < START + Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_a_proof_and_is_not_given_without_one() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    let epoch = instance.take_over(&bed.store).await;
    tokio::time::sleep(W).await;
    let unproven = instance.core.alloc_timestamps(instance.clock.boot(), 1).await;
    assert_eq!(unproven, Err(Failure::NotServing(NotServing::Unproven(epoch))));
    let waiting = instance.core.alloc_timestamps(instance.clock.boot(), 1);
    let proving = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        instance.prove();
    };
    let (taken, ()) = tokio::join!(waiting, proving);
    assert!(taken.is_ok());
    instance.gate.as_ref().expect("a term").end();
    let listed = instance.core.list_databases(instance.caller()).await.map(|_| ());
    assert_eq!(listed, Err(Failure::NotServing(NotServing::Ended(epoch))));
    let exists = instance.core.change(instance.caller(), named("default")).await;
    assert_eq!(exists, Err(Failure::NotServing(NotServing::Ended(epoch))), "not even an error from memory");
}

#[tokio::test(start_paused = true)]
async fn a_deposed_one_changes_nothing_and_sends_its_callers_away() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    instance.take_over(&bed.store).await;
    bed.store.depose();
    let before = bed.store.revision();
    assert_eq!(instance.create("books", None).await, Err(Failure::NoTerm));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(bed.store.revision(), before);
}

#[tokio::test(start_paused = true)]
async fn on_the_way_out_everything_is_written_up_to_the_revision_that_is_named() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    instance.take_over(&bed.store).await;
    bed.store.fail([Fault::Hang]);
    instance.prove();
    let tasks = TaskTracker::new();
    let creating = tasks.spawn({
        let (core, caller) = (instance.core.clone(), instance.caller());
        async move { core.change(caller, named("books")).await }
    });
    bed.store.wait_hanging().await;
    let draining = instance.core.drain();
    let releasing = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        bed.store.release();
    };
    let (last, ()) = tokio::join!(draining, releasing);
    assert_eq!(creating.await.expect("ends"), Ok(()));
    assert_eq!(last, bed.store.revision());
    assert_eq!(instance.create("films", None).await, Err(Failure::NoTerm));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(last, bed.store.revision(), "nothing is written after it");
}

#[tokio::test(start_paused = true)]
async fn a_draining_that_etcd_does_not_answer_ends_within_a_second() {
    let bed = Bed::new();
    let mut instance = bed.instance();
    let epoch = instance.take_over(&bed.store).await;
    bed.store.fail([Fault::Hang]);
    let creating = instance.core.change(instance.caller(), named("books"));
    let draining = async {
        bed.store.wait_hanging().await;
        let begun = tokio::time::Instant::now();
        let last = instance.core.drain().await;
        assert!(begun.elapsed() <= Duration::from_millis(1_010));
        instance.core.deactivate().await;
        last
    };
    let (created, last) = tokio::join!(creating, draining);
    assert!(created.is_err());
    assert!(last >= epoch.revision());
}

#[tokio::test(start_paused = true)]
async fn the_successor_knows_what_its_predecessor_acknowledged() {
    let bed = Bed::new();
    let mut first = bed.instance();
    let mut second = bed.instance();
    first.take_over(&bed.store).await;
    let request = RequestId { what: Repeatable::CreateDatabase, source: 1, message: 2, timestamp: 3 };
    first.create("books", Some(request)).await.expect("new");
    second.load(&bed.store);
    second.take_over(&bed.store).await;
    assert_eq!(second.names().await, Ok(vec!["default".to_owned(), "books".to_owned()]));
    assert_eq!(second.create("books", Some(request)).await, Ok(()));
    let exists = Failure::Ddl(DdlError::DatabaseExists("books".to_owned()));
    assert_eq!(second.create("books", None).await, Err(exists));
}

/// A second, in which the term goes on.
async fn a_second(instance: &Instance) {
    for _ in 0..20 {
        instance.prove();
        tokio::time::sleep(W / 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_the_mirror_does_not_know_yet_holds_ticks_back_before_it_has_a_timestamp() {
    const CHANNEL: &str = "by-dev-rootcoord-dml_0";
    let bed = Bed::new();
    let collection = milvus_proto::etcd::CollectionInfo {
        id: 5,
        virtual_channel_names: vec![format!("{CHANNEL}_5v0")],
        physical_channel_names: vec![CHANNEL.to_owned()],
        ..Default::default()
    };
    let key = "by-dev/meta/snapshots/root-coord/database/collection-info/1/5_ts5";
    bed.store.put(key, prost::Message::encode_to_vec(&collection));
    let mut instance = bed.instance();
    instance.take_over(&bed.store).await;
    let ticks = || bed.queue.messages(CHANNEL).len();
    a_second(&instance).await;
    assert!(ticks() > 2, "no proxy, nothing to wait for");

    let proxy = ServerId(7);
    let report = |ts: Timestamp| Report::new(vec![], &[], ts.0).expect("right").expect("something");
    let unknown = instance.core.report(proxy, report(Timestamp(1))).await.expect("serves");
    assert_eq!(unknown, Err(BadReport::Unrecognized(proxy)));
    bed.store.put("by-dev/meta/session/proxy-7", "{}");
    bed.store.set_unreadable(true);
    assert!(matches!(instance.core.introduce(proxy).await, Err(Failure::NotRead(_))), "it can't be known");
    bed.store.set_unreadable(false);
    instance.core.introduce(proxy).await.expect("it has a session");
    let before = ticks();
    a_second(&instance).await;
    assert_eq!(ticks(), before, "it may write anything");
    instance.hear(&bed.store);
    let now = instance.timestamp(1).await.expect("serves");
    assert_eq!(instance.core.report(proxy, report(now)).await, Ok(Ok(())));
    a_second(&instance).await;
    assert!(ticks() > before);

    bed.store.delete("by-dev/meta/session/proxy-7");
    instance.hear(&bed.store);
    instance.core.introduce(proxy).await.expect("it is gone");
    let before = ticks();
    a_second(&instance).await;
    assert!(ticks() > before, "nobody waits for who is gone");
}

#[test]
fn a_stake_compares_what_it_replaces() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("builds");
    runtime.block_on(async {
        let bed = Bed::new();
        let at = bed.store.put(TIMESTAMP, window::encode(START));
        let stake = bed.instance().core.stake(START, None);
        assert_eq!(stake.guards, [Guard::ModIs(TIMESTAMP.to_owned(), at), Guard::Absent(ID.to_owned())]);
        assert_eq!(stake.puts.iter().map(Op::key).collect::<Vec<_>>(), [TIMESTAMP, ID]);
    });
}
