//! Etcd's own history: every change of metadata lies in a term of the process that made it.
//!
//! A term begins with a put of the ACTIVE key and ends with the next put or the end of that
//! key. What lies below the sessions belongs to no term; so does nothing else.

use super::Violation;
use crate::fake_etcd::{
    cluster::Cluster,
    record::{Applied, Origin, What},
    store::Change,
};

/// Where what lies.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Everything below this is checked.
    pub root: String,
    /// What is exempt.
    pub sessions: String,
    /// What an operator writes, and nobody else.
    pub operators: String,
    /// Whose put begins a term.
    pub active: String,
    /// Keys whose values are eight-byte numbers that never go down.
    pub windows: Vec<String>,
}

/// A term as etcd's history shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTerm {
    /// The revision that began it.
    pub epoch: i64,
    /// Who did.
    pub owner: Origin,
}

/// Goes through etcd's history as it grows.
#[derive(Clone, Debug)]
pub struct TermChecker {
    layout: Layout,
    /// How much of the history has been looked at.
    next: usize,
    current: Option<SeenTerm>,
    terms: Vec<SeenTerm>,
    windows: Vec<u64>,
}

impl TermChecker {
    /// One that has seen nothing yet.
    pub fn new(layout: Layout) -> Self {
        let windows = vec![0; layout.windows.len()];
        Self { layout, next: 0, current: None, terms: Vec::new(), windows }
    }

    /// All terms so far.
    pub fn terms(&self) -> &[SeenTerm] {
        &self.terms
    }

    /// The term that lasts.
    pub fn current(&self) -> Option<&SeenTerm> {
        self.current.as_ref()
    }

    /// Looks at what is new.
    ///
    /// # Errors
    /// The first violation.
    pub fn look(&mut self, cluster: &Cluster) -> Result<(), Violation> {
        while let Some(applied) = cluster.applied().get(self.next) {
            self.next += 1;
            let changes = cluster.store().changes(applied.revision);
            self.revoked(applied, changes)?;
            self.begin_or_end(applied, changes);
            for change in changes {
                self.judge(applied, change)?;
            }
        }
        Ok(())
    }

    /// An instance that deposes another revokes what the other's key no longer hangs on: nobody
    /// ends the term that lasts by that, but its owner.
    fn revoked(&self, applied: &Applied, changes: &[Change]) -> Result<(), Violation> {
        let (What::Revoke(_), Some(term)) = (applied.what, &self.current) else { return Ok(()) };
        let ends = changes.iter().any(|change| change.key == self.layout.active.as_bytes());
        if !ends || applied.origin == term.owner || applied.origin == Origin::operator() {
            return Ok(());
        }
        Err(Violation(format!(
            "{} revoked the lease of epoch {} of {} at revision {} ({:.3} s)",
            applied.origin,
            term.epoch,
            term.owner,
            applied.revision,
            applied.at.as_secs_f64(),
        )))
    }

    /// A transaction that takes the key may take the windows, too: it counts as in its own term.
    fn begin_or_end(&mut self, applied: &Applied, changes: &[Change]) {
        for change in changes.iter().filter(|change| change.key == self.layout.active.as_bytes()) {
            self.current = change
                .now
                .as_ref()
                .map(|_| SeenTerm { epoch: applied.revision, owner: applied.origin.clone() });
            self.terms.extend(self.current.clone());
        }
    }

    fn judge(&mut self, applied: &Applied, change: &Change) -> Result<(), Violation> {
        let key = String::from_utf8_lossy(&change.key).into_owned();
        if !key.starts_with(&self.layout.root) || key.starts_with(&self.layout.sessions) {
            return Ok(());
        }
        if key.starts_with(&self.layout.operators) && applied.origin == Origin::operator() {
            return Ok(());
        }
        let owner = self.current.as_ref().map(|term| &term.owner);
        if owner != Some(&applied.origin) {
            let term = match &self.current {
                Some(term) => format!("epoch {} of {}", term.epoch, term.owner),
                None => "no term".to_owned(),
            };
            return Err(Violation(format!(
                "{} wrote {key} at revision {} ({:?}, {:.3} s), in {term}",
                applied.origin,
                applied.revision,
                applied.what,
                applied.at.as_secs_f64(),
            )));
        }
        // The same process may hold two terms: what it sent in the first must not arrive in the second.
        if let Some(term) = &self.current
            && applied.revision != term.epoch
            && applied.set_out < term.epoch
        {
            return Err(Violation(format!(
                "{} wrote {key} at revision {}, sent at {}, before epoch {} began",
                applied.origin, applied.revision, applied.set_out, term.epoch
            )));
        }
        self.window(applied, change, &key)
    }

