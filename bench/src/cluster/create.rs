//! How long CreateCollection takes.

use std::time::Instant;

use milvus_coord_bench::report::{Report, Times};
use milvus_coord_testbed::{
    cluster::{Cluster, User},
    grpc::Failure,
    instance::SOON,
    progress::Progress,
};
use tokio::task::JoinSet;

use crate::{options::Options, side::Side};

/// How many call at once.
const CALLERS: usize = 50;

/// Before it counts: connections, and topics that are made at their first use.
const WARM_UP: usize = 20;

/// Collections of fifty callers, for each of one caller.
const TIMES: usize = 5;

/// Creates, then drops, so that one measurement finds what the other did.
pub(crate) async fn measure(
    cluster: &Cluster,
    side: &Side,
    options: &Options,
    progress: &Progress,
    report: &mut Report,
) -> Result<(), Failure> {
    let active = cluster.active(SOON).await;
    let mut alone = vec![cluster.user().await?];
    let (mut proxy, mut rootcoord) = (Vec::new(), Vec::new());
    for _ in 0..CALLERS {
        proxy.push(cluster.user().await?);
        rootcoord.push(cluster.caller(active).await?);
    }
    let many = (options.creations * TIMES).div_ceil(CALLERS);
    create(&mut alone, "warm_up", WARM_UP).await?;
    for (callers, each, what) in [
        (&mut alone, options.creations, "CreateCollection, 1 caller"),
        (&mut proxy, many, "CreateCollection, 50 callers"),
        (&mut rootcoord, many, "CreateCollection at rootcoord, 50 callers"),
    ] {
        let begun = Instant::now();
        let times = create(callers, &what.replace([' ', ','], "_"), each).await?;
        let rate = (callers.len() * each) as f64 / begun.elapsed().as_secs_f64();
        report.times(what, side.party, &times);
        report.rate(&format!("{what}: collections"), side.party, rate);
        progress.say(&format!("{what}: done, {rate:.0}/s"));
    }
    Ok(())
}

/// `each` collections by each caller. They are dropped when all have been created.
async fn create(callers: &mut [User], prefix: &str, each: usize) -> Result<Times, Failure> {
    let mut running = JoinSet::new();
    for (number, caller) in callers.iter().enumerate() {
        let (mut caller, prefix) = (caller.clone(), format!("{prefix}_{number}"));
        running.spawn(async move {
            let mut took = Vec::with_capacity(each);
            for index in 0..each {
                let begun = Instant::now();
                caller.create_collection(&format!("{prefix}_{index}")).await?;
                took.push(begun.elapsed());
            }
            Ok::<_, Failure>(took)
        });
    }
    let mut times = Times::default();
    while let Some(ended) = running.join_next().await {
        ended.expect("a caller does not panic")?.into_iter().for_each(|took| times.add(took));
    }
    for (number, caller) in callers.iter_mut().enumerate() {
        for index in 0..each {
            caller.drop_collection(&format!("{prefix}_{number}_{index}")).await?;
        }
    }
    Ok(times)
}
