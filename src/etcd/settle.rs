//! What a failed guard says about an earlier attempt of the same transaction, the
//! outcome of which is unknown.

use crate::{
    etcd::txn::{Guard, KeyValue, Txn},
    ids::Revision,
};

/// What is now known of the first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// It was carried out, at that revision if it put anything.
    Landed(Option<Revision>),
    /// It was not carried out and never will be.
    Never,
    /// Others have changed the keys since, or may let it through yet.
    Unclear,
}

/// Judges by `seen`, the `otherwise` keys of `txn` as they are now. `since` is a
/// revision from before the first attempt was sent.
pub(crate) fn judge(txn: &Txn, seen: &[Option<KeyValue>], since: Revision) -> Repeated {
    let find = |key: &str| {
        let position = txn.otherwise.iter().position(|read| read == key)?;
        seen.get(position).map(Option::as_ref)
    };
    let found: Option<Vec<_>> = txn.then.iter().map(|op| find(op.key()).map(|kv| kv.cloned())).collect();
    let Some(found) = found else { return Repeated::Unclear };
    if let Some(revision) = txn.landed(&found, since) {
        return Repeated::Landed(revision);
    }
    let holds = |guard: &Guard| find(guard.key()).is_some_and(|kv| guard.holds(kv));
    // A transaction is carried out whole: one key as it was before speaks for all.
    let untouched = txn.then.iter().any(|op| {
        let mut guards = txn.guards.iter().filter(|guard| guard.key() == op.key()).peekable();
        guards.peek().is_some() && guards.all(holds)
    });
    // Mod revisions only rise, so this one will not hold again.
    let barred = txn.guards.iter().any(|guard| matches!(guard, Guard::ModIs(..)) && !holds(guard));
    if untouched && barred { Repeated::Never } else { Repeated::Unclear }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::txn::Op;

    fn kv(key: &str, value: &str, created: i64, modified: i64) -> Option<KeyValue> {
        Some(KeyValue {
            key: key.to_owned(),
            value: value.into(),
            create_revision: Revision(created),
            mod_revision: Revision(modified),
            ..KeyValue::default()
        })
    }

    fn txn(guards: &[Guard], then: &[Op]) -> Txn {
        let fence = Guard::ModIs("active".into(), Revision(10));
        let guards: Vec<_> = std::iter::once(fence).chain(guards.iter().cloned()).collect();
        let otherwise = guards.iter().map(|guard| guard.key().to_owned()).collect();
        Txn { guards, then: then.to_vec(), otherwise }
    }

    fn active() -> Option<KeyValue> {
        kv("active", "me", 4, 10)
    }

    #[track_caller]
    fn check(guards: &[Guard], then: &[Op], seen: &[Option<KeyValue>], expected: Repeated) {
        assert_eq!(judge(&txn(guards, then), seen, Revision(20)), expected);
    }

    fn replace() -> ([Guard; 1], [Op; 1]) {
        ([Guard::ModIs("a".into(), Revision(12))], [Op::put("a", "new")])
    }

    #[test]
    fn finds_its_own_values() {
        let (guards, then) = replace();
        let landed = Repeated::Landed(Some(Revision(21)));
        check(&guards, &then, &[active(), kv("a", "new", 5, 21)], landed);
        // Deposed since: carried out all the same.
        check(&guards, &then, &[kv("active", "other", 4, 22), kv("a", "new", 5, 21)], landed);
    }

    #[test]
    fn deposed_before_it_could_land() {
        let (guards, then) = replace();
        check(&guards, &then, &[kv("active", "other", 4, 22), kv("a", "old", 5, 12)], Repeated::Never);
        check(&guards, &then, &[None, kv("a", "old", 5, 12)], Repeated::Never);
    }

    #[test]
    fn overwritten_by_somebody_else_may_mean_anything() {
        let (guards, then) = replace();
        check(&guards, &then, &[kv("active", "other", 4, 22), kv("a", "theirs", 5, 23)], Repeated::Unclear);
        check(&guards, &then, &[active(), kv("a", "theirs", 5, 23)], Repeated::Unclear);
    }

    #[test]
    fn a_changed_bystander_bars_it_for_good() {
        let guards = [Guard::ModIs("parent".into(), Revision(12)), Guard::Absent("child".into())];
        let then = [Op::put("child", "x")];
        check(&guards, &then, &[active(), kv("parent", "", 5, 21), None], Repeated::Never);
    }

    #[test]
    fn a_guard_that_may_hold_again_bars_nothing() {
        let guards = [Guard::Absent("lock".into()), Guard::Absent("child".into())];
        let then = [Op::put("child", "x")];
        check(&guards, &then, &[active(), kv("lock", "", 21, 21), None], Repeated::Unclear);
    }

    #[test]
    fn a_window_that_was_stored_is_recognised() {
        let guards = [Guard::ValueBelow("w".into(), b"5".to_vec())];
        let then = [Op::put("w", "5")];
        check(&guards, &then, &[active(), kv("w", "5", 1, 21)], Repeated::Landed(Some(Revision(21))));
        check(&guards, &then, &[active(), kv("w", "5", 1, 11)], Repeated::Unclear);
        check(&guards, &then, &[active(), kv("w", "7", 1, 21)], Repeated::Unclear);
    }
}
