//! What the mirror shows of one window, and what a campaign made of it.

use std::collections::VecDeque;

use crate::{
    clock::{BootInstant, UnixNanos},
    etcd::{
        mirror::MirrorEvent,
        txn::{Guard, KeyValue, Op},
    },
    ids::Revision,
    tso::window::{self, BadWindow, Span},
};

/// How many puts and plans are remembered: more than happen between a campaign and its own put.
const REMEMBERED: usize = 32;

/// Why the window of a term is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStaked {
    /// What is stored can't be continued, and was left alone.
    #[error(transparent)]
    Bad(#[from] BadWindow),
    /// The term's first put did not set the window as planned.
    #[error("the transaction at revision {at} did not set {key} as planned")]
    Unplanned {
        /// The window's key.
        key: String,
        /// The term's epoch.
        at: Revision,
    },
}

/// A span and when its clock was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What may be given out.
    pub span: Span,
    /// The boot clock at `span.clock`.
    pub at: BootInstant,
}

/// One window as the mirror shows it.
#[derive(Debug)]
pub struct Stored {
    key: String,
    current: Option<KeyValue>,
    /// The newest revision at which the key is known to have been as `current` says.
    changed_at: Revision,
    /// Set while a snapshot is being loaded: its entry so far.
    loading: Option<Option<KeyValue>>,
    puts: VecDeque<KeyValue>,
    plans: VecDeque<Plan>,
}

/// A window key that was put (`Some`) or deleted at that revision.
pub type Change = (Option<KeyValue>, Revision);

impl Stored {
    /// Nothing is known yet.
    pub fn new(key: String) -> Self {
        Self {
            key,
            current: None,
            changed_at: Revision(0),
            loading: None,
            puts: VecDeque::new(),
            plans: VecDeque::new(),
        }
    }

    /// Takes one event. Returns the change, if it is one of this key.
    pub fn event(&mut self, event: &MirrorEvent) -> Option<Change> {
        match event {
            MirrorEvent::Reset => self.loading = Some(None),
            MirrorEvent::Entry(kv) if kv.key == self.key => self.loading = Some(Some(kv.clone())),
            MirrorEvent::Loaded(header) => {
                let loaded = self.loading.take()?;
                let at = loaded.as_ref().map_or(header.revision, |kv| kv.mod_revision);
                // A snapshot is believed whatever was known: etcd may have been restored.
                self.changed_at = Revision(0);
                return self.change(loaded, at);
            }
            MirrorEvent::Put(kv) if kv.key == self.key => {
                return self.change(Some(kv.clone()), kv.mod_revision);
            }
            MirrorEvent::Deleted(key, at) if *key == self.key => return self.change(None, *at),
            MirrorEvent::Entry(_) | MirrorEvent::Put(_) | MirrorEvent::Deleted(..) | MirrorEvent::UpTo(_) => {
            }
        }
        None
    }

    fn change(&mut self, value: Option<KeyValue>, at: Revision) -> Option<Change> {
        if at <= self.changed_at {
            return None;
        }
        self.changed_at = at;
        self.current.clone_from(&value);
        if let Some(kv) = &value {
            if self.puts.len() == REMEMBERED {
                self.puts.pop_front();
            }
            self.puts.push_back(kv.clone());
        }
        Some((value, at))
    }

    /// A transaction on the key failed and returned this.
    pub fn learned(&mut self, seen: Option<&KeyValue>) {
        match seen {
            Some(kv) => _ = self.change(Some(kv.clone()), kv.mod_revision),
            // When it was deleted is not known. If it is wrong, the next guard says so.
            None => self.current = None,
        }
    }

    /// What somebody has made of the key since `at`.
    pub fn change_after(&self, at: Revision) -> Option<Change> {
        (self.changed_at > at).then(|| (self.current.clone(), self.changed_at))
    }

    /// What is stored, undecoded.
    pub fn current(&self) -> Option<&KeyValue> {
        self.current.as_ref()
    }

    /// Plans the window of the next term: the guard for what is replaced, and the put.
    ///
    /// # Errors
    /// [`BadWindow`]: what is stored is left alone.
    pub fn plan(
        &mut self,
        plan: impl FnOnce(&str, Option<UnixNanos>) -> Result<Span, BadWindow>,
        at: BootInstant,
    ) -> Result<(Guard, Op, Span), BadWindow> {
        let stored = match &self.current {
            Some(kv) => Some(window::decode(&self.key, &kv.value)?),
            None => None,
        };
        let span = plan(&self.key, stored)?;
        if self.plans.len() == REMEMBERED {
            self.plans.pop_front();
        }
        self.plans.push_back(Plan { span, at });
        let guard = Guard::unchanged(&self.key, self.current.as_ref());
        Ok((guard, Op::put(&self.key, window::encode(span.end)), span))
    }

