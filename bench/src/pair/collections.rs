//! A takeover with a large catalogue in etcd.

use std::{error::Error, time::Duration};

use milvus_coord_bench::report::{Report, Times};
use milvus_coord_testbed::{bed::ROOT, catalog::Catalog, instance::SOON};

use crate::{options::Options, probe::Probe, side::Side};

/// How long a real one may take to load it all.
const LOAD: Duration = Duration::from_secs(180);

/// How often; the catalogue is loaded anew by each fresh standby.
const ROUNDS: usize = 5;

/// Kills the ACTIVE one once the standby is warm: our own has loaded the catalogue then,
/// the real one reads it only when it takes over. The real standby would first wait for the dead one's lease, as
/// in any takeover; to show the reload alone, that lease is revoked at once.
pub(crate) async fn takeover(
    side: &Side,
    options: &Options,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let ground = side.ground().await;
    let catalog = Catalog::new(options.shared.collections, options.shared.fields);
    let mut store = ground.bed.store().await;
    catalog.write(&store, ROOT).await?;
    let mut active = ground.plan("first").start();
    active.serves(LOAD).await;
    let rounds = if side.is_real() { 1 } else { ROUNDS };
    let mut times = Times::default();
    let mut resident = 0;
    for _ in 0..rounds {
        let standby = ground.plan("next").start();
        standby.standby().await;
        if !side.is_real() {
            let newest = store.get("newest", None).await?.header().map_or(0, |header| header.revision());
            standby.mirrors(newest, LOAD).await;
        }
        let probe = Probe::start(&ground.bed, &standby).await;
        resident = standby.process.usage().resident;
        let lease = ground.bed.active().await.lease;
        let mut from = active.kill().await;
        if side.is_real() {
            from = std::time::Instant::now();
            store.lease_revoke(lease).await?;
        }
        times.add(probe.answered().await - from);
        standby.serves(SOON).await;
        active = standby;
    }
    let what = format!(
        "takeover with {} collections of {} fields",
        options.shared.collections, options.shared.fields
    );
    report.times(&what, side.party(), &times);
    report.bytes(
        &format!("memory of a standby with {} collections", options.shared.collections),
        side.party(),
        resident,
    );
    Ok(())
}
