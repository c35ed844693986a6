//! The mirror: snapshots, compaction, lost, hung and lagging watches, other etcds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use milvus_coord::{
    clock::SystemClock,
    etcd::{
        Etcd,
        lane::Lane,
        mirror::{KeyRange, Mirror, MirrorEvent, MirrorPlan},
        settings::EtcdSettings,
    },
    ids::Revision,
};
use milvus_coord_testbed::{
    etcd::{Etcd as Servers, Options},
    proxy::{Flow, Proxy, Way},
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::support::{LIMIT, Names, PATIENCE, connect, put, wait_until};

/// Values and mod revisions by key.
type Content = BTreeMap<String, (Vec<u8>, Revision)>;

/// What a listener makes of the mirror's events, and whether they kept their word.
#[derive(Debug, Default)]
pub(crate) struct Copy {
    /// Values and mod revisions.
    pub(crate) keys: BTreeMap<String, (Vec<u8>, Revision)>,
    /// What is loaded now, until it is complete.
    loading: Option<BTreeMap<String, (Vec<u8>, Revision)>>,
    pub(crate) at: Revision,
    /// What `keys` was at each revision that was complete.
    pub(crate) checkpoints: Vec<(Revision, Content)>,
    pub(crate) keep_checkpoints: bool,
    pub(crate) events: usize,
}

impl Copy {
    pub(crate) fn hear(&mut self, event: MirrorEvent) {
        self.events += 1;
        match event {
            MirrorEvent::Reset => self.loading = Some(BTreeMap::new()),
            MirrorEvent::Entry(kv) => {
                let loading = self.loading.as_mut().expect("an entry outside of a snapshot");
                assert!(loading.insert(kv.key, (kv.value, kv.mod_revision)).is_none(), "an entry twice");
            }
            MirrorEvent::Loaded(header) => {
                self.keys = self.loading.take().expect("the end of a snapshot that never began");
                self.complete(header.revision);
            }
            MirrorEvent::Put(kv) => {
                assert!(self.loading.is_none(), "a change amid a snapshot");
                self.keys.insert(kv.key, (kv.value, kv.mod_revision));
            }
            MirrorEvent::Deleted(key, _) => {
                assert!(self.loading.is_none(), "a change amid a snapshot");
                self.keys.remove(&key);
            }
            MirrorEvent::UpTo(revision) => {
                assert!(revision > self.at, "{revision} after {}", self.at);
                self.complete(revision);
            }
        }
    }

    fn complete(&mut self, revision: Revision) {
        self.at = revision;
        if self.keep_checkpoints {
            self.checkpoints.push((revision, self.keys.clone()));
        }
    }
}

pub(crate) fn follow(etcd: &Etcd, wanted: Vec<KeyRange>) -> (Mirror, Arc<Mutex<Copy>>) {
    let copy = Arc::new(Mutex::new(Copy::default()));
    let hearing = Arc::clone(&copy);
    let plan = MirrorPlan { watch: KeyRange::prefix("by-dev/"), wanted };
    (Mirror::start(etcd.clone(), plan, Box::new(move |event| hearing.lock().hear(event))), copy)
}

fn everything() -> Vec<KeyRange> {
    vec![KeyRange::prefix("by-dev/")]
}

/// What etcd has.
pub(crate) async fn truth(etcd: &Etcd, range: &KeyRange) -> BTreeMap<String, (Vec<u8>, Revision)> {
    let listed = etcd.on(Lane::Store).list(range, PATIENCE).await.unwrap();
    listed.value.into_iter().map(|kv| (kv.key, (kv.value, kv.mod_revision))).collect()
}

/// Waits for the mirror to have the newest put, then compares.
async fn check_equal(servers: &Servers, etcd: &Etcd, mirror: &Mirror, copy: &Mutex<Copy>) {
    let last = put(servers, "by-dev/last", "").await;
    wait_until(mirror, |state| state.revision >= last && state.in_sync).await;
    compare(copy, &truth(etcd, &KeyRange::prefix("by-dev/")).await);
}

/// A difference is shown by its keys.
#[track_caller]
fn compare(copy: &Mutex<Copy>, truth: &BTreeMap<String, (Vec<u8>, Revision)>) {
    let keys = &copy.lock().keys;
    let differs = |key: &&String| keys.get(*key) != truth.get(*key);
    let different: Vec<_> = truth.keys().chain(keys.keys()).filter(differs).take(10).collect();
    assert!(different.is_empty(), "{different:?} and maybe others differ");
}

#[tokio::test]
async fn only_what_is_wanted_is_kept() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    for key in ["by-dev/meta/a/1", "by-dev/meta/b/1", "by-dev/kv/gid/timestamp", "by-dev2/meta/a/1"] {
        put(&servers, key, "old").await;
    }
    let wanted = vec![KeyRange::prefix("by-dev/meta/a/"), KeyRange::key("by-dev/kv/gid/timestamp")];
    let (mirror, copy) = follow(&etcd, wanted);
    wait_until(&mirror, |state| state.in_sync).await;
    for key in ["by-dev/meta/b/2", "by-dev2/meta/a/2", "by-dev/kv/gid/timestamp2"] {
        put(&servers, key, "new").await;
    }
    let last = put(&servers, "by-dev/meta/a/2", "new").await;
    let unwanted = put(&servers, "by-dev/meta/b/3", "new").await;
    wait_until(&mirror, |state| state.revision >= unwanted).await;
    let keys: Vec<_> = copy.lock().keys.keys().cloned().collect();
    assert_eq!(keys, ["by-dev/kv/gid/timestamp", "by-dev/meta/a/1", "by-dev/meta/a/2"]);
    assert!(last < unwanted, "an unwanted change moves the revision, too");
    mirror.stop().await;
    put(&servers, "by-dev/meta/a/3", "late").await;
    assert!(!copy.lock().keys.contains_key("by-dev/meta/a/3"));
}

