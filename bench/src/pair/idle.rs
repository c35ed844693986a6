//! What a pair uses that has nothing to do.

use std::time::Duration;

use milvus_coord_bench::report::Report;

use crate::{options::Options, side::Side};

/// How long it has nothing to do before it is looked at, and while the processor time is taken.
const IDLE: Duration = Duration::from_secs(10);

/// Memory of both, processor time of the one that serves.
pub(crate) async fn measure(side: &Side, _options: &Options, report: &mut Report) {
    let ground = side.ground().await;
    let (active, standby) = ground.pair().await;
    tokio::time::sleep(IDLE).await;
    let before = active.process.usage();
    tokio::time::sleep(IDLE).await;
    let after = active.process.usage();
    report.bytes("memory of an idle ACTIVE one", side.party(), after.resident);
    report.bytes("memory of an idle standby", side.party(), standby.process.usage().resident);
    let share = after.cpu.saturating_sub(before.cpu).as_secs_f64() / IDLE.as_secs_f64();
    report.share("CPU of an idle ACTIVE one", side.party(), share);
}