    fn window(&mut self, applied: &Applied, change: &Change, key: &str) -> Result<(), Violation> {
        let Some(index) = self.layout.windows.iter().position(|window| window == key) else { return Ok(()) };
        let value = change.now.as_ref().and_then(|kv| kv.value.as_slice().try_into().ok());
        let Some(value) = value.map(u64::from_be_bytes) else {
            return Err(Violation(format!("{key} has no value at revision {}", applied.revision)));
        };
        if value < self.windows[index] {
            return Err(Violation(format!(
                "{key} went back from {} to {value} at revision {} by {}",
                self.windows[index], applied.revision, applied.origin
            )));
        }
        self.windows[index] = value;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use etcd_client::proto::{PbDeleteRequest, PbLeaseGrantRequest, PbLeaseRevokeRequest, PbPutRequest};

    use super::*;
    use crate::fake_etcd::cluster::Proposal;

    fn layout() -> Layout {
        Layout {
            root: "by-dev/".to_owned(),
            sessions: "by-dev/meta/session/".to_owned(),
            operators: "by-dev/kv/milvus-coord/pause/".to_owned(),
            active: "by-dev/meta/session/rootcoord".to_owned(),
            windows: vec!["by-dev/kv/gid/timestamp".to_owned()],
        }
    }

    /// What these writes, each by somebody, come to.
    fn verdict(writes: &[(&str, &str, Option<u64>)]) -> Result<Vec<SeenTerm>, Violation> {
        verdict_late(writes, 0)
    }

    /// The same, if the last of them set out so many revisions before it arrives.
    fn verdict_late(writes: &[(&str, &str, Option<u64>)], late: i64) -> Result<Vec<SeenTerm>, Violation> {
        let mut cluster = Cluster::new(1, Duration::from_secs(1));
        let mut checker = TermChecker::new(layout());
        for (index, (who, key, value)) in writes.iter().enumerate() {
            let last = index + 1 == writes.len();
            let key = format!("by-dev/{key}").into_bytes();
            let proposal = match value {
                Some(value) => {
                    let value = value.to_be_bytes().to_vec();
                    Proposal::Put(PbPutRequest { key, value, ..Default::default() })
                }
                None => Proposal::Delete(PbDeleteRequest { key, ..Default::default() }),
            };
            let set_out = cluster.store().revision() - if last { late } else { 0 };
            cluster.apply(&proposal, &Origin::new(who), set_out, Duration::ZERO).expect("it is simple");
            checker.look(&cluster)?;
        }
        Ok(checker.terms().to_vec())
    }

    const ACTIVE: &str = "meta/session/rootcoord";
    const META: &str = "meta/root-coord/x";
    const WINDOW: &str = "kv/gid/timestamp";

    #[test]
    fn the_holder_of_the_key_may_write() {
        let writes =
            [("a", ACTIVE, Some(0)), ("a", META, Some(1)), ("b", ACTIVE, Some(0)), ("b", META, Some(2))];
        let terms = verdict(&writes).expect("allowed");
        assert_eq!(terms.iter().map(|term| term.owner.name()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(terms[0].epoch < terms[1].epoch);
    }

    #[test]
    fn sessions_belong_to_no_term() {
        let writes = [("b", "meta/session/id", Some(1)), ("b", "meta/session/rootcoord-2", Some(1))];
        assert_eq!(verdict(&writes), Ok(vec![]));
    }

    #[test]
    fn a_deposed_process_must_not_write() {
        let writes = [("a", ACTIVE, Some(0)), ("b", ACTIVE, Some(0)), ("a", META, Some(1))];
        assert!(verdict(&writes).is_err());
    }

    #[test]
    fn nobody_writes_without_a_term() {
        assert!(verdict(&[("a", META, Some(1))]).is_err());
        assert!(verdict(&[("a", ACTIVE, Some(0)), ("a", ACTIVE, None), ("a", META, Some(1))]).is_err());
    }

    #[test]
    fn what_was_sent_in_an_earlier_term_must_not_arrive() {
        let writes =
            [("a", ACTIVE, Some(0)), ("b", ACTIVE, Some(0)), ("a", ACTIVE, Some(0)), ("a", META, Some(1))];
        assert!(verdict_late(&writes, 0).is_ok());
        assert!(verdict_late(&writes, 1).is_err());
    }

    /// A term of `a` under a lease that is then revoked by somebody.
    fn revoked_by(who: &Origin) -> Result<(), Violation> {
        let mut cluster = Cluster::new(1, Duration::from_secs(1));
        let mut checker = TermChecker::new(layout());
        let put =
            PbPutRequest { key: b"by-dev/meta/session/rootcoord".to_vec(), lease: 7, ..Default::default() };
        for (proposal, origin) in [
            (Proposal::Grant(PbLeaseGrantRequest { id: 7, ttl: 5 }), &Origin::new("a")),
            (Proposal::Put(put), &Origin::new("a")),
            (Proposal::Revoke(PbLeaseRevokeRequest { id: 7 }), who),
        ] {
            cluster.apply(&proposal, origin, 1, Duration::ZERO).expect("it is simple");
            checker.look(&cluster)?;
        }
        Ok(())
    }

    #[test]
    fn only_its_owner_ends_a_term_by_a_lease() {
        assert_eq!(revoked_by(&Origin::new("a")), Ok(()));
        assert_eq!(revoked_by(&Origin::operator()), Ok(()));
        assert!(revoked_by(&Origin::new("b")).is_err());
    }

    #[test]
    fn windows_never_go_back() {
        let writes = [("a", ACTIVE, Some(0)), ("a", WINDOW, Some(5)), ("a", WINDOW, Some(4))];
        assert!(verdict(&writes).is_err());
        let writes = [("a", ACTIVE, Some(0)), ("a", WINDOW, Some(5)), ("a", WINDOW, None)];
        assert!(verdict(&writes).is_err());
    }
}
