//! Runs a scenario and judges it.

use std::{
    collections::hash_map::DefaultHasher,
    fmt,
    hash::{Hash, Hasher},
    time::Duration,
};

use milvus_coord::{election::rules::Rules, ids::Role};
use rand::{SeedableRng, rngs::SmallRng};

use super::{
    directed::{Directed, Director},
    draw::Dice,
    fault::{Fault, Scheduled},
    stage::{Preference, Stage, StageSettings},
};
use crate::{
    check::{
        Violation,
        counter::{self, Counter},
        databases::{self, Lists},
        messages::MessageChecker,
        schema::{self, Order},
        terms::{Layout, TermChecker},
    },
    coord,
    fake_etcd::store::Change,
    history::{Operation, Outcome},
};

/// When the faults begin.
const QUIET_BEFORE: Duration = Duration::from_secs(2);
/// How long they go on.
const FAULTS: Duration = Duration::from_secs(10);
/// After the last fault somebody must serve within this: a lease that starts anew with a new
/// leader of etcd, its expiry, a registration, a campaign, and clients' time-outs on the way.
pub(super) const RECOVERY: Duration = Duration::from_secs(14);
/// And go on serving.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// What a run is about.
#[derive(Clone, Debug)]
pub struct Script {
    /// The stage.
    pub stage: StageSettings,
    /// What happens on it.
    pub plot: Plot,
}

/// What happens in a run.
#[derive(Clone, Debug)]
pub enum Plot {
    /// Clients do what they like, and this goes wrong.
    Schedule(Vec<Scheduled>),
    /// One interleaving.
    Directed(&'static Directed),
}

impl Script {
    /// Drawn from a seed.
    pub fn draw(seed: u64, rules: Rules) -> Self {
        let stage = StageSettings::draw(seed, rules);
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x66_6175_6c74);
        let mut dice = Dice::new(&mut rng, stage.extent, stage.strict);
        let schedule = dice.schedule(QUIET_BEFORE, QUIET_BEFORE + FAULTS);
        Self { stage, plot: Plot::Schedule(schedule) }
    }

    /// A directed scenario.
    pub fn directed(directed: &'static Directed, rules: Rules) -> Self {
        Self { stage: directed.stage(rules), plot: Plot::Directed(directed) }
    }
}

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// What was not allowed, if anything.
    pub violation: Option<Violation>,
    /// Whether the databases together, or the schema, could have come about in too many orders
    /// to be checked as a whole.
    pub undecided: bool,
    /// Terms in all.
    pub terms: usize,
    /// Faults in all.
    pub faults: usize,
    /// Calls in all.
    pub calls: usize,
    /// Calls with a useful answer.
    pub answered: usize,
    /// Equal for equal runs.
    pub digest: u64,
    /// What happened, line by line.
    pub trace: Vec<String>,
}

fn layout() -> Layout {
    let keys = coord::keys();
    Layout {
        root: "by-dev/".to_owned(),
        sessions: keys.sessions().start,
        operators: keys.pauses().start,
        active: keys.active(Role::RootCoord),
        windows: vec![format!("{}/gid/timestamp", keys.kv()), format!("{}/gid/idTimestamp", keys.kv())],
    }
}

pub(super) struct Run {
    pub(super) stage: Stage,
    pub(super) checker: TermChecker,
    messages: MessageChecker,
    /// What is to be mended when.
    mending: Vec<(Duration, Fault)>,
    faults: usize,
    may_depose: usize,
    told_terms: usize,
    told_revisions: usize,
    told_messages: usize,
}

/// Changed keys, for people.
struct Changes<'a>(&'a [Change]);

impl fmt::Display for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|change| {
            let sign = if change.now.is_some() { '+' } else { '-' };
            write!(f, " {sign}{}", String::from_utf8_lossy(&change.key))
        })
    }
}

/// Runs a script to its end, or to the first violation.
pub fn run(script: &Script) -> Report {
    let mut run = Run {
        stage: Stage::new(script.stage),
        checker: TermChecker::new(layout()),
        messages: MessageChecker::default(),
        mending: Vec::new(),
        faults: 0,
        may_depose: 0,
        told_terms: 0,
        told_revisions: 0,
        told_messages: 0,
    };
    let played = match &script.plot {
        Plot::Schedule(schedule) => run.play(schedule).and_then(|()| run.recover()),
        Plot::Directed(directed) => directed.play(&mut Director::new(&mut run)),
    };
    let judged = played.and_then(|()| run.judge());
    run.report(judged)
}