#[tokio::test]
async fn a_restarted_etcd_is_followed_from_the_last_revision() {
    let mut servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let (mirror, copy) = follow(&etcd, everything());
    put(&servers, "by-dev/a", "1").await;
    wait_until(&mirror, |state| state.in_sync).await;
    servers.stop(0).unwrap();
    wait_until(&mirror, |state| !state.in_sync).await;
    servers.start_again(0).await.unwrap();
    put(&servers, "by-dev/a", "2").await;
    check_equal(&servers, &etcd, &mirror, &copy).await;
    assert_eq!(mirror.state().borrow().snapshots, 1, "a restart needs no new snapshot");
}

#[tokio::test]
async fn a_mirror_that_starts_before_etcd_catches_on() {
    let mut servers = Servers::prepare(Options::default()).unwrap();
    let etcd = connect(servers.endpoints());
    let (mirror, copy) = follow(&etcd, everything());
    assert_eq!(mirror.state().borrow().revision, Revision(0));
    servers.start_again(0).await.unwrap();
    check_equal(&servers, &etcd, &mirror, &copy).await;
}

#[tokio::test]
async fn compaction_every_10_ms_under_writes_is_survived() {
    let servers = Servers::single().await.unwrap();
    let mut client = servers.client().await.unwrap();
    // Several pages, so that a snapshot takes longer than until the next compaction.
    for n in 0..50 {
        let ops: Vec<_> = (0..100)
            .map(|k| etcd_client::TxnOp::put(format!("by-dev/old/{n:02}/{k:02}"), vec![7; 100], None))
            .collect();
        client.txn(etcd_client::Txn::new().and_then(ops)).await.unwrap();
    }
    let way = Proxy::start(servers.endpoint(0).trim_start_matches("http://")).await;
    let etcd = connect([way.address()]);
    let (compacted, mut compacted_to) = watch::channel(0);
    let compacting = async {
        let mut every = tokio::time::interval(Duration::from_millis(10));
        for n in 0_u64.. {
            every.tick().await;
            let put = client.put(format!("by-dev/new/{}", n % 50), n.to_be_bytes(), None).await.unwrap();
            let revision = put.header().unwrap().revision();
            client.compact(revision, None).await.unwrap();
            compacted.send_replace(revision);
        }
    };
    let following = async {
        let (mirror, copy) = follow(&etcd, everything());
        wait_until(&mirror, |state| state.in_sync).await;
        // A lost watch: what it missed is compacted by the time it comes back.
        for _ in 0..3 {
            let loaded = mirror.state().borrow().snapshots;
            way.refuse();
            wait_until(&mirror, |state| !state.in_sync).await;
            // Some more revisions go by.
            let known = mirror.state().borrow().revision;
            compacted_to.wait_for(|to| *to > known.0 + 10).await.unwrap();
            way.heal();
            wait_until(&mirror, |state| state.in_sync && state.snapshots > loaded).await;
        }
        (mirror, copy)
    };
    let (mirror, copy) = tokio::select! {
        followed = timeout(PATIENCE, following) => followed.expect("in time"),
        () = compacting => unreachable!(),
    };
    check_equal(&servers, &connect(servers.endpoints()), &mirror, &copy).await;
}

