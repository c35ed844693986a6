//! AllocTimestamp under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use milvus_coord_bench::report::Report;
use milvus_coord_testbed::{grpc::Direct, instance::SOON};
use tokio::task::JoinSet;

use crate::{options::Options, side::Side};

/// Before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// One caller; fifty over one connection, as in one proxy; fifty with one each.
pub(crate) async fn measure(side: &Side, options: &Options, report: &mut Report) {
    let ground = side.ground().await;
    let instance = ground.plan("only").start();
    instance.serves(SOON).await;
    let id = ground.bed.active().await.server_id;
    for (callers, connections, what) in [
        (1, 1, "AllocTimestamp, 1 caller"),
        (50, 1, "AllocTimestamp, 50 callers on 1 connection"),
        (50, 50, "AllocTimestamp, 50 callers on 50 connections"),
    ] {
        let mut to = Vec::new();
        for _ in 0..connections {
            to.push(
                Direct::connect(&instance.address(), Some(id))
                    .await
                    .expect("the one that serves is reachable"),
            );
        }
        let calls = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        for caller in 0..callers {
            let (direct, calls, stop) =
                (to[caller % connections].clone(), Arc::clone(&calls), Arc::clone(&stop));
            running.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    direct.alloc_timestamp(1).await.expect("the one that serves gives timestamps");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        tokio::time::sleep(WARM_UP).await;
        let (from, before, used) = (Instant::now(), calls.load(Ordering::Relaxed), instance.process.usage());
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let (after, now) = (calls.load(Ordering::Relaxed), instance.process.usage());
        let took = from.elapsed();
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = running.join_next().await {
            ended.expect("no caller fails");
        }
        let calls = after - before;
        report.rate(what, side.party(), calls as f64 / took.as_secs_f64());
        let cpu = now.cpu.saturating_sub(used.cpu).as_secs_f64() / calls as f64;
        report.cpu(&format!("{what}: server CPU per call"), side.party(), Duration::from_secs_f64(cpu));
    }
}
