//! How a scenario moves on: by waiting for what it builds on.

use std::time::Duration;

use super::super::{
    fault::{Fault, InstanceIndex, Target, Writing},
    run::{RECOVERY, Run},
};
use crate::{
    check::Violation,
    history::{Call, Outcome},
};

/// What a step waits for comes within this, or the scenario can't be staged.
const PATIENCE: Duration = Duration::from_secs(10);

/// A call that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    client: usize,
    /// Which of the client's calls.
    nth: usize,
}

/// Directs a run.
pub(in super::super) struct Director<'a> {
    run: &'a mut Run,
    asked: Vec<usize>,
}

impl<'a> Director<'a> {
    pub(in super::super) fn new(run: &'a mut Run) -> Self {
        Self { run, asked: Vec::new() }
    }

    pub(super) fn lasting(&mut self, time: Duration) -> Result<(), Violation> {
        let until = self.run.stage.world.now() + time;
        while self.run.stage.world.now() < until {
            self.run.step()?;
        }
        Ok(())
    }

    fn until(&mut self, what: &str, done: impl Fn(&Run) -> bool) -> Result<(), Violation> {
        let until = self.run.stage.world.now() + PATIENCE;
        while !done(self.run) {
            if self.run.stage.world.now() > until {
                return Err(Violation(format!("the scenario can't be staged: {what} does not come")));
            }
            self.run.step()?;
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, fault: Fault) {
        self.run.begin(&fault);
    }

    pub(super) fn end(&mut self, fault: Fault) {
        self.run.stage.end(&fault);
    }

    /// The next proposals of `from` are carried out so much later.
    pub(super) fn delay(&mut self, times: u32, from: Target, writing: Writing, delay: Duration) {
        self.run.stage.delay(Some(from), writing, delay, times);
    }

    /// Lets a client call.
    pub(super) fn ask(&mut self, client: usize, call: Call) -> Asked {
        self.asked.resize(self.asked.len().max(client + 1), 0);
        let nth = self.asked[client];
        self.asked[client] += 1;
        self.run.stage.order(client, call);
        Asked { client, nth }
    }

    /// Waits for the end of a call.
    pub(super) fn answer(&mut self, Asked { client, nth }: Asked) -> Result<Outcome, Violation> {
        let operation = |run: &Run| {
            let operations = run.stage.history.operations();
            operations.into_iter().filter(|operation| operation.client == client).nth(nth)
        };
        self.until("an answer", |run| operation(run).is_some_and(|operation| operation.end.is_some()))?;
        Ok(operation(self.run).map_or(Outcome::Unknown, |operation| operation.outcome))
    }

    /// Lets a client call, and waits for the end.
    pub(super) fn call(&mut self, client: usize, call: Call) -> Result<Outcome, Violation> {
        let asked = self.ask(client, call);
        self.answer(asked)
    }

    /// Lets a client call until it gets values.
    pub(super) fn given(&mut self, client: usize, call: &Call) -> Result<(), Violation> {
        let until = self.run.stage.world.now() + RECOVERY;
        while !matches!(self.call(client, call.clone())?, Outcome::Given(..)) {
            if self.run.stage.world.now() > until {
                return Err(Violation(format!("nobody serves within {RECOVERY:?}")));
            }
        }
        Ok(())
    }

    /// How many terms there have been.
    pub(super) fn terms(&self) -> usize {
        self.run.checker.terms().len()
    }

    /// Waits until there have been more terms than that. Whose it is.
    pub(super) fn term_after(&mut self, terms: usize) -> Result<InstanceIndex, Violation> {
        self.until("a new term", |run| run.checker.terms().len() > terms && run.checker.current().is_some())?;
        let owner = self.run.checker.current().and_then(|term| self.run.stage.instance_of(&term.owner));
        owner.ok_or_else(|| Violation("the scenario can't be staged: nobody holds the term".to_owned()))
    }

    /// A time in which no term may begin.
    pub(super) fn no_new_term(&mut self, time: Duration) -> Result<(), Violation> {
        let before = self.terms();
        self.lasting(time)?;
        if self.terms() > before {
            let term = &self.run.checker.terms()[before];
            let (epoch, owner) = (term.epoch, &term.owner);
            return Err(Violation(format!("a new term without a cause: epoch {epoch} of {owner}")));
        }
        Ok(())
    }

    /// Everything is mended, and somebody serves.
    pub(super) fn close(&mut self) -> Result<(), Violation> {
        self.run.stage.mend_all();
        self.given(LAST, &Call::Timestamps(1))?;
        self.run.stage.stop_clients();
        self.run.step()
    }
}

/// The client that comes last. No scenario uses it.
const LAST: usize = 4;
