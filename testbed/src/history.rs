//! What the callers saw, and the promises it is held against.
//!
//! All times are of one monotonic clock of one machine, so "ended before the other
//! began" is exact, whichever instance answered.

use std::time::{Duration, Instant};

use crate::grpc::Span;

/// One call of one caller.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which caller; each makes one call after the other.
    pub caller: usize,
    /// When the caller began it.
    pub started: Instant,
    /// When the attempt began that gave the outcome: not before this was the value taken.
    pub last_attempt: Instant,
    /// When the caller had the outcome.
    pub ended: Instant,
    /// How many attempts it took.
    pub attempts: u32,
    /// The server id of the instance that gave the outcome.
    pub server: Option<i64>,
    /// The values, or what went wrong.
    pub outcome: Result<Span, String>,
}

impl Call {
    /// How long the caller waited.
    pub fn took(&self) -> Duration {
        self.ended - self.started
    }
}

/// Every call of a load, in no particular order.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The calls.
    pub calls: Vec<Call>,
}

/// A span of time without a successful answer.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// When the last success before it ended.
    pub from: Instant,
    /// How long it was.
    pub length: Duration,
}

impl History {
    /// Both together, as one history.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.calls.extend(other.calls);
        self
    }

    /// The calls that began at `moment` or later.
    #[must_use]
    pub fn since(&self, moment: Instant) -> Self {
        Self { calls: self.calls.iter().filter(|call| call.started >= moment).cloned().collect() }
    }

    /// The calls that gave values.
    pub fn successes(&self) -> impl Iterator<Item = (&Call, Span)> {
        self.calls.iter().filter_map(|call| call.outcome.as_ref().ok().map(|span| (call, *span)))
    }

    /// The calls that gave their caller an error.
    pub fn failures(&self) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.outcome.is_err()).collect()
    }

    /// The instances that answered, in the order of their first answer.
    pub fn servers(&self) -> Vec<i64> {
        let mut answers: Vec<(Instant, i64)> =
            self.successes().filter_map(|(call, _)| Some((call.ended, call.server?))).collect();
        answers.sort_unstable();
        let mut servers = Vec::new();
        for (_, server) in answers {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers
    }

    /// The longest time between two successes, all callers taken together.
    pub fn longest_gap(&self) -> Option<Gap> {
        let mut ends: Vec<Instant> = self.successes().map(|(call, _)| call.ended).collect();
        ends.sort_unstable();
        let gaps = ends.windows(2).map(|pair| Gap { from: pair[0], length: pair[1] - pair[0] });
        gaps.max_by_key(|gap| gap.length)
    }

    /// The longest call that gave values.
    pub fn slowest(&self) -> Option<Duration> {
        self.successes().map(|(call, _)| call.took()).max()
    }

    /// The first value that a call which began at `moment` or later gave its caller.
    pub fn first_success_since(&self, moment: Instant) -> Option<&Call> {
        self.successes()
            .map(|(call, _)| call)
            .filter(|call| call.started >= moment)
            .min_by_key(|call| call.ended)
    }

    /// Every pair of calls whose values overlap, or whose order contradicts real time:
    /// if one had ended before the other's value was asked for, its values are smaller.
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut by_value: Vec<(&Call, Span)> = self.successes().collect();

        by_value.sort_by_key(|(_, span)| (span.first, span.last()));
        for pair in by_value.windows(2) {
            let ((a, a_span), (b, b_span)) = (pair[0], pair[1]);
            if b_span.first <= a_span.last() {
                found.push(format!("given out twice: {} and {}", describe(a, a_span), describe(b, b_span)));
            }
        }

        let mut by_start = by_value.clone();
        by_start.sort_by_key(|(call, _)| call.last_attempt);
        let mut by_end = by_value;
        by_end.sort_by_key(|(call, _)| call.ended);
        let mut ended = by_end.into_iter().peekable();
        let mut largest: Option<(&Call, Span)> = None;
        for (later, span) in by_start {
            while let Some((earlier, values)) = ended.next_if(|(call, _)| call.ended < later.last_attempt) {
                if largest.is_none_or(|(_, most)| values.last() > most.last()) {
                    largest = Some((earlier, values));
                }
            }
            if let Some((earlier, most)) = largest
                && most.last() >= span.first
            {
                found.push(format!(
                    "runs backwards: {}, then {}",
                    describe(earlier, most),
                    describe(later, span)
                ));
            }
        }
        found
    }

    /// Holds the history against the promises that no fault may break.
    ///
    /// # Panics
    /// When a value was given out twice, or the values contradict real time.
    #[track_caller]
    pub fn assert_ordered(&self) {
        let found = self.violations();
        let shown: Vec<&str> = found.iter().take(5).map(String::as_str).collect();
        assert!(
            found.is_empty(),
            "{} violations in {} calls, among them:\n{}",
            found.len(),
            self.calls.len(),
            shown.join("\n")
        );
    }

    /// # Panics
    /// When a caller got an error.
    #[track_caller]
    pub fn assert_no_failures(&self) {
        let failures = self.failures();
        assert!(
            failures.is_empty(),
            "{} of {} calls failed, the first: {:?}",
            failures.len(),
            self.calls.len(),
            failures[0]
        );
    }
}

fn describe(call: &Call, span: Span) -> String {
    format!("{}..={} of caller {} from server {:?}", span.first, span.last(), call.caller, call.server)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls as (start, end, first value), in milliseconds; each gives ten values.
    fn history(calls: &[(u64, u64, u64)]) -> History {
        let zero = Instant::now();
        let call = |&(start, end, first): &(u64, u64, u64)| Call {
            caller: 0,
            started: zero + Duration::from_millis(start),
            last_attempt: zero + Duration::from_millis(start),
            ended: zero + Duration::from_millis(end),
            attempts: 1,
            server: Some(1),
            outcome: Ok(Span { first, count: 10 }),
        };
        History { calls: calls.iter().map(call).collect() }
    }

    #[track_caller]
    fn check(calls: &[(u64, u64, u64)], expected: &[&str]) {
        let found = history(calls).violations();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (violation, start) in found.iter().zip(expected) {
            assert!(violation.starts_with(start), "{violation}");
        }
    }

    #[test]
    fn rising_values_satisfy() {
        check(&[(0, 1, 10), (2, 3, 20), (4, 5, 30)], &[]);
    }

    #[test]
    fn concurrent_calls_may_have_any_order() {
        check(&[(0, 10, 20), (5, 15, 10)], &[]);
    }

    #[test]
    fn overlapping_values_are_found() {
        check(&[(0, 10, 10), (5, 15, 15)], &["given out twice"]);
    }

    #[test]
    fn a_smaller_value_after_a_larger_one_is_found() {
        check(&[(0, 1, 100), (0, 9, 50), (2, 3, 20)], &["runs backwards"]);
    }

    #[test]
    fn gaps_are_between_successes_of_any_caller() {
        let history = history(&[(0, 10, 10), (5, 400, 20), (380, 410, 30)]);
        assert_eq!(history.longest_gap().unwrap().length, Duration::from_millis(390));
        assert_eq!(history.slowest().unwrap(), Duration::from_millis(395));
    }
}
