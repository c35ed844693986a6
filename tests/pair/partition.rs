//! Hosts that can't reach each other: network namespaces with firewall rules.

use std::time::{Duration, Instant};

use milvus_coord_testbed::{
    bed::Bed,
    etcd::{Etcd, Options},
    grpc::Direct,
    instance::Instance,
    load::{Load, Shape},
    namespaces::{Host, Network},
    or_skip,
    proxy::Proxy,
};

use crate::bounds::{FAST, LEASE, LEASE_END, LONG_LEASE, NEXT_PING, PROGRAM, SHORT_LEASE, SOON};

/// Four hosts: the clients', etcd's, the ACTIVE one's and the standby's.
struct Scene {
    network: Network,
}

impl Scene {
    fn new() -> Result<Self, String> {
        Ok(Self { network: Network::new(4)? })
    }

    fn store(&self) -> &Host {
        self.network.host(1)
    }

    fn a(&self) -> &Host {
        self.network.host(2)
    }

    fn b(&self) -> &Host {
        self.network.host(3)
    }

    /// Runs a test on the clients' host, with a pair whose first one is ACTIVE.
    fn play(&self, lease: u32, test: impl AsyncFnOnce(Bed, Instance, Instance) + Send) {
        let options = Options { address: self.store().address(), ..Options::default() };
        let etcd = self.store().block_on(async || Etcd::start(options).await).unwrap();
        self.network.host(0).block_on(async || {
            let bed = Bed::around(PROGRAM, etcd);
            let plan = |name, host| bed.elsewhere(name).on(host).set(LEASE, lease);
            let (first, second) = bed.pair_of(plan("first", self.a()), plan("second", self.b())).await;
            test(bed, first, second).await;
        });
    }
}

/// Callers that stay with `instance`, whatever happens.
async fn loyal_to(bed: &Bed, instance: &Instance) -> Load {
    let id = bed.session_of(instance).await.server_id;
    let direct = Direct::connect(&instance.address(), Some(id)).await.unwrap();
    Load::under_way(&direct, 100, SOON).await
}

#[test]
fn an_active_one_cut_off_from_etcd_and_standby_answers_nobody_once_it_is_replaced() {
    let scene = or_skip!(Scene::new());
    let network = &scene.network;
    scene.play(SHORT_LEASE, async |bed, first, second| {
        let client = bed.client().await;
        // Both kinds of callers still reach the one that is cut off.
        let following = Load::under_way(&client, 100, SOON).await;
        let loyal = loyal_to(&bed, &first).await;

        network.cut(scene.a(), scene.store());
        network.cut(scene.a(), scene.b());
        second.serves(LEASE_END).await;
        let replaced = Instant::now();
        let next = client.separate();
        let after = Load::start(&next, Shape::default());
        after.success_since(replaced, SOON).await;
        after.successes(200, SOON).await;

        network.heal();
        first.process.log.wait(Default::default(), "rootcoord is in STANDBY ...", SOON).await;
        following.success_since(Instant::now(), SOON).await;
        let (following, loyal, after) = (following.stop().await, loyal.stop().await, after.stop().await);
        assert_eq!(loyal.since(replaced).successes().count(), 0, "it answered after its successor did");
        following.and(loyal).and(after).assert_ordered();
        assert!(first.process.ended().is_none());
        bed.audit().await;
    });
}

#[test]
fn a_lost_host_is_replaced_when_its_lease_ends_and_comes_back_as_standby() {
    let scene = or_skip!(Scene::new());
    let network = &scene.network;
    scene.play(SHORT_LEASE, async |bed, first, second| {
        let client = bed.client().await;
        client.create_database("kept").await.unwrap();
        let before = client.alloc_timestamp(10).await.unwrap();
        let mark = first.process.log.mark();
        network.isolate(scene.a());
        let cut = Instant::now();
        let served = second.serves(LEASE_END).await;
        // The lease, what etcd needs to see its end, and a busy machine.
        assert!(served - cut < Duration::from_secs(8), "{:?}", served - cut);
        let client = client.separate();
        let after = client.alloc_timestamp(10).await.unwrap();
        assert!(after.first > before.last());
        assert_eq!(client.list_databases().await.unwrap(), ["default", "kept"]);
        network.heal();
        first.process.log.wait(mark, "rootcoord is in STANDBY ...", SOON).await;
        second.kill().await;
        bed.wait_active(&first, LEASE_END).await;
        client.alloc_timestamp(1).await.unwrap();
        assert_eq!(bed.audit().await.len(), 3);
    });
}

#[test]
fn a_standby_cut_off_from_everything_is_of_use_again_when_it_is_back() {
    let scene = or_skip!(Scene::new());
    let network = &scene.network;
    scene.play(SHORT_LEASE, async |bed, first, second| {
        let client = bed.client().await;
        let term = bed.active().await;
        let load = Load::start(&client, Shape::default());
        let old = bed.session_of(&second).await;
        network.isolate(scene.b());
        let sessions = bed.sessions().await;
        sessions.wait("its session to end", LEASE_END, |all| all.iter().all(|s| s.lease != old.lease)).await;
        client.create_database("meanwhile").await.unwrap();
        load.successes(100, SOON).await;
        network.heal();
        bed.session_of(&second).await;
        assert_eq!(bed.active().await.revision, term.revision, "the active one was not disturbed");
        let killed = first.kill().await;
        second.serves(LEASE_END).await;
        load.success_since(killed, LEASE_END).await;
        load.stop().await.assert_ordered();
        assert_eq!(client.list_databases().await.unwrap(), ["default", "meanwhile"]);
    });
}