/// More than one answer may hold, and more than a client of etcd decodes by default.
#[tokio::test]
async fn a_thousand_writes_of_a_megabyte_during_a_pause_are_caught_up_with() {
    const WRITES: usize = 1_000;
    let servers = Servers::single().await.unwrap();
    let way = Proxy::start(servers.endpoint(0).trim_start_matches("http://")).await;
    let etcd = connect([way.address()]);
    let copy = Arc::new(Mutex::new((0_usize, Revision(0))));
    let hearing = Arc::clone(&copy);
    let plan = MirrorPlan { watch: KeyRange::prefix("by-dev/"), wanted: everything() };
    let mirror = Mirror::start(
        etcd,
        plan,
        Box::new(move |event| {
            // Kept by a test that keeps all of it, it would be a gigabyte.
            let mut copy = hearing.lock();
            if let MirrorEvent::Put(kv) = event {
                assert!(kv.mod_revision > copy.1 && kv.value.len() == 1_000_000);
                *copy = (copy.0 + 1, kv.mod_revision);
            }
        }),
    );
    wait_until(&mirror, |state| state.in_sync).await;
    way.hang();
    let mut client = servers.client().await.unwrap();
    let mut last = 0;
    for n in 0..WRITES {
        let key = format!("by-dev/{}", n % 10);
        let put = client.put(key, vec![7; 1_000_000], None).await.unwrap();
        last = put.header().unwrap().revision();
    }
    way.heal();
    wait_until(&mirror, |state| state.revision >= Revision(last)).await;
    assert_eq!(*copy.lock(), (WRITES, Revision(last)));
    assert_eq!(mirror.state().borrow().snapshots, 1);
}

#[tokio::test]
async fn a_revision_that_comes_in_fragments_is_whole_before_it_counts() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let mut client = servers.client().await.unwrap();
    let lease = client.lease_grant(600, None).await.unwrap().id();
    // One revision with more events than fit into one message: a lease that takes its keys along.
    let name = "long".repeat(500);
    for n in 0..1_500 {
        let options = etcd_client::PutOptions::new().with_lease(lease);
        client.put(format!("by-dev/{n:04}/{name}"), "", Some(options)).await.unwrap();
    }
    let (mirror, copy) = follow(&etcd, everything());
    wait_until(&mirror, |state| state.in_sync).await;
    assert_eq!(copy.lock().keys.len(), 1_500);
    copy.lock().keep_checkpoints = true;
    client.lease_revoke(lease).await.unwrap();
    check_equal(&servers, &etcd, &mirror, &copy).await;
    let sizes: Vec<_> = copy.lock().checkpoints.iter().map(|(_, keys)| keys.len()).collect();
    assert_eq!(sizes, [0, 1], "a revision was taken for complete before it was");
}

#[tokio::test]
async fn a_frozen_member_is_left_for_another() {
    let servers = Servers::start(Options::members(3)).await.unwrap();
    let etcd = connect(servers.endpoints());
    let (mirror, copy) = follow(&etcd, everything());
    wait_until(&mirror, |state| state.in_sync).await;
    servers.freeze(0).unwrap();
    let others = connect([servers.endpoint(1), servers.endpoint(2)]);
    let last = crate::store::put_fenced(&others, "by-dev/last").await;
    let before = Instant::now();
    wait_until(&mirror, |state| state.revision >= last && state.in_sync).await;
    assert!(before.elapsed() < LIMIT, "took {:?}", before.elapsed());
    compare(&copy, &truth(&others, &KeyRange::prefix("by-dev/")).await);
    assert_eq!(mirror.state().borrow().snapshots, 1);
}

