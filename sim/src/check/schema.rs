//! The collections of a database, their partitions and aliases, as one object.
//!
//! What is carried out twice, or is so already, is told as follows.
//!
//! | request | when it is a success |
//! |---|---|
//! | create a collection | there is none of that name, or one that was made with the same parameters and never changed |
//! | drop a collection, a partition, an alias | always; dropping a collection by an alias is refused |
//! | create a partition | always, if its collection is there |
//! | create an alias | it is free, or stands for that collection |
//! | alter an alias | it stands for any collection |
//! | rename | the old name is a collection's own and the new one is free, or this very request was carried out |
//!
//! An alias of a dropped collection stays taken until the collection is removed in the
//! background: from then on nobody knows whether it is, until somebody learns it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Violation,
    linear::{Model, Timed, Verdict, check as search},
};
use crate::{
    history::{Call, Operation, Outcome},
    schema::{Deed, Described, Look, Name, Seen},
};

/// Configurations for the search.
const BUDGET: usize = 20_000;

/// How far the history could be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// There is one.
    Decided,
    /// Too many were possible.
    Undecided,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Collection {
    kind: u8,
    mark: Option<u8>,
    /// Once it was described.
    id: Option<i64>,
    partitions: BTreeSet<Name>,
    aliases: BTreeSet<Name>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    collections: BTreeMap<Name, Collection>,
    /// Aliases of what was dropped: perhaps still taken.
    dead: BTreeSet<Name>,
    /// Requests that were carried out.
    renamed: BTreeSet<i64>,
    /// All that were ever seen.
    ids: BTreeSet<i64>,
}

/// What may become of a change.
enum Fate {
    Done(State),
    Refused,
    /// Nobody knows, and it leaves one of these: done, and refused.
    Either(State, State),
}

impl State {
    /// The collection that has the alias.
    fn target(&self, alias: Name) -> Option<Name> {
        self.collections.iter().find(|(_, it)| it.aliases.contains(alias)).map(|(name, _)| *name)
    }

    /// What a name or an alias stands for.
    fn found(&self, name: Name) -> Option<Name> {
        self.target(name).or_else(|| self.collections.contains_key(name).then_some(name))
    }

    /// The same with another version of a collection.
    fn with(&self, name: Name, change: impl FnOnce(&mut Collection)) -> Self {
        let mut after = self.clone();
        if let Some(collection) = after.collections.get_mut(name) {
            change(collection);
        }
        after
    }

    /// The same without that alias of what is gone.
    fn without_dead(&self, alias: Name) -> Self {
        let mut after = self.clone();
        after.dead.remove(alias);
        after
    }

    fn carry_out(&self, deed: &Deed) -> Fate {
        match *deed {
            Deed::Create { name, kind } => self.create(name, kind),
            Deed::Drop(name) => self.drop_collection(name),
            Deed::Rename { request, old, new } => self.rename(request, old, new),
            Deed::Mark(name, mark) => self.change(name, |it| it.mark = Some(mark)),
            Deed::AddPartition(of, name) => self.change(of, |it| _ = it.partitions.insert(name)),
            Deed::DropPartition(of, name) => self.change(of, |it| _ = it.partitions.remove(name)),
            Deed::AddAlias(alias, of) => self.add_alias(alias, of),
            Deed::MoveAlias(alias, of) => self.move_alias(alias, of),
            Deed::DropAlias(alias) => {
                let mut after = self.without_dead(alias);
                for collection in after.collections.values_mut() {
                    collection.aliases.remove(alias);
                }
                Fate::Done(after)
            }
        }
    }

    fn change(&self, name: Name, change: impl FnOnce(&mut Collection)) -> Fate {
        self.found(name).map_or(Fate::Refused, |own| Fate::Done(self.with(own, change)))
    }