impl Run {
    fn play(&mut self, schedule: &[Scheduled]) -> Result<(), Violation> {
        for next in schedule {
            while self.stage.world.now() < next.at {
                self.step()?;
            }
            let active = self.checker.current().and_then(|term| self.stage.instance_of(&term.owner));
            let fault = next.fault.aimed(|target| self.stage.aim(target, active.unwrap_or(0)));
            self.begin(&fault);
            let lasts = match fault {
                // A supervisor is quick.
                Fault::Restart(_) => Duration::from_millis(50),
                _ => next.lasts,
            };
            self.mending.push((self.stage.world.now() + lasts, fault));
        }
        while !self.mending.is_empty() {
            self.step()?;
        }
        self.stage.mend_all();
        Ok(())
    }

    pub(super) fn begin(&mut self, fault: &Fault) {
        self.faults += 1;
        self.may_depose += usize::from(fault.may_depose());
        self.stage.begin(fault);
    }

    pub(super) fn step(&mut self) -> Result<(), Violation> {
        let ended = self.stage.step();
        for index in ended {
            if let Some(crate::machine::process::Ended::Panicked) =
                self.stage.world.ended(self.stage.process(index))
            {
                return Err(Violation(format!("instance {index} panicked")));
            }
        }
        let now = self.stage.world.now();
        let due: Vec<Fault> =
            self.mending.extract_if(.., |(at, _)| *at <= now).map(|(_, fault)| fault).collect();
        for fault in due {
            self.stage.end(&fault);
        }
        let checked = self.stage.etcd.look(|cluster, _| {
            for applied in &cluster.applied()[self.told_revisions..] {
                let changes = cluster.store().changes(applied.revision);
                self.stage.trace.tell("etcd", &format!("{applied}{}", Changes(changes)));
            }
            self.told_revisions = cluster.applied().len();
            let sent = self.stage.broker.since(self.told_messages);
            self.told_messages += sent.len();
            self.checker.look(cluster)?;
            sent.iter().try_for_each(|sent| self.messages.look(sent, cluster.store()))
        });
        let terms = self.checker.terms();
        for term in &terms[self.told_terms..] {
            self.stage.trace.tell("etcd", &format!("epoch {} of {}", term.epoch, term.owner));
        }
        self.told_terms = terms.len();
        checked
    }

    /// After the last fault somebody serves, soon, and goes on doing so.
    fn recover(&mut self) -> Result<(), Violation> {
        let mended = self.stage.world.now();
        self.stage.trace.tell("run", "everything is mended");
        let served = |operation: &Operation| {
            operation.begin > mended && matches!(operation.outcome, Outcome::Given(..))
        };
        let mut looked = 0;
        loop {
            self.step()?;
            let operations = self.stage.history.len();
            if operations > looked {
                looked = operations;
                if self.stage.history.operations().iter().any(served) {
                    break;
                }
            }
            if self.stage.world.now() > mended + RECOVERY {
                return Err(Violation(format!("nobody serves {RECOVERY:?} after the last fault")));
            }
        }
        let until = self.stage.world.now() + QUIET_AFTER;
        while self.stage.world.now() < until {
            self.step()?;
        }
        self.stage.stop_clients();
        self.step()
    }

    /// Whether everything could be decided.
    fn judge(&self) -> Result<bool, Violation> {
        let operations = self.stage.history.operations();
        counter::check(Counter::Timestamps, &operations)?;
        counter::check(Counter::Ids, &operations)?;
        let lists = databases::check(&operations)?;
        let order = schema::check(&operations)?;
        self.stage.etcd.look(|cluster, _| self.messages.end(cluster.store()))?;
        let changes = self.checker.terms().len().saturating_sub(1);
        // Each may be followed by one back to a preferred instance, and the first preferred
        // one may come after another has begun.
        let allowed = match self.stage.settings().preference {
            Preference::Failback => 2 * self.may_depose + self.stage.settings().extent.instances,
            Preference::None | Preference::Priorities => self.may_depose,
        };
        if changes > allowed {
            return Err(Violation(format!("{changes} term changes, but {} faults", self.may_depose)));
        }
        Ok(lists == Lists::Decided && order == Order::Decided)
    }

    fn report(self, judged: Result<bool, Violation>) -> Report {
        let operations = self.stage.history.operations();
        let mut hasher = DefaultHasher::new();
        for operation in &operations {
            operation.to_string().hash(&mut hasher);
        }
        self.stage.etcd.look(|cluster, _| {
            for applied in cluster.applied() {
                format!("{applied:?}").hash(&mut hasher);
            }
        });
        let answered = operations
            .iter()
            .filter(|operation| {
                matches!(
                    operation.outcome,
                    Outcome::Given(..)
                        | Outcome::Done
                        | Outcome::Names(_)
                        | Outcome::Refused
                        | Outcome::Seen(_)
                )
            })
            .count();
        Report {
            undecided: judged == Ok(false),
            violation: judged.err(),
            terms: self.checker.terms().len(),
            faults: self.faults,
            calls: operations.len(),
            answered,
            digest: hasher.finish(),
            trace: self.stage.trace.lines(),
        }
    }
}
