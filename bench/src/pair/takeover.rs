//! From the signal to the first timestamp of the new one.

use std::{collections::BTreeMap, time::Duration};

use milvus_coord_bench::report::{Report, Times};
use milvus_coord_testbed::{
    instance::{Instance, SOON},
    log::Mark,
};

use crate::{
    options::Options,
    probe::Probe,
    side::{Ground, Side},
    stages::stages,
};

/// The real one waits for its own calls to absent peers before it ends.
const STOP: Duration = Duration::from_secs(60);

/// What a pair is left alone for between two rounds: in operation, takeovers are rare,
/// and the instances have long known each other.
const SETTLE: Duration = Duration::from_millis(500);

/// `kill -9`.
pub(crate) async fn kill(side: &Side, options: &Options, report: &mut Report) {
    let ground = side.ground().await;
    let mut measured = Measured::default();
    let (mut active, mut standby) = ground.pair().await;
    for _ in 0..side.rounds(options) {
        let probe = Probe::start(&ground.bed, &standby).await;
        let signalled = active.kill().await;
        measured.add(probe.answered().await - signalled, &standby).await;
        (active, standby) = next(&ground, active, standby).await;
    }
    measured.tell("kill -9 to Healthy", side, report);
}

/// SIGTERM.
pub(crate) async fn term(side: &Side, options: &Options, report: &mut Report) {
    let ground = side.ground().await;
    let mut measured = Measured::default();
    let (mut active, mut standby) = ground.pair().await;
    for _ in 0..side.rounds(options) {
        let probe = Probe::start(&ground.bed, &standby).await;
        let signalled = active.terminate();
        measured.add(probe.answered().await - signalled, &standby).await;
        active.process.exit(STOP).await;
        (active, standby) = next(&ground, active, standby).await;
    }
    measured.tell("SIGTERM to Healthy", side, report);
}

/// The one that has ended is started again, as standby of the one that serves.
async fn next(ground: &Ground, ended: Instance, serving: Instance) -> (Instance, Instance) {
    serving.serves(SOON).await;
    drop(ended);
    let standby = ground.plan("next").start();
    standby.standby().await;
    tokio::time::sleep(SETTLE).await;
    (serving, standby)
}

#[derive(Debug, Default)]
struct Measured {
    whole: Times,
    stages: BTreeMap<(usize, String), Times>,
    verdicts: BTreeMap<String, usize>,
}

impl Measured {
    async fn add(&mut self, took: Duration, new: &Instance) {
        self.whole.add(took);
        // Written a moment after the first answer, or before: its own file has its own time.
        new.serves(SOON).await;
        let Some(line) = new.process.log.find(Mark::default(), "takeover done") else { return };
        let takeover = stages(&line.text);
        *self.verdicts.entry(takeover.verdict).or_default() += 1;
        for (place, (stage, took)) in takeover.stages.into_iter().enumerate() {
            self.stages.entry((place, stage)).or_default().add(took);
        }
    }

    fn tell(self, what: &str, side: &Side, report: &mut Report) {
        report.times(what, side.party(), &self.whole);
        for ((_, stage), times) in &self.stages {
            report.detail(&format!("{what}: {stage}"), times);
        }
        if !self.verdicts.is_empty() {
            let verdicts: Vec<String> =
                self.verdicts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            report.remark(format!("{what}: the death was known by {}", verdicts.join(", ")));
        }
    }
}