#[test]
fn a_firewall_between_the_two_that_looks_like_death_costs_no_order_and_no_ping_pong() {
    let scene = or_skip!(Scene::new());
    let network = &scene.network;
    scene.play(LONG_LEASE, async |bed, first, second| {
        let client = bed.client().await;
        let load = Load::under_way(&client, 100, SOON).await;
        let loyal = loyal_to(&bed, &first).await;
        network.reject(scene.a(), scene.b());
        network.reject(scene.b(), scene.a());
        // The length of the fault.
        tokio::time::sleep(Duration::from_secs(10)).await;
        network.heal();
        load.success_since(Instant::now(), SOON).await;
        let history = load.stop().await.and(loyal.stop().await);
        history.assert_ordered();
        let terms = bed.audit().await;
        assert!(terms.len() <= 3, "{} takeovers in ten seconds: {terms:?}", terms.len() - 1);
        assert!(first.process.ended().is_none() && second.process.ended().is_none());
    });
}

#[test]
fn a_lying_refusal_deposes_the_one_that_lives_without_breaking_the_order() {
    let scene = or_skip!(Scene::new());
    let network = &scene.network;
    scene.play(LONG_LEASE, async |bed, first, second| {
        let client = bed.client().await;
        let load = Load::under_way(&client, 100, SOON).await;
        let loyal = loyal_to(&bed, &first).await;
        // Only what the standby sends to the active one is answered with a reset; both
        // have etcd, and the clients have both.
        network.reject(scene.a(), scene.b());
        // It may be believed, it need not; the order holds either way.
        tokio::time::sleep(Duration::from_secs(3)).await;
        network.heal();
        load.success_since(Instant::now(), SOON).await;
        load.stop().await.and(loyal.stop().await).assert_ordered();
        assert!(bed.audit().await.len() <= 2);
        let active = bed.active().await;
        let survivor = if active.address == first.address() { &second } else { &first };
        bed.session_of(survivor).await;
        assert!(first.process.ended().is_none() && second.process.ended().is_none());
    });
}

#[test]
fn one_deposed_by_a_lie_whose_etcd_is_slow_answers_nothing_old() {
    depose_by_a_lie(async |lie, silence, second| {
        // The ACTIVE one hears nothing of its end.
        lie();
        second.says("verdict=hint", NEXT_PING).await;
        silence();
    });
}

#[test]
fn one_that_asks_for_a_pledge_and_then_looks_dead_is_deposed_and_answers_nothing_old() {
    depose_by_a_lie(async |lie, silence, second| {
        // Its question is what the standby's kernel answers and is refused for: the standby
        // has promised by the time it believes in a death.
        lie();
        silence();
        second.says("verdict=hint", FAST).await;
    });
}

/// The standby's packets to the ACTIVE one are answered with resets, by `lie`, which it can't
/// tell from a death; what etcd and the ACTIVE one say to each other stops, by `silence`.
fn depose_by_a_lie(in_order: impl AsyncFnOnce(&dyn Fn(), &dyn Fn(), &Instance) + Send) {
    let scene = or_skip!(Scene::new());
    let network = &scene.network;
    let options = Options { address: scene.store().address(), ..Options::default() };
    let etcd = scene.store().block_on(async || Etcd::start(options).await).unwrap();
    scene.network.host(0).block_on(async || {
        let bed = Bed::around(PROGRAM, etcd);
        // What etcd tells the ACTIVE one goes through here.
        let endpoint = bed.etcd.endpoint(0).replace("http://", "");
        let slow = Proxy::start_at(network.host(0).address(), &endpoint).await;
        let plan = |name, host| bed.elsewhere(name).on(host).set(LEASE, LONG_LEASE);
        let first = plan("first", scene.a()).through(&slow.address());
        let (first, second) = bed.pair_of(first, plan("second", scene.b())).await;
        let client = bed.client().await;
        let load = Load::under_way(&client, 500, SOON).await;
        let loyal = loyal_to(&bed, &first).await;
        let term = bed.active().await;

        in_order(&|| network.reject(scene.a(), scene.b()), &|| slow.hang(), &second).await;
        let next = bed.sessions().await.wait_active("another", FAST, |s| s.revision > term.revision).await;
        assert_eq!(next.address, second.address());
        let deposed = Instant::now();
        let other = Load::start(&client.separate(), Shape::default());
        other.success_since(deposed, SOON).await;
        other.successes(200, SOON).await;
        slow.heal();
        network.heal();
        load.success_since(Instant::now(), SOON).await;
        load.stop().await.and(loyal.stop().await).and(other.stop().await).assert_ordered();
        assert!(first.process.ended().is_none());
        bed.audit().await;
    });
}

#[test]
fn a_network_that_loses_one_way_only_ends_in_exactly_one_that_serves() {
    let scene = or_skip!(Scene::new());
    let network = &scene.network;
    scene.play(SHORT_LEASE, async |bed, first, second| {
        let client = bed.client().await;
        let load = Load::under_way(&client, 100, SOON).await;
        // etcd hears it, but it does not hear etcd.
        network.cut_one_way(scene.store(), scene.a());
        bed.wait_active(&second, LEASE_END).await;
        let after = client.separate();
        after.alloc_timestamp(1).await.unwrap();
        network.heal();
        load.success_since(Instant::now(), FAST + SOON).await;
        load.stop().await.assert_ordered();
        assert!(first.process.ended().is_none());
        bed.audit().await;
    });
}
