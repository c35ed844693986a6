//! Linearizability: is there an order of the calls, each at a moment between its begin
//! and its end, in which a sequential object would have given these answers?
//!
//! The search is that of Wing and Gong with Lowe's memory of visited configurations. A
//! call with an unknown outcome may take effect at any moment after its begin, or never.
//!
//! Of unknown calls that would do the same, the one that began first is taken first: what a
//! later one can do, it can do in its place. So many of them cost as much as they are, not
//! as much as they have subsets.

use std::{collections::HashSet, hash::Hash, time::Duration};

/// A sequential object.
pub trait Model {
    /// What it holds.
    type State: Clone + Eq + Hash;
    /// What is done to it, with the answer, if one is known.
    type Step: PartialEq;

    /// What it holds at first.
    fn initial(&self) -> Self::State;

    /// What it holds after the step; `None`: the step's answer is not possible here.
    fn step(&self, state: &Self::State, step: &Self::Step) -> Option<Self::State>;
}

/// A step with the time that it had.
#[derive(Clone, Debug)]
pub struct Timed<S> {
    /// Not before.
    pub begin: Duration,
    /// Not after. `None`: at any later time, or never.
    pub end: Option<Duration>,
    /// What.
    pub step: S,
}

/// What the search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none. The indices of a longest prefix that could be ordered, and of the
    /// calls of which one had to come next.
    NotLinearizable {
        /// In the order that was found for them.
        ordered: Vec<usize>,
        /// None of them is possible.
        stuck: Vec<usize>,
    },
    /// Too many configurations.
    Undecided,
}

/// Searches for an order, through at most `budget` configurations.
pub fn check<M: Model>(model: &M, steps: &[Timed<M::Step>], budget: usize) -> Verdict {
    let mut search = Search {
        model,
        steps,
        after: after(steps),
        taken: Taken::new(steps.len()),
        order: Vec::new(),
        visited: HashSet::new(),
        budget,
        longest: (Vec::new(), Vec::new()),
    };
    search.visited.insert((search.taken.clone(), model.initial()));
    match search.run() {
        Some(true) => Verdict::Linearizable,
        Some(false) => {
            let (ordered, stuck) = search.longest;
            Verdict::NotLinearizable { ordered, stuck }
        }
        None => Verdict::Undecided,
    }
}

/// For each unknown step the one that would do the same and began just before it.
fn after<S: PartialEq>(steps: &[Timed<S>]) -> Vec<Option<usize>> {
    let mut unknown: Vec<usize> = (0..steps.len()).filter(|index| steps[*index].end.is_none()).collect();
    unknown.sort_by_key(|index| steps[*index].begin);
    let mut after = vec![None; steps.len()];
    for (place, index) in unknown.iter().enumerate() {
        after[*index] =
            unknown[..place].iter().rev().find(|other| steps[**other].step == steps[*index].step).copied();
    }
    after
}

/// Which steps have been ordered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Taken(Vec<u64>);

impl Taken {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn flip(&mut self, index: usize) {
        self.0[index / 64] ^= 1 << (index % 64);
    }
}

struct Search<'a, M: Model> {
    model: &'a M,
    steps: &'a [Timed<M::Step>],
    after: Vec<Option<usize>>,
    taken: Taken,
    order: Vec<usize>,
    visited: HashSet<(Taken, M::State)>,
    budget: usize,
    longest: (Vec<usize>, Vec<usize>),
}

struct Frame<S> {
    state: S,
    candidates: Vec<usize>,
    next: usize,
}

