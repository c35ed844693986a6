//! The databases as one object: a set of names that are created, dropped and listed.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Violation,
    linear::{Model, Timed, Verdict, check as search},
};
use crate::history::{Call, Operation, Outcome};

/// Configurations for the search over all names at once.
const BUDGET: usize = 300_000;
/// And for one name: what happens to one is one of two states, so this is never used up.
const NAME_BUDGET: usize = 300_000;

/// The name that is always there, whatever anybody does.
const DEFAULT: &str = "default";

#[derive(Debug)]
struct Databases;

/// How far the lists of all databases could be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// Each shows one moment.
    Decided,
    /// Too many orders were possible. Each name by itself is right.
    Undecided,
}

/// A call that had, or may have had, an effect, or told something.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Create(String),
    CreateRefused(String),
    Drop(String),
    List(BTreeSet<String>),
    MaybeCreate(String),
    MaybeDrop(String),
    /// One name's part of a list.
    Shown(String, bool),
}

impl Model for Databases {
    type State = BTreeSet<String>;
    type Step = Step;

    fn initial(&self) -> Self::State {
        BTreeSet::new()
    }

    fn step(&self, state: &Self::State, step: &Step) -> Option<Self::State> {
        let mut after = state.clone();
        let possible = match step {
            Step::Create(name) => after.insert(name.clone()),
            // A database that is not there is dropped already.
            Step::Drop(name) | Step::MaybeDrop(name) => {
                after.remove(name);
                true
            }
            Step::CreateRefused(name) => state.contains(name),
            Step::List(names) => names == state,
            Step::Shown(name, shown) => state.contains(name) == *shown,
            Step::MaybeCreate(name) => {
                after.insert(name.clone());
                true
            }
        };
        possible.then_some(after)
    }
}

fn step(operation: &Operation) -> Option<Timed<Step>> {
    let unknown = operation.end.is_none() || operation.outcome == Outcome::Unknown;
    let step = match (&operation.call, &operation.outcome) {
        (Call::Create(name), _) if unknown => Step::MaybeCreate(name.clone()),
        (Call::Drop(name), _) if unknown => Step::MaybeDrop(name.clone()),
        (Call::Create(name), Outcome::Done) => Step::Create(name.clone()),
        (Call::Create(name), Outcome::Exists) => Step::CreateRefused(name.clone()),
        (Call::Drop(name), Outcome::Done) => Step::Drop(name.clone()),
        (Call::List, Outcome::Names(names)) => {
            Step::List(names.iter().filter(|name| *name != DEFAULT).cloned().collect())
        }
        _ => return None,
    };
    Some(Timed { begin: operation.begin, end: operation.end.filter(|_| !unknown), step })
}

/// The part of the history that is about one name.
fn about(name: &str, steps: &[Timed<Step>]) -> Vec<Timed<Step>> {
    steps
        .iter()
        .filter_map(|timed| {
            let step = match &timed.step {
                Step::List(names) => Step::Shown(name.to_owned(), names.contains(name)),
                Step::Shown(..) => return None,
                Step::Create(of)
                | Step::CreateRefused(of)
                | Step::Drop(of)
                | Step::MaybeCreate(of)
                | Step::MaybeDrop(of) => {
                    if of != name {
                        return None;
                    }
                    timed.step.clone()
                }
            };
            Some(Timed { step, ..timed.clone() })
        })
        .collect()
}

fn names(steps: &[Timed<Step>]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for timed in steps {
        match &timed.step {
            Step::List(listed) => names.extend(listed.iter().cloned()),
            Step::Create(name)
            | Step::CreateRefused(name)
            | Step::Drop(name)
            | Step::MaybeCreate(name)
            | Step::MaybeDrop(name)
            | Step::Shown(name, _) => {
                names.insert(name.clone());
            }
        }
    }
    names
}

/// Checks create, drop and list: each name by itself, then all together as far as the
/// budget goes (lists that show a mixture of two moments are found only so).
///
/// # Errors
/// The first violation.
pub fn check(operations: &[Operation]) -> Result<Lists, Violation> {
    let steps: Vec<Timed<Step>> = operations.iter().filter_map(step).collect();
    for name in names(&steps) {
        let steps = about(&name, &steps);
        match search(&Databases, &steps, NAME_BUDGET) {
            Verdict::Linearizable => {}
            Verdict::NotLinearizable { ordered, stuck } => {
                return Err(violation(&format!("database {name}"), &steps, &ordered, &stuck));
            }
            Verdict::Undecided => {
                return Err(Violation(format!("database {name}: too many orders to check")));
            }
        }
    }
    match search(&Databases, &steps, BUDGET) {
        Verdict::Linearizable => Ok(Lists::Decided),
        Verdict::Undecided => Ok(Lists::Undecided),
        Verdict::NotLinearizable { ordered, stuck } => {
            Err(violation("the list of databases", &steps, &ordered, &stuck))
        }
    }
}

