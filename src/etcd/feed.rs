//! From a watch's messages to the mirror's events.
//!
//! Etcd sends a range's changes in the order of their revisions, and a revision as a
//! whole, except that a *fragment* may end in the middle of one. A message's own
//! revision means nothing here: while a watch catches up, and on releases before
//! 3.4.25 and 3.5.8 also when its progress was asked for, it may run ahead of the changes.

use crate::{
    etcd::{
        call::Header,
        mirror::{KeyRange, MirrorEvent},
    },
    ids::Revision,
};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) revision: Revision,
    /// `None`: of a key that isn't text, or of an unknown kind.
    pub(crate) event: Option<MirrorEvent>,
}

/// What a watch says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) created: bool,
    /// The watch is over, for this reason.
    pub(crate) canceled: Option<String>,
    /// It is over because what it wanted is compacted away.
    pub(crate) compacted: bool,
    /// More of the same follows.
    pub(crate) fragment: bool,
    pub(crate) changes: Vec<Change>,
}

/// What to do after a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait for the next one.
    Go,
    /// Some changes can't be had any more: load everything.
    Load,
    /// The watch is over.
    Reopen(String),
}

/// Keys of several ranges.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Sorted, not overlapping.
    ranges: Vec<KeyRange>,
}

impl Wanted {
    pub(crate) fn new(ranges: &[KeyRange]) -> Self {
        Self { ranges: merge(ranges) }
    }

    pub(crate) fn ranges(&self) -> &[KeyRange] {
        &self.ranges
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        let after = self.ranges.partition_point(|range| *range.start <= *key);
        after > 0 && self.ranges[after - 1].contains(key)
    }
}

/// Where a mirror stands within etcd's history.
#[derive(Debug)]
pub(crate) struct Feed {
    wanted: Wanted,
    done: Revision,
    /// Delivered in part.
    partial: Option<Revision>,
}

impl Feed {
    /// Goes on after `done`.
    pub(crate) fn new(wanted: Wanted, done: Revision) -> Self {
        Self { wanted, done, partial: None }
    }

    /// Everything up to here has been delivered.
    pub(crate) fn done(&self) -> Revision {
        self.done
    }

    /// Delivers a message's changes, and `UpTo` if that completes a revision.
    pub(crate) fn apply(&mut self, message: Message, deliver: &mut dyn FnMut(MirrorEvent)) -> Next {
        let before = self.done;
        for Change { revision, event } in message.changes {
            if revision <= self.done {
                continue;
            }
            if let Some(partial) = self.partial
                && partial < revision
            {
                self.done = partial;
            }
            self.partial = Some(revision);
            let key = match &event {
                Some(MirrorEvent::Put(kv)) => &kv.key,
                Some(MirrorEvent::Deleted(key, _)) => key,
                _ => continue,
            };
            if self.wanted.contains(key)
                && let Some(event) = event
            {
                deliver(event);
            }
        }
        if !message.fragment
            && let Some(partial) = self.partial.take()
        {
            self.done = partial;
        }
        if self.done > before {
            deliver(MirrorEvent::UpTo(self.done));
        }
        match message.canceled {
            _ if message.compacted => Next::Load,
            Some(reason) => Next::Reopen(reason),
            None => Next::Go,
        }
    }
}

