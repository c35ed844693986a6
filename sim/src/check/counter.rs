//! Timestamps and ids: no value twice, and what was asked for later is larger.
//!
//! A call without an answer took values that nobody was given: it may leave a gap, and
//! asks nothing of the others.

use std::time::Duration;

use super::Violation;
use crate::history::{Call, Operation, Outcome};

/// Which counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// AllocTimestamp.
    Timestamps,
    /// AllocID.
    Ids,
}

impl Counter {
    fn gave(self, operation: &Operation) -> Option<Given<'_>> {
        let asked = match (self, &operation.call) {
            (Self::Timestamps, Call::Timestamps(count)) | (Self::Ids, Call::Ids(count)) => *count,
            _ => return None,
        };
        match operation.outcome {
            Outcome::Given(first, last) => Some(Given { first, last, asked, operation }),
            _ => None,
        }
    }
}

struct Given<'a> {
    first: u64,
    last: u64,
    asked: u32,
    operation: &'a Operation,
}

/// Checks one counter: this is all that linearizability means for it.
///
/// # Errors
/// The first violation.
pub fn check(counter: Counter, operations: &[Operation]) -> Result<(), Violation> {
    let mut given: Vec<Given<'_>> = operations.iter().filter_map(|one| counter.gave(one)).collect();
    if let Some(odd) = given.iter().find(|one| one.last.wrapping_sub(one.first) != u64::from(one.asked) - 1) {
        return Err(Violation(format!("{counter:?}: not what was asked for: {}", odd.operation)));
    }
    given.sort_by_key(|one| one.first);
    for pair in given.windows(2) {
        if pair[0].last >= pair[1].first {
            return Err(Violation(format!(
                "{counter:?}: given twice: {} and {}",
                pair[0].operation, pair[1].operation
            )));
        }
    }
    rises(counter, &given)
}

/// Whether each call got more than all calls that had ended before it began.
fn rises(counter: Counter, given: &[Given<'_>]) -> Result<(), Violation> {
    let mut by_begin: Vec<&Given<'_>> = given.iter().collect();
    by_begin.sort_by_key(|one| one.operation.begin);
    let mut by_end: Vec<(Duration, &Given<'_>)> =
        given.iter().filter_map(|one| Some((one.operation.end?, one))).collect();
    by_end.sort_by_key(|(end, _)| *end);
    let mut ended = by_end.into_iter().peekable();
    let mut largest: Option<&Given<'_>> = None;
    for later in by_begin {
        while let Some((_, earlier)) = ended.next_if(|(end, _)| *end < later.operation.begin) {
            if largest.is_none_or(|largest| largest.last < earlier.last) {
                largest = Some(earlier);
            }
        }
        if let Some(earlier) = largest.filter(|earlier| earlier.last >= later.first) {
            return Err(Violation(format!(
                "{counter:?}: went back: {} and then {}",
                earlier.operation, later.operation
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn operation(begin: u64, end: u64, first: u64, last: u64) -> Operation {
        Operation {
            client: 0,
            call: Call::Timestamps(u32::try_from(last - first + 1).expect("few")),
            begin: Duration::from_millis(begin),
            end: Some(Duration::from_millis(end)),
            outcome: Outcome::Given(first, last),
        }
    }

    fn verdict(operations: &[Operation]) -> bool {
        check(Counter::Timestamps, operations).is_ok()
    }

    #[test]
    fn overlapping_calls_may_get_values_in_any_order() {
        assert!(verdict(&[operation(0, 10, 5, 5), operation(5, 15, 1, 4), operation(16, 17, 6, 9)]));
    }

    #[test]
    fn a_later_call_must_get_more() {
        assert!(!verdict(&[operation(0, 10, 5, 5), operation(11, 15, 1, 4)]));
    }

    #[test]
    fn no_value_is_given_twice() {
        assert!(!verdict(&[operation(0, 10, 1, 5), operation(0, 10, 5, 6)]));
    }

    #[test]
    fn what_a_call_without_an_answer_took_is_missed_by_nobody() {
        let unknown = Operation { end: None, outcome: Outcome::Unknown, ..operation(3, 4, 10, 19) };
        assert!(verdict(&[operation(0, 1, 1, 9), unknown, operation(5, 6, 20, 20)]));
    }

    #[test]
    fn as_many_are_given_as_were_asked_for() {
        let few = Operation { call: Call::Timestamps(3), ..operation(0, 1, 5, 6) };
        assert!(!verdict(&[few]));
    }

    proptest! {
        /// A true counter that answers at some moment of each call passes; exchanging the
        /// values of two calls that did not overlap is found.
        #[test]
        fn a_true_counter_passes_and_an_exchange_is_found(
            calls in prop::collection::vec((0..100_u64, 0..20_u64, 0..20_u64, 1..4_u64), 2..30),
            pick: (prop::sample::Index, prop::sample::Index),
        ) {
            let mut calls = calls;
            calls.sort_by_key(|(moment, ..)| *moment);
            let mut next = 0;
            let mut operations = Vec::new();
            for (moment, before, after, count) in calls {
                let (first, last) = (next, next + count - 1);
                next += count;
                operations.push(operation((moment + 100) - before, moment + 100 + after, first, last));
            }
            prop_assert!(verdict(&operations));
            let (one, other) = (pick.0.index(operations.len()), pick.1.index(operations.len()));
            let apart = operations[one].end < Some(operations[other].begin);
            if apart {
                let exchanged = operations[one].clone();
                operations[one].call = operations[other].call.clone();
                operations[one].outcome = operations[other].outcome.clone();
                operations[other].call = exchanged.call;
                operations[other].outcome = exchanged.outcome;
                prop_assert!(!verdict(&operations));
            }
        }
    }
}