    fn create(&self, name: Name, kind: u8) -> Fate {
        if self.target(name).is_some() {
            return Fate::Refused;
        }
        let new =
            Collection { kind, mark: None, id: None, partitions: BTreeSet::new(), aliases: BTreeSet::new() };
        if let Some(there) = self.collections.get(name) {
            let same = there.kind == kind && there.mark.is_none() && there.partitions.is_empty();
            return if same { Fate::Done(self.clone()) } else { Fate::Refused };
        }
        let mut done = self.without_dead(name);
        done.collections.insert(name, new);
        if self.dead.contains(name) { Fate::Either(done, self.clone()) } else { Fate::Done(done) }
    }

    fn drop_collection(&self, name: Name) -> Fate {
        if self.target(name).is_some() {
            return Fate::Refused;
        }
        if self.dead.contains(name) {
            return Fate::Either(self.without_dead(name), self.clone());
        }
        let mut after = self.clone();
        if let Some(dropped) = after.collections.remove(name) {
            after.dead.extend(dropped.aliases);
        }
        Fate::Done(after)
    }

    fn rename(&self, request: i64, old: Name, new: Name) -> Fate {
        if self.renamed.contains(&request) {
            return Fate::Done(self.clone());
        }
        let taken = self.found(new).is_some();
        if self.target(old).is_some() || taken || !self.collections.contains_key(old) {
            return Fate::Refused;
        }
        let mut done = self.without_dead(new);
        if let Some(renamed) = done.collections.remove(old) {
            done.collections.insert(new, renamed);
        }
        done.renamed.insert(request);
        if self.dead.contains(new) { Fate::Either(done, self.clone()) } else { Fate::Done(done) }
    }

    fn add_alias(&self, alias: Name, of: Name) -> Fate {
        if self.collections.contains_key(alias) || !self.collections.contains_key(of) {
            return Fate::Refused;
        }
        let done = || self.without_dead(alias).with(of, |it| _ = it.aliases.insert(alias));
        match self.target(alias) {
            Some(other) if other == of => Fate::Done(self.clone()),
            Some(_) => Fate::Refused,
            None if self.dead.contains(alias) => Fate::Either(done(), self.clone()),
            None => Fate::Done(done()),
        }
    }

    fn move_alias(&self, alias: Name, of: Name) -> Fate {
        if self.collections.contains_key(alias) || !self.collections.contains_key(of) {
            return Fate::Refused;
        }
        let moved = |from: Option<Name>| {
            let mut after = self.without_dead(alias);
            if let Some(from) = from {
                after = after.with(from, |it| _ = it.aliases.remove(alias));
            }
            after.with(of, |it| _ = it.aliases.insert(alias))
        };
        match self.target(alias) {
            Some(from) => Fate::Done(moved(Some(from))),
            // If it is refused, it is gone.
            None if self.dead.contains(alias) => Fate::Either(moved(None), self.without_dead(alias)),
            None => Fate::Refused,
        }
    }

    /// What is known after an answer; `None`: it can't be given here.
    fn look(&self, look: &Look, seen: &Seen) -> Option<Self> {
        let same = |possible: bool| possible.then(|| self.clone());
        match (look, seen) {
            (Look::Names, Seen::Names(names)) => same(self.collections.keys().eq(names)),
            (Look::Has(name), Seen::Has(has)) => same(self.found(name).is_some() == *has),
            (Look::Collection(name) | Look::Partitions(name), Seen::Missing) => {
                same(self.found(name).is_none())
            }
            (Look::Collection(name), Seen::Collection(described)) => self.described(name, described),
            (Look::Partitions(name), Seen::Partitions(names)) => {
                same(self.collections.get(self.found(name)?)?.partitions.iter().eq(names))
            }
            _ => None,
        }
    }

    /// From now on its id is known.
    fn described(&self, asked: Name, described: &Described) -> Option<Self> {
        let own = self.found(asked)?;
        let collection = &self.collections[own];
        let fits = described.name == own
            && described.kind == collection.kind
            && described.mark == collection.mark
            && described.aliases.iter().eq(&collection.aliases)
            && described.partitions == collection.partitions.len() + 1;
        if !fits {
            return None;
        }
        match collection.id {
            Some(known) => (known == described.id).then(|| self.clone()),
            None if self.ids.contains(&described.id) => None,
            None => {
                let mut after = self.with(own, |it| it.id = Some(described.id));
                after.ids.insert(described.id);
                Some(after)
            }
        }
    }
}