#[tokio::test]
async fn a_member_cut_off_from_its_peers_is_left_for_another() {
    let mut servers = Servers::start(Options::members(3)).await.unwrap();
    // The other two are reached by names that are not known yet.
    let names = Arc::new(Names::default());
    let address = |index: usize| ("127.0.0.1".to_owned(), servers.client_port(index));
    let known = |index: usize| {
        let (host, port) = address(index);
        (format!("etcd-{index}"), host, port)
    };
    names.known.lock().push(known(0));
    let settings = EtcdSettings::new(["etcd-0", "etcd-1", "etcd-2"]);
    let etcd = Etcd::new(settings, names.clone(), Arc::new(SystemClock)).unwrap();
    let (mirror, copy) = follow(&etcd, everything());
    wait_until(&mirror, |state| state.in_sync).await;
    let peers = [known(1), known(2)];
    // A member whose peers are frozen has no leader, and can't know what it misses.
    servers.freeze(1).unwrap();
    servers.freeze(2).unwrap();
    wait_until(&mirror, |state| !state.in_sync).await;
    servers.kill(0);
    servers.thaw(1).unwrap();
    servers.thaw(2).unwrap();
    names.known.lock().extend(peers);
    let others = connect([servers.endpoint(1), servers.endpoint(2)]);
    let last = crate::store::put_fenced(&others, "by-dev/last").await;
    wait_until(&mirror, |state| state.revision >= last && state.in_sync).await;
    compare(&copy, &truth(&others, &KeyRange::prefix("by-dev/")).await);
}

#[tokio::test]
async fn an_overdue_change_is_fetched_from_another_member() {
    let servers = Servers::single().await.unwrap();
    let way = Proxy::start(servers.endpoint(0).trim_start_matches("http://")).await;
    let etcd = connect([way.address(), servers.endpoint(0)]);
    let (mirror, copy) = follow(&etcd, everything());
    wait_until(&mirror, |state| state.in_sync).await;
    // Nothing arrives on this watch any more, although its connection stays.
    way.set(Way::ToClient, Flow::Hang);
    let last = put(&servers, "by-dev/a", "1").await;
    let before = Instant::now();
    mirror.catch_up_to(last, LIMIT).await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(3), "took {:?}", before.elapsed());
    assert!(copy.lock().keys.contains_key("by-dev/a"));
    // What is there already is there at once, and what never comes is not waited for.
    assert!(mirror.catch_up_to(last, Duration::ZERO).await.is_ok());
    let behind = mirror.catch_up_to(Revision(last.0 + 1_000), Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((behind.wanted, behind.at >= last), (Revision(last.0 + 1_000), true));
    check_equal(&servers, &etcd, &mirror, &copy).await;
    assert!(mirror.state().borrow().snapshots <= 2, "one wish led to {:?}", mirror.state().borrow());
}

#[tokio::test]
async fn a_restored_backup_is_loaded_anew() {
    let mut servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    put(&servers, "by-dev/a", "1").await;
    servers.stop(0).unwrap();
    let backup = servers.back_up().unwrap();
    servers.start_again(0).await.unwrap();
    let (mirror, copy) = follow(&etcd, everything());
    let lost = put(&servers, "by-dev/lost", "1").await;
    wait_until(&mirror, |state| state.revision >= lost).await;
    servers.stop(0).unwrap();
    servers.restore(&backup).unwrap();
    servers.start_again(0).await.unwrap();
    // A watch from the old revision would keep silent here.
    wait_until(&mirror, |state| state.snapshots == 2 && state.in_sync).await;
    assert!(!copy.lock().keys.contains_key("by-dev/lost"));
    check_equal(&servers, &etcd, &mirror, &copy).await;
}

#[tokio::test]
async fn another_cluster_is_loaded_anew() {
    let mut one = Servers::single().await.unwrap();
    let other = Servers::single().await.unwrap();
    put(&one, "by-dev/one", "1").await;
    for n in 0..5 {
        put(&other, "by-dev/other", vec![n]).await;
    }
    let names = Arc::new(Names::default());
    let known = |servers: &Servers| vec![("etcd".to_owned(), "127.0.0.1".to_owned(), servers.client_port(0))];
    *names.known.lock() = known(&one);
    let etcd = Etcd::new(EtcdSettings::new(["etcd"]), names.clone(), Arc::new(SystemClock)).unwrap();
    let (mirror, copy) = follow(&etcd, everything());
    wait_until(&mirror, |state| state.in_sync).await;
    *names.known.lock() = known(&other);
    one.stop(0).unwrap();
    wait_until(&mirror, |state| state.snapshots == 2 && state.in_sync).await;
    let keys: Vec<_> = copy.lock().keys.keys().cloned().collect();
    assert_eq!(keys, ["by-dev/other"]);
}
