//! What one proxy still has to be told: one entry per subject, bounded, oldest first.

use std::collections::{BTreeMap, HashMap};

use crate::rootcoord::peers::notices::{Notice, Subject};

/// A place in the order in which notices came up. Rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Serial(u64);

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} earlier notices are not answered yet")]
pub(super) struct Full(usize);

/// See the module.
#[derive(Debug)]
pub(super) struct Backlog {
    owed: HashMap<Subject, (Serial, Notice)>,
    order: BTreeMap<Serial, Subject>,
    newest: Serial,
    most: usize,
}

impl Backlog {
    /// One that takes that many subjects.
    pub(super) fn new(most: usize) -> Self {
        Self { owed: HashMap::new(), order: BTreeMap::new(), newest: Serial::default(), most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.owed.len()
    }

    /// Everything that was owed up to now has at most this serial.
    pub(super) fn newest(&self) -> Serial {
        self.newest
    }

    /// To be told. Takes the place of an older notice of the same subject.
    ///
    /// # Errors
    /// [`Full`]
    pub(super) fn owe(&mut self, mut notice: Notice) -> Result<(), Full> {
        let subject = notice.subject();
        if let Some((serial, older)) = self.owed.get(&subject) {
            notice.absorb(older);
            self.order.remove(serial);
        } else if self.owed.len() >= self.most {
            return Err(Full(self.most));
        }
        self.append(subject, notice);
        Ok(())
    }

    /// What comes next.
    pub(super) fn next(&self) -> Option<(Serial, Notice)> {
        let (serial, subject) = self.order.first_key_value()?;
        self.owed.get(subject).map(|(_, notice)| (*serial, notice.clone()))
    }

    /// The notice of that serial was heard. A newer one of its subject stays.
    pub(super) fn heard(&mut self, serial: Serial) {
        if let Some(subject) = self.order.remove(&serial) {
            self.owed.remove(&subject);
        }
    }

    /// A notice was heard that was sent after everything up to `sent_after` was owed.
    pub(super) fn heard_beside(&mut self, notice: &Notice, sent_after: Serial) {
        if let Some((serial, owed)) = self.owed.get(&notice.subject())
            && *serial <= sent_after
            && notice.covers(owed)
        {
            let serial = *serial;
            self.heard(serial);
        }
    }

    /// The notice of that serial can wait until the others had their turn.
    pub(super) fn put_off(&mut self, serial: Serial) {
        if let Some(subject) = self.order.remove(&serial)
            && let Some((_, notice)) = self.owed.remove(&subject)
        {
            self.append(subject, notice);
        }
    }

    pub(super) fn clear(&mut self) {
        self.owed.clear();
        self.order.clear();
    }

    fn append(&mut self, subject: Subject, notice: Notice) {
        self.newest.0 += 1;
        self.order.insert(self.newest, subject.clone());
        self.owed.insert(subject, (self.newest, notice));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::CollectionId,
        rootcoord::peers::{Forget, Invalidation, PolicyChange},
        tso::hybrid::Timestamp,
    };

    fn notice(ts: u64, what: Forget) -> Notice {
        let mut all = Notice::of(Invalidation { ts: Timestamp(ts), database: "db".to_owned(), what });
        all.remove(0)
    }

    fn name(ts: u64, name: &str) -> Notice {
        notice(ts, Forget::Names(vec![name.to_owned()]))
    }

    fn collection(ts: u64, id: i64) -> Notice {
        notice(ts, Forget::Collection(CollectionId(id)))
    }

    fn dropped(ts: u64, id: i64) -> Notice {
        notice(ts, Forget::Dropped(CollectionId(id)))
    }

    fn drain(mut backlog: Backlog) -> Vec<Notice> {
        std::iter::from_fn(|| {
            let (serial, notice) = backlog.next()?;
            backlog.heard(serial);
            Some(notice)
        })
        .collect()
    }

    #[test]
    fn of_each_subject_only_the_newest_is_owed() {
        let mut backlog = Backlog::new(100);
        let policy = Notice::Policy(PolicyChange::ReloadAll);
        for notice in
            [name(1, "a"), collection(2, 7), policy.clone(), name(4, "a"), name(5, "b"), collection(6, 7)]
        {
            backlog.owe(notice).expect("room");
        }
        backlog.owe(policy.clone()).expect("room");
        assert_eq!(drain(backlog), [name(4, "a"), name(5, "b"), collection(6, 7), policy]);
    }

    #[test]
    fn a_drop_is_not_lost_in_a_later_notice() {
        let mut backlog = Backlog::new(100);
        backlog.owe(dropped(1, 7)).expect("room");
        let before = backlog.newest();
        backlog.heard_beside(&collection(2, 7), before);
        assert_eq!(backlog.len(), 1, "told without the drop");
        backlog.owe(collection(3, 7)).expect("room");
        assert_eq!(drain(backlog), [dropped(3, 7)]);
    }

    #[test]
    fn what_was_sent_before_it_came_up_does_not_count() {
        let mut backlog = Backlog::new(100);
        let before = backlog.newest();
        backlog.owe(name(1, "a")).expect("room");
        backlog.heard_beside(&name(1, "a"), before);
        assert!(!backlog.is_empty());
        let (serial, _) = backlog.next().expect("owed");
        backlog.owe(name(2, "a")).expect("room");
        backlog.heard(serial);
        assert_eq!(backlog.next().map(|(_, notice)| notice), Some(name(2, "a")));
        let now = backlog.newest();
        backlog.heard_beside(&name(3, "a"), now);
        assert!(backlog.is_empty());
    }

    #[test]
    fn what_is_put_off_lets_the_others_pass() {
        let mut backlog = Backlog::new(100);
        backlog.owe(name(1, "a")).expect("room");
        backlog.owe(name(2, "b")).expect("room");
        let (serial, _) = backlog.next().expect("owed");
        backlog.put_off(serial);
        assert_eq!(drain(backlog), [name(2, "b"), name(1, "a")]);
    }

    #[test]
    fn there_is_an_end_to_what_is_owed() {
        let mut backlog = Backlog::new(2);
        backlog.owe(name(1, "a")).expect("room");
        backlog.owe(name(2, "b")).expect("room");
        assert_eq!(backlog.owe(name(3, "c")), Err(Full(2)));
        backlog.owe(name(4, "a")).expect("it needs no more room");
        assert_eq!(backlog.len(), 2);
    }
}