fn violation(what: &str, steps: &[Timed<Step>], ordered: &[usize], stuck: &[usize]) -> Violation {
    let seconds = |time: Duration| time.as_secs_f64();
    let show = |index: &usize| {
        let timed = &steps[*index];
        let end = timed.end.map_or_else(|| "…".to_owned(), |end| format!("{:.3}", seconds(end)));
        format!("  {:.3}–{end} {:?}\n", seconds(timed.begin), timed.step)
    };
    let last: String = ordered.iter().rev().take(12).rev().map(show).collect();
    let next: String = stuck.iter().map(show).collect();
    Violation(format!("{what} is not linearizable. After\n{last}none of these can come next:\n{next}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn operation(begin: u64, end: Option<u64>, call: Call, outcome: Outcome) -> Operation {
        let ms = Duration::from_millis;
        Operation { client: 0, call, begin: ms(begin), end: end.map(ms), outcome }
    }

    fn create(begin: u64, end: u64, outcome: Outcome) -> Operation {
        operation(begin, Some(end), Call::Create("a".to_owned()), outcome)
    }

    fn list(begin: u64, end: u64, names: &[&str]) -> Operation {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        operation(begin, Some(end), Call::List, Outcome::Names(names))
    }

    #[test]
    fn an_acknowledged_database_must_be_listed() {
        let history = [create(0, 1, Outcome::Done), list(2, 3, &["default"])];
        assert!(check(&history).is_err());
        let history = [create(0, 1, Outcome::Done), list(2, 3, &["a", "default"])];
        assert_eq!(check(&history), Ok(Lists::Decided));
    }

    #[test]
    fn an_unknown_create_may_show_late() {
        let history =
            [create(0, 1, Outcome::Unknown), list(2, 3, &["default"]), list(4, 5, &["a", "default"])];
        assert_eq!(check(&history), Ok(Lists::Decided));
        let back = [create(0, 1, Outcome::Unknown), list(2, 3, &["a", "default"]), list(4, 5, &["default"])];
        assert!(check(&back).is_err());
    }

    #[test]
    fn what_certainly_did_not_run_has_no_effect() {
        let history = [create(0, 1, Outcome::NotRun), list(2, 3, &["a", "default"])];
        assert!(check(&history).is_err());
    }

    #[test]
    fn two_creates_can_not_both_be_the_first() {
        let history = [create(0, 1, Outcome::Done), create(2, 3, Outcome::Done)];
        assert!(check(&history).is_err());
        let history = [create(0, 1, Outcome::Done), create(2, 3, Outcome::Exists)];
        assert_eq!(check(&history), Ok(Lists::Decided));
    }

    #[test]
    fn a_list_is_of_one_moment() {
        let named = |name: &str, begin, end| {
            operation(begin, Some(end), Call::Create(name.to_owned()), Outcome::Done)
        };
        // b came after a, so that nobody can see b without a.
        let history = [named("a", 0, 1), named("b", 2, 30), list(3, 4, &["b"]), list(5, 6, &["a", "b"])];
        assert!(check(&history).is_err());
    }

    /// A true set of databases, with calls around the moments of their effects.
    fn true_history() -> impl Strategy<Value = Vec<Operation>> {
        let call = (0..3_u8, prop::sample::select(vec!["a", "b", "c"]));
        prop::collection::vec((0..100_u64, 0..10_u64, 0..10_u64, call, 0..10_u8), 1..25).prop_map(
            |mut calls| {
                calls.sort_by_key(|(moment, ..)| *moment);
                let mut present = BTreeSet::new();
                let mut history = Vec::new();
                for (moment, before, after, (kind, name), luck) in calls {
                    let (begin, end) = (100 + moment - before, 100 + moment + after);
                    let name = name.to_owned();
                    // Some are never carried out, some are without a word about it.
                    let (runs, told) = (luck > 0, luck > 1);
                    let (call, outcome) = match kind {
                        0 => (
                            Call::Create(name.clone()),
                            if present.contains(&name) { Outcome::Exists } else { Outcome::Done },
                        ),
                        1 => (Call::Drop(name.clone()), Outcome::Done),
                        _ => (Call::List, Outcome::Names(present.iter().cloned().collect())),
                    };
                    if runs {
                        match kind {
                            0 => drop(present.insert(name)),
                            1 => drop(present.remove(&name)),
                            _ => {}
                        }
                    }
                    let outcome = if told { outcome } else { Outcome::Unknown };
                    history.push(operation(begin, Some(end), call, outcome));
                }
                history
            },
        )
    }

    proptest! {
        #[test]
        fn true_histories_pass(history in true_history()) {
            prop_assert_eq!(check(&history), Ok(Lists::Decided));
        }

        #[test]
        fn a_forgotten_create_is_found(history in true_history()) {
            let end = history.iter().filter_map(|operation| operation.end).max().unwrap_or_default();
            let mut history = history;
            let at = u64::try_from(end.as_millis()).expect("short") + 1;
            history.push(operation(at, Some(at + 1), Call::Create("new".to_owned()), Outcome::Done));
            history.push(operation(at + 2, Some(at + 3), Call::Create("new".to_owned()), Outcome::Done));
            prop_assert!(check(&history).is_err());
        }
    }
}
