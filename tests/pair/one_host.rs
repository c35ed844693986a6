//! Two processes on one host of which only the role's port differs, as Milvus's guide
//! starts them from a shell.

use milvus_coord_testbed::{
    etcd::Etcd,
    instance::{Instance, Plan},
    namespaces::Network,
    or_skip,
};

use crate::bounds::{FAST, PROGRAM, SOON};

/// The port that the two processes' logs name for HTTP; the second one's is another.
async fn answers_on(instance: &Instance, ports: std::ops::Range<u16>) -> Option<u16> {
    for port in ports {
        let answer = milvus_coord_testbed::http::get(&format!("127.0.0.1:{port}"), "/role").await;
        let own = format!(":{}", instance.port());
        if answer.is_ok_and(|answer| answer.body.contains(&own)) {
            return Some(port);
        }
    }
    None
}

#[test]
fn both_run_and_the_second_ones_http_port_moves_on() {
    // A host of its own: the ports of Milvus are free there.
    let network = or_skip!(Network::new(1));
    let host = network.host(0);
    host.block_on(async || {
        let etcd = Etcd::single().await.unwrap();
        let plan = |name: &str| {
            Plan::rootcoord(PROGRAM.as_ref(), &etcd.endpoints(), "by-dev").metrics_port(None).named(name)
        };
        let first = plan("first").port(53100).start();
        first.serves(SOON).await;
        let second = plan("second").port(53001).start();
        second.standby().await;
        let healthy = milvus_coord_testbed::http::get("127.0.0.1:9091", "/healthz").await.unwrap();
        assert_eq!((healthy.status, healthy.body.as_str()), (200, "OK"));
        let moved = answers_on(&second, 9092..9192).await;
        assert!(moved.is_some() || second.process.log.find(Default::default(), "9091").is_some());
        first.kill().await;
        second.serves(FAST).await;
    });
}