/// A call that had, or may have had, an effect, or told something.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Done(Deed),
    Refused(Deed),
    Maybe(Deed),
    Saw(Look, Seen),
}

#[derive(Debug)]
struct Schema;

impl Model for Schema {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        State::default()
    }

    fn step(&self, state: &State, step: &Step) -> Option<State> {
        match step {
            Step::Done(deed) | Step::Maybe(deed) => match state.carry_out(deed) {
                Fate::Done(done) | Fate::Either(done, _) => Some(done),
                Fate::Refused => None,
            },
            Step::Refused(deed) => match state.carry_out(deed) {
                Fate::Refused => Some(state.clone()),
                Fate::Either(_, refused) => Some(refused),
                Fate::Done(_) => None,
            },
            Step::Saw(look, seen) => state.look(look, seen),
        }
    }
}

fn step(operation: &Operation) -> Option<Timed<Step>> {
    let unknown = operation.end.is_none() || operation.outcome == Outcome::Unknown;
    let step = match (&operation.call, &operation.outcome) {
        (Call::Do(deed), _) if unknown => Step::Maybe(deed.clone()),
        (Call::Do(deed), Outcome::Done) => Step::Done(deed.clone()),
        (Call::Do(deed), Outcome::Refused) => Step::Refused(deed.clone()),
        (Call::Look(look), Outcome::Seen(seen)) => Step::Saw(look.clone(), seen.clone()),
        _ => return None,
    };
    Some(Timed { begin: operation.begin, end: operation.end.filter(|_| !unknown), step })
}

/// Checks what was done to the schema and what was seen of it, all names together.
///
/// # Errors
/// No order of the calls gives these answers.
pub fn check(operations: &[Operation]) -> Result<Order, Violation> {
    let steps: Vec<Timed<Step>> = operations.iter().filter_map(step).collect();
    match search(&Schema, &steps, BUDGET) {
        Verdict::Linearizable => Ok(Order::Decided),
        Verdict::Undecided => Ok(Order::Undecided),
        Verdict::NotLinearizable { ordered, stuck } => Err(violation(&steps, &ordered, &stuck)),
    }
}