/// The same keys in ranges that are sorted and don't overlap.
fn merge(ranges: &[KeyRange]) -> Vec<KeyRange> {
    let mut sorted: Vec<_> = ranges.iter().filter(|range| range.start < range.end).cloned().collect();
    sorted.sort_by(|a, b| a.start.cmp(&b.start));
    let mut merged: Vec<KeyRange> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.clone().max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::etcd::txn::KeyValue;

    fn put(key: &str, revision: i64) -> MirrorEvent {
        MirrorEvent::Put(KeyValue {
            key: key.into(),
            mod_revision: Revision(revision),
            ..KeyValue::default()
        })
    }

    fn change(key: &str, revision: i64) -> Change {
        Change { revision: Revision(revision), event: Some(put(key, revision)) }
    }

    fn message(fragment: bool, changes: &[Change]) -> Message {
        Message { fragment, changes: changes.to_vec(), ..Message::default() }
    }

    fn up_to(revision: i64) -> MirrorEvent {
        MirrorEvent::UpTo(Revision(revision))
    }

    #[track_caller]
    fn check(messages: &[Message], expected: &[MirrorEvent]) {
        let mut feed = Feed::new(Wanted::new(&[KeyRange::prefix("a/"), KeyRange::key("w")]), Revision(5));
        let mut seen = Vec::new();
        for message in messages {
            assert_eq!(feed.apply(message.clone(), &mut |event| seen.push(event)), Next::Go);
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn unwanted_keys_only_move_the_revision() {
        check(
            &[message(false, &[change("a/1", 6), change("b/1", 7)]), message(false, &[change("w", 9)])],
            &[put("a/1", 6), up_to(7), put("w", 9), up_to(9)],
        );
    }

    #[test]
    fn what_the_snapshot_had_is_not_repeated() {
        check(
            &[message(false, &[change("a/1", 4), change("a/2", 5), change("a/3", 6)])],
            &[put("a/3", 6), up_to(6)],
        );
    }

    #[test]
    fn a_revision_is_complete_when_its_last_fragment_is_there() {
        check(
            &[
                message(true, &[change("a/1", 6), change("a/2", 7)]),
                message(true, &[change("a/3", 7)]),
                message(false, &[change("a/4", 7), change("a/5", 8)]),
            ],
            &[put("a/1", 6), put("a/2", 7), up_to(6), put("a/3", 7), put("a/4", 7), put("a/5", 8), up_to(8)],
        );
    }

    #[test]
    fn progress_answers_move_nothing() {
        let header = Header { revision: Revision(99), ..Header::default() };
        check(&[Message { header, ..Message::default() }], &[]);
    }

    #[test]
    fn keys_that_are_no_text_move_the_revision() {
        check(&[message(false, &[Change { revision: Revision(6), event: None }])], &[up_to(6)]);
    }

    #[test]
    fn the_end_of_a_watch_says_what_to_do() {
        let mut feed = Feed::new(Wanted::new(&[]), Revision(5));
        let over = |reason: &str, compacted| Message {
            canceled: Some(reason.to_owned()),
            compacted,
            ..Message::default()
        };
        assert_eq!(feed.apply(over("compacted", true), &mut |_| {}), Next::Load);
        assert_eq!(feed.apply(over("no leader", false), &mut |_| {}), Next::Reopen("no leader".into()));
    }

    proptest! {
        #[test]
        fn merging_changes_no_membership(
            ranges in prop::collection::vec(("[a-d]{0,3}", "[a-d]{0,3}"), 0..8),
            keys in prop::collection::vec("[a-d]{0,4}", 0..20),
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(start, end)| KeyRange { start, end }).collect();
            let wanted = Wanted::new(&ranges);
            for pair in wanted.ranges().windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            for key in &keys {
                prop_assert_eq!(wanted.contains(key), ranges.iter().any(|range| range.contains(key)), "{}", key);
            }
        }

        /// However a history is cut into messages, each event comes once, in order, and
        /// `UpTo` never before the last event of its revision.
        #[test]
        fn fragments_lose_and_repeat_nothing(
            sizes in prop::collection::vec(1_usize..5, 1..20),
            cuts in prop::collection::vec(1_usize..7, 1..60),
        ) {
            let mut changes = Vec::new();
            for (n, size) in sizes.iter().enumerate() {
                for k in 0..*size {
                    changes.push(change(&format!("a/{k}"), i64::try_from(n).unwrap() + 6));
                }
            }
            let expected: Vec<_> = changes.iter().filter_map(|change| change.event.clone()).collect();
            let mut feed = Feed::new(Wanted::new(&[KeyRange::prefix("a/")]), Revision(5));
            let mut seen = Vec::new();
            let mut rest = &changes[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let cut = (*cuts.next().unwrap()).min(rest.len());
                let (now, later) = rest.split_at(cut);
                rest = later;
                // What etcd does: only a fragment may end within a revision.
                let within = later.first().is_some_and(|next| next.revision == now[cut - 1].revision);
                feed.apply(message(within, now), &mut |event| seen.push(event));
            }
            let mut delivered = Vec::new();
            for event in seen {
                match event {
                    MirrorEvent::UpTo(revision) => {
                        let complete = expected.iter().filter(|event| matches!(event, MirrorEvent::Put(kv)
                            if kv.mod_revision <= revision)).count();
                        prop_assert!(delivered.len() >= complete);
                    }
                    event => delivered.push(event),
                }
            }
            prop_assert_eq!(delivered, expected);
            prop_assert_eq!(feed.done(), Revision(i64::try_from(sizes.len()).unwrap() + 5));
        }
    }
}