    /// The plan that the transaction at `epoch` carried out. Plans of other attempts are forgotten:
    /// a term gives out from the window that its own first put has set, and from no other.
    ///
    /// # Errors
    /// [`NotStaked`].
    pub fn staked(&mut self, epoch: Revision) -> Result<Plan, NotStaked> {
        let unplanned = || NotStaked::Unplanned { key: self.key.clone(), at: epoch };
        let Some(put) = self.puts.iter().find(|kv| kv.mod_revision == epoch) else {
            if let Some(kv) = &self.current {
                window::decode(&self.key, &kv.value)?;
            }
            return Err(unplanned());
        };
        let end = window::decode(&self.key, &put.value)?;
        let plan =
            self.plans.iter().rev().find(|plan| plan.span.end == end).copied().ok_or_else(unplanned)?;
        self.plans.clear();
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{etcd::call::Header, ids::LeaseId};

    const KEY: &str = "by-dev/kv/gid/timestamp";
    const NOW: UnixNanos = UnixNanos(1_800_000_000_000_000_000);
    const AHEAD: Duration = Duration::from_secs(9);

    fn kv(end: UnixNanos, at: i64) -> KeyValue {
        KeyValue {
            key: KEY.to_owned(),
            value: window::encode(end),
            create_revision: Revision(1),
            mod_revision: Revision(at),
            lease: LeaseId(0),
        }
    }

    fn loaded(stored: &mut Stored, entry: Option<KeyValue>, at: i64) {
        stored.event(&MirrorEvent::Reset);
        if let Some(kv) = entry {
            stored.event(&MirrorEvent::Entry(kv));
        }
        stored.event(&MirrorEvent::Loaded(Header { revision: Revision(at), ..Header::default() }));
    }

    fn plan(stored: &mut Stored, now: UnixNanos) -> Result<(Guard, Op, Span), BadWindow> {
        stored.plan(|key, stored| window::plan(key, stored, now, AHEAD, None, None), BootInstant::default())
    }

    #[test]
    fn a_campaign_compares_what_the_mirror_shows() {
        let mut stored = Stored::new(KEY.to_owned());
        loaded(&mut stored, None, 5);
        let (guard, ..) = plan(&mut stored, NOW).expect("nothing stored");
        assert_eq!(guard, Guard::Absent(KEY.to_owned()));

        stored.event(&MirrorEvent::Put(kv(NOW + AHEAD, 7)));
        let (guard, op, span) = plan(&mut stored, NOW).expect("decodable");
        assert_eq!(guard, Guard::ModIs(KEY.to_owned(), Revision(7)));
        assert_eq!(span.start, NOW + AHEAD + window::GUARD);
        assert_eq!(op, Op::put(KEY, window::encode(span.end)));
    }

    #[test]
    fn a_failed_campaign_teaches_and_the_late_mirror_does_not_unteach() {
        let mut stored = Stored::new(KEY.to_owned());
        loaded(&mut stored, Some(kv(NOW, 3)), 5);
        stored.learned(Some(&kv(NOW + AHEAD, 9)));
        assert_eq!(stored.event(&MirrorEvent::Put(kv(NOW + Duration::from_secs(1), 8))), None);
        let (guard, _, span) = plan(&mut stored, NOW).expect("decodable");
        assert_eq!(guard, Guard::ModIs(KEY.to_owned(), Revision(9)));
        assert_eq!(span.start, NOW + AHEAD + window::GUARD);
    }

    #[test]
    fn a_snapshot_replaces_everything() {
        let mut stored = Stored::new(KEY.to_owned());
        loaded(&mut stored, Some(kv(NOW, 3)), 5);
        loaded(&mut stored, None, 8);
        assert_eq!(stored.current(), None);
    }

    #[test]
    fn an_etcd_that_was_restored_is_believed() {
        let mut stored = Stored::new(KEY.to_owned());
        loaded(&mut stored, Some(kv(NOW + AHEAD, 1_000)), 1_000);
        loaded(&mut stored, Some(kv(NOW, 3)), 5);
        let (guard, ..) = plan(&mut stored, NOW).expect("decodable");
        assert_eq!(guard, Guard::ModIs(KEY.to_owned(), Revision(3)));
    }

    #[test]
    fn a_term_gives_out_from_the_plan_that_its_own_put_carried_out() {
        let mut stored = Stored::new(KEY.to_owned());
        loaded(&mut stored, Some(kv(NOW, 3)), 5);
        let (_, _, first) = plan(&mut stored, NOW + Duration::from_secs(1)).expect("decodable");
        let (_, _, second) = plan(&mut stored, NOW + Duration::from_secs(2)).expect("decodable");
        assert_ne!(first, second);
        // The first attempt, of which nothing had been heard, was the one that came through.
        stored.event(&MirrorEvent::Put(kv(first.end, 9)));
        stored.event(&MirrorEvent::Put(kv(NOW, 10)));
        assert_eq!(stored.staked(Revision(9)).map(|plan| plan.span), Ok(first));
        assert!(matches!(stored.staked(Revision(9)), Err(NotStaked::Unplanned { .. })), "only once");
    }

    #[test]
    fn garbage_is_left_alone_and_named() {
        let mut stored = Stored::new(KEY.to_owned());
        let garbage = KeyValue { value: b"garbage".to_vec(), ..kv(NOW, 3) };
        loaded(&mut stored, Some(garbage), 5);
        assert!(matches!(plan(&mut stored, NOW), Err(BadWindow::Undecodable { .. })));
        let error = stored.staked(Revision(9)).expect_err("nothing to give out");
        assert!(error.to_string().contains(KEY), "{error}");
    }
}