fn violation(steps: &[Timed<Step>], ordered: &[usize], stuck: &[usize]) -> Violation {
    let seconds = |time: Duration| time.as_secs_f64();
    let show = |index: &usize| {
        let timed = &steps[*index];
        let end = timed.end.map_or_else(|| "…".to_owned(), |end| format!("{:.3}", seconds(end)));
        format!("  {:.3}–{end} {:?}\n", seconds(timed.begin), timed.step)
    };
    let last: String = ordered.iter().rev().take(16).rev().map(show).collect();
    let next: String = stuck.iter().map(show).collect();
    Violation(format!("the schema is not linearizable. After\n{last}none of these can come next:\n{next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: Deed = Deed::Create { name: "x", kind: 1 };

    fn operation(begin: u64, call: Call, outcome: Outcome) -> Operation {
        let ms = Duration::from_millis;
        Operation { client: 0, call, begin: ms(begin), end: Some(ms(begin + 1)), outcome }
    }

    fn done(at: u64, deed: Deed) -> Operation {
        operation(at, Call::Do(deed), Outcome::Done)
    }

    fn refused(at: u64, deed: Deed) -> Operation {
        operation(at, Call::Do(deed), Outcome::Refused)
    }

    fn maybe(at: u64, deed: Deed) -> Operation {
        operation(at, Call::Do(deed), Outcome::Unknown)
    }

    fn saw(at: u64, look: Look, seen: Seen) -> Operation {
        operation(at, Call::Look(look), Outcome::Seen(seen))
    }

    fn described(at: u64, name: Name, id: i64, aliases: &[Name]) -> Operation {
        let described = Described { id, name, kind: 1, mark: None, aliases: aliases.to_vec(), partitions: 1 };
        saw(at, Look::Collection(name), Seen::Collection(described))
    }

    #[track_caller]
    fn allowed(history: &[Operation]) {
        assert_eq!(check(history), Ok(Order::Decided));
    }

    #[track_caller]
    fn forbidden(history: &[Operation]) {
        assert!(check(history).is_err());
    }

    #[test]
    fn equal_creations_succeed_and_others_do_not() {
        let other = Deed::Create { name: "x", kind: 2 };
        allowed(&[done(0, X), done(2, X), refused(4, other.clone())]);
        forbidden(&[done(0, X), done(2, other)]);
        forbidden(&[done(0, X), refused(2, X)]);
        allowed(&[done(0, X), done(2, Deed::AddPartition("x", "p")), refused(4, X)]);
    }

    #[test]
    fn a_dropped_collection_does_not_come_back() {
        let gone = [done(0, X), described(2, "x", 7, &[]), done(4, Deed::Drop("x"))];
        allowed(&[&gone[..], &[saw(6, Look::Names, Seen::Names(vec![]))]].concat());
        forbidden(&[&gone[..], &[saw(6, Look::Has("x"), Seen::Has(true))]].concat());
        let again = [&gone[..], &[done(6, X)]].concat();
        allowed(&[&again[..], &[described(8, "x", 9, &[])]].concat());
        forbidden(&[&again[..], &[described(8, "x", 7, &[])]].concat());
    }

    #[test]
    fn an_unknown_one_may_come_late_or_never_but_only_once() {
        let gone = Deed::Drop("x");
        let late = [maybe(0, X), saw(2, Look::Has("x"), Seen::Has(false))];
        allowed(&late);
        allowed(&[&late[..], &[saw(4, Look::Has("x"), Seen::Has(true))]].concat());
        let twice = [
            maybe(0, X),
            saw(2, Look::Has("x"), Seen::Has(true)),
            done(4, gone),
            saw(6, Look::Has("x"), Seen::Has(true)),
        ];
        forbidden(&twice);
    }

    #[test]
    fn a_repeated_rename_is_a_success_and_another_request_is_not() {
        let rename = |request| Deed::Rename { request, old: "x", new: "y" };
        allowed(&[done(0, X), maybe(2, rename(1)), done(4, rename(1)), refused(6, rename(2))]);
        forbidden(&[done(0, X), done(2, rename(1)), done(4, rename(2))]);
        forbidden(&[done(0, X), done(2, rename(1)), saw(4, Look::Has("x"), Seen::Has(true))]);
    }

    #[test]
    fn aliases_go_with_their_collection() {
        let begin = [done(0, X), done(2, Deed::AddAlias("k", "x")), described(4, "x", 7, &["k"])];
        let y = Deed::Create { name: "y", kind: 1 };
        let begin = [&begin[..], &[done(6, y)]].concat();
        forbidden(&[&begin[..], &[done(8, Deed::AddAlias("k", "y"))]].concat());
        allowed(&[&begin[..], &[done(8, Deed::MoveAlias("k", "y")), described(10, "y", 9, &["k"])]].concat());
        let dropped = [&begin[..], &[done(8, Deed::Drop("x"))]].concat();
        // Perhaps it is removed already, perhaps not.
        let (taken, free) = (refused(10, Deed::AddAlias("k", "y")), done(12, Deed::AddAlias("k", "y")));
        allowed(&[&dropped[..], &[taken, free]].concat());
        let gone = refused(10, Deed::MoveAlias("k", "y"));
        allowed(&[&dropped[..], std::slice::from_ref(&gone)].concat());
        forbidden(&[&dropped[..], &[gone, refused(12, Deed::AddAlias("k", "y"))]].concat());
        forbidden(&[&dropped[..], &[saw(10, Look::Has("k"), Seen::Has(true))]].concat());
    }
}