impl<M: Model> Search<'_, M> {
    /// The steps that may come next: those that began before the first end of all that
    /// are still to come, and of equal unknown ones the first. Unknown ones come last: without
    /// need none of them is supposed to have happened.
    fn candidates(&self) -> Vec<usize> {
        let open = || (0..self.steps.len()).filter(|index| !self.taken.has(*index));
        let first_end = open().filter_map(|index| self.steps[index].end).min();
        let Some(first_end) = first_end else { return Vec::new() };
        let is_next = |index: &usize| self.after[*index].is_none_or(|other| self.taken.has(other));
        let mut next: Vec<usize> =
            open().filter(|index| self.steps[*index].begin <= first_end).filter(is_next).collect();
        next.sort_by_key(|index| (self.steps[*index].end.is_none(), self.steps[*index].end));
        next
    }

    fn run(&mut self) -> Option<bool> {
        let mut stack = vec![Frame { state: self.model.initial(), candidates: self.candidates(), next: 0 }];
        while let Some(frame) = stack.last_mut() {
            if frame.candidates.is_empty() {
                return Some(true);
            }
            let Some(&index) = frame.candidates.get(frame.next) else {
                stack.pop();
                if let Some(undone) = self.order.pop() {
                    self.taken.flip(undone);
                }
                continue;
            };
            frame.next += 1;
            let Some(state) = self.model.step(&frame.state, &self.steps[index].step) else { continue };
            if self.steps[index].end.is_none() && state == frame.state {
                // An unknown one without effect may as well not have happened.
                continue;
            }
            self.taken.flip(index);
            if !self.visited.insert((self.taken.clone(), state.clone())) {
                self.taken.flip(index);
                continue;
            }
            if self.visited.len() > self.budget {
                return None;
            }
            self.order.push(index);
            let candidates = self.candidates();
            if self.order.len() > self.longest.0.len() {
                self.longest = (self.order.clone(), candidates.clone());
            }
            stack.push(Frame { state, candidates, next: 0 });
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A register that is written and read.
    struct Register;

    #[derive(Clone, Debug, PartialEq)]
    enum Access {
        Write(u8),
        Read(u8),
    }

    impl Model for Register {
        type State = u8;
        type Step = Access;

        fn initial(&self) -> u8 {
            0
        }

        fn step(&self, state: &u8, step: &Access) -> Option<u8> {
            match step {
                Access::Write(value) => Some(*value),
                Access::Read(value) => (value == state).then_some(*state),
            }
        }
    }

    fn timed(begin: u64, end: Option<u64>, step: Access) -> Timed<Access> {
        Timed { begin: Duration::from_millis(begin), end: end.map(Duration::from_millis), step }
    }

    fn verdict(steps: &[Timed<Access>]) -> Verdict {
        check(&Register, steps, 100_000)
    }

    use Access::{Read, Write};

    #[test]
    fn a_read_during_a_write_may_see_it_or_not() {
        for seen in [0, 1] {
            let steps = [timed(0, Some(10), Write(1)), timed(5, Some(6), Read(seen))];
            assert_eq!(verdict(&steps), Verdict::Linearizable);
        }
    }

    #[test]
    fn a_read_after_a_write_must_see_it() {
        let steps = [timed(0, Some(10), Write(1)), timed(11, Some(12), Read(0))];
        assert!(matches!(verdict(&steps), Verdict::NotLinearizable { .. }));
    }

    #[test]
    fn what_was_seen_once_stays_seen() {
        let steps = [timed(0, None, Write(1)), timed(5, Some(6), Read(1)), timed(7, Some(8), Read(0))];
        assert!(matches!(verdict(&steps), Verdict::NotLinearizable { .. }));
    }

    #[test]
    fn an_unknown_write_may_come_late_or_never() {
        let late = [timed(0, None, Write(1)), timed(5, Some(6), Read(0)), timed(7, Some(8), Read(1))];
        assert_eq!(verdict(&late), Verdict::Linearizable);
        let never = [timed(0, None, Write(1)), timed(5, Some(6), Read(0))];
        assert_eq!(verdict(&never), Verdict::Linearizable);
    }

    #[test]
    fn an_unknown_write_does_not_come_before_its_begin() {
        let steps = [timed(5, Some(6), Read(1)), timed(7, None, Write(1))];
        assert!(matches!(verdict(&steps), Verdict::NotLinearizable { .. }));
    }

    /// Sixty writes that nobody heard of, half of them of each value, while reads see now the one,
    /// now the other: two to the power of sixty subsets, but few that differ.
    #[test]
    fn many_unknown_writes_are_decided_within_a_budget() {
        let unknown = (0..60).map(|n| timed(n, None, Write(u8::from(n % 2 == 0))));
        let reads = (0..50).map(|n| timed(100 + 2 * n, Some(101 + 2 * n), Read(u8::from(n % 2 == 0))));
        let possible: Vec<_> = unknown.chain(reads).collect();
        assert_eq!(check(&Register, &possible, 20_000), Verdict::Linearizable);
        let mut impossible = possible;
        impossible.push(timed(300, Some(301), Read(2)));
        assert!(matches!(check(&Register, &impossible, 20_000), Verdict::NotLinearizable { .. }));
    }

    #[test]
    fn the_budget_ends_a_search() {
        let steps: Vec<_> = (0..12).map(|n| timed(0, Some(100), Write(n))).collect();
        let read = timed(101, Some(102), Read(99));
        let steps: Vec<_> = steps.into_iter().chain([read]).collect();
        assert_eq!(check(&Register, &steps, 1_000), Verdict::Undecided);
    }

    /// By trying every order of every subset of the unknown ones.
    fn by_force(steps: &[Timed<Access>], order: &mut Vec<usize>, state: u8) -> bool {
        let left = |index: &usize| !order.contains(index);
        let open: Vec<usize> = (0..steps.len()).filter(left).collect();
        if open.iter().all(|index| steps[*index].end.is_none()) {
            return true;
        }
        for &next in &open {
            let too_late = open
                .iter()
                .any(|other| *other != next && steps[*other].end.is_some_and(|end| end < steps[next].begin));
            let Some(after) = Register.step(&state, &steps[next].step).filter(|_| !too_late) else {
                continue;
            };
            order.push(next);
            if by_force(steps, order, after) {
                return true;
            }
            order.pop();
        }
        false
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_search_finds_what_brute_force_finds(
            steps in prop::collection::vec(
                (0..12_u64, prop::option::weighted(0.6, 0..6_u64), 0..3_u8, any::<bool>()),
                1..7,
            )
        ) {
            let steps: Vec<_> = steps
                .into_iter()
                .map(|(begin, lasts, value, write)| {
                    // A read without an answer says nothing.
                    let write = write || lasts.is_none();
                    let access = if write { Write(value) } else { Read(value) };
                    timed(begin, lasts.map(|lasts| begin + lasts), access)
                })
                .collect();
            let expected = by_force(&steps, &mut Vec::new(), 0);
            prop_assert_eq!(verdict(&steps) == Verdict::Linearizable, expected);
        }
    }
}
