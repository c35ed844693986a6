//! AllocTimestamp under load.

use std::{error::Error, time::Duration};

use milvus_coord_bench::report::Report;
use milvus_coord_testbed::{grpc::Direct, instance::SOON};

use crate::{
    h2load::{Callers, call},
    options::Options,
    side::Side,
};

/// Before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// One caller; fifty over one connection, as in one proxy; fifty with one each.
pub(crate) async fn measure(
    side: &Side,
    options: &Options,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let ground = side.ground().await;
    let instance = ground.plan("only").start();
    instance.serves(SOON).await;
    let (address, id) = (instance.address(), ground.bed.active().await.server_id);
    // Whoever calls next can't read the answers.
    Direct::connect(&address, Some(id)).await?.alloc_timestamp(1).await?;
    for (connections, each, what) in [
        (1, 1, "AllocTimestamp, 1 caller"),
        (1, 50, "AllocTimestamp, 50 callers on 1 connection"),
        (50, 1, "AllocTimestamp, 50 callers on 50 connections"),
    ] {
        let callers = Callers { connections, each };
        call(&address, id, callers, WARM_UP, instance.folder()).await?;
        let before = instance.process.usage();
        let duration = Duration::from_secs(options.seconds);
        let called = call(&address, id, callers, duration, instance.folder()).await?;
        let cpu = instance.process.usage().cpu.saturating_sub(before.cpu).as_secs_f64();
        report.rate(what, side.party(), called.per_second);
        let per_call = Duration::from_secs_f64(cpu / called.calls as f64);
        report.cpu(&format!("{what}: server CPU per call"), side.party(), per_call);
    }
    Ok(())
}
