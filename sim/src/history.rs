//! What clients asked, when, and what they were told.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::schema::{Deed, Look, Seen};

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// So many timestamps.
    Timestamps(u32),
    /// So many ids.
    Ids(u32),
    /// A new database.
    Create(String),
    /// An end of a database.
    Drop(String),
    /// The names of all databases.
    List,
    /// A change of the schema.
    Do(Deed),
    /// A question about the schema.
    Look(Look),
}

/// What it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first of what was asked for, and the last.
    Given(u64, u64),
    /// Done.
    Done,
    /// Refused because it is there already.
    Exists,
    /// The names, sorted.
    Names(Vec<String>),
    /// Refused, because of how things stand.
    Refused,
    /// This.
    Seen(Seen),
    /// Certainly not carried out.
    NotRun,
    /// Nobody knows: it may have been carried out, or may be yet.
    Unknown,
}

/// One call with its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who.
    pub client: usize,
    /// What.
    pub call: Call,
    /// From when.
    pub begin: Duration,
    /// Until when; `None`: it had not ended when the simulation did.
    pub end: Option<Duration>,
    /// With what result.
    pub outcome: Outcome,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.end.map_or_else(|| "…".to_owned(), |end| format!("{:.3}", end.as_secs_f64()));
        write!(
            f,
            "client {} {:.3}–{end} {:?}: {:?}",
            self.client,
            self.begin.as_secs_f64(),
            self.call,
            self.outcome
        )
    }
}

/// All calls of all clients.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Vec<Operation>>>);

/// A call that has begun.
#[derive(Debug)]
pub struct Begun {
    history: History,
    index: usize,
}

impl History {
    /// Notes the begin of a call. As long as nothing else is said, its outcome is unknown.
    pub fn begin(&self, client: usize, call: Call, now: Duration) -> Begun {
        let mut operations = self.0.lock();
        operations.push(Operation { client, call, begin: now, end: None, outcome: Outcome::Unknown });
        Begun { history: self.clone(), index: operations.len() - 1 }
    }

    /// A copy of what is known now.
    pub fn operations(&self) -> Vec<Operation> {
        self.0.lock().clone()
    }

    /// How many calls have begun.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Begun {
    /// Notes the end of the call.
    pub fn end(self, outcome: Outcome, now: Duration) {
        let mut operations = self.history.0.lock();
        let operation = &mut operations[self.index];
        operation.end = Some(now);
        operation.outcome = outcome;
    }
}
