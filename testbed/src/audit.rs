//! etcd's own history as a witness: every change there ever was, in order.

use std::time::Duration;

use etcd_client::{Client, EventType, WatchOptions};

use crate::session;

/// How long the history may take to be read.
const LIMIT: Duration = Duration::from_secs(30);

/// One holding of the ACTIVE key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The revision of the put that began it.
    pub from: i64,
    /// The revision that ended it; `None` while it lasts.
    pub until: Option<i64>,
    /// Whose it was; `None` when the value is no session.
    pub server_id: Option<i64>,
}

/// A change of a key.
#[derive(Clone, Debug)]
struct Change {
    revision: i64,
    key: String,
    /// `None`: deleted.
    value: Option<Vec<u8>>,
}

/// Reads every change of the cluster below `root` and checks, for rootcoord:
///
/// * the windows of timestamps and ids are never removed, and get smaller only as the
///   last act of a term: one that leaves on purpose gives back what it did not use;
/// * nothing of rootcoord's metadata changes while nobody holds the ACTIVE key.
///
/// Returns the terms in their order. Only for an etcd whose history was not compacted,
/// and without a real Milvus, which does neither.
///
/// # Panics
/// When a promise is broken, or the history can't be read.
pub async fn audit(client: &mut Client, root: &str) -> Vec<Term> {
    let changes = changes(client, root).await;
    let terms = terms(&changes, &format!("{root}/meta/session/rootcoord"));
    for window in ["timestamp", "idTimestamp"] {
        check_window(&changes, &terms, &format!("{root}/kv/gid/{window}"));
    }
    let metadata =
        [format!("{root}/meta/root-coord/"), format!("{root}/meta/snapshots/"), format!("{root}/kv/gid/")];
    for change in changes.iter().filter(|change| metadata.iter().any(|prefix| change.key.starts_with(prefix)))
    {
        // The campaign itself writes the windows in the transaction that begins the term.
        let in_term =
            |term: &&Term| term.from <= change.revision && term.until.is_none_or(|end| change.revision < end);
        assert!(
            terms.iter().any(|term| in_term(&term)),
            "{} changed at revision {}, when nobody held the ACTIVE key: {terms:?}",
            change.key,
            change.revision
        );
    }
    terms
}

/// Only the terms, of an etcd with whatever coordinators.
///
/// # Panics
/// When the history can't be read.
pub async fn terms_of(client: &mut Client, root: &str, role: &str) -> Vec<Term> {
    terms(&changes(client, root).await, &format!("{root}/meta/session/{role}"))
}

fn terms(changes: &[Change], active_key: &str) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    for change in changes.iter().filter(|change| change.key == active_key) {
        if let Some(last) = terms.last_mut()
            && last.until.is_none()
        {
            last.until = Some(change.revision);
        }
        if let Some(value) = &change.value {
            terms.push(Term { from: change.revision, until: None, server_id: session::server_id(value) });
        }
    }
    terms
}

fn check_window(changes: &[Change], terms: &[Term], key: &str) {
    let term_of = |change: &Change| terms.iter().rposition(|term| term.from <= change.revision);
    let mut newest: Option<(u64, Option<usize>)> = None;
    let mut shrunk = None;
    for change in changes.iter().filter(|change| change.key == key) {
        let value =
            change.value.as_deref().and_then(|value| Some(u64::from_be_bytes(value.try_into().ok()?)));
        let value = value
            .unwrap_or_else(|| panic!("{key} became {:?} at revision {}", change.value, change.revision));
        let term = term_of(change);
        assert!(
            shrunk.is_none() || shrunk != term,
            "{key} was used on after it was given back: revision {}",
            change.revision
        );
        if let Some((newest, its_term)) = newest
            && value < newest
        {
            let at = change.revision;
            assert!(
                term == its_term,
                "{key} went back from {newest} to {value} at revision {at}, by a successor"
            );
            shrunk = term;
        }
        newest = Some((value, term));
    }
}

async fn changes(client: &mut Client, root: &str) -> Vec<Change> {
    let read = async {
        // A key beside the cluster, so that it stands in nobody's way: once its put comes
        // through the watch, all before it has come.
        #[expect(clippy::disallowed_methods, reason = "not a key of the product")]
        let end = client.put("milvus-coord-testbed/end", "", None).await.expect("a last revision");
        let end = end.header().expect("a header").revision();
        let options = WatchOptions::new().with_range("\0").with_start_revision(1);
        let mut stream = client.watch("\0", Some(options)).await.expect("a watch of everything");
        let mut changes = Vec::new();
        let below = format!("{root}/");
        loop {
            let answer = stream.message().await.expect("the watch goes on").expect("the watch goes on");
            assert!(!answer.canceled(), "the history is not whole: {}", answer.cancel_reason());
            for event in answer.events() {
                let Some(kv) = event.kv() else { continue };
                let key = String::from_utf8_lossy(kv.key()).into_owned();
                if kv.mod_revision() <= end && key.starts_with(&below) {
                    let value = (event.event_type() == EventType::Put).then(|| kv.value().to_vec());
                    changes.push(Change { revision: kv.mod_revision(), key, value });
                }
                if kv.mod_revision() >= end {
                    return changes;
                }
            }
        }
    };
    tokio::time::timeout(LIMIT, read).await.expect("etcd's history within half a minute")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::Etcd;

    const ACTIVE: &str = "r/meta/session/rootcoord";
    const WINDOW: &str = "r/kv/gid/timestamp";

    /// Puts in that order; an empty value deletes.
    async fn history(etcd: &Etcd, puts: &[(&str, &[u8])]) -> Vec<Term> {
        let mut client = etcd.client().await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test bed itself")]
        for (key, value) in puts {
            if value.is_empty() {
                client.delete(*key, None).await.unwrap();
            } else {
                client.put(*key, *value, None).await.unwrap();
            }
        }
        audit(&mut client, "r").await
    }

    fn session(id: i64) -> Vec<u8> {
        format!(r#"{{"ServerID":{id}}}"#).into_bytes()
    }

    #[tokio::test]
    async fn terms_are_told_apart() {
        let etcd = Etcd::single().await.unwrap();
        let (one, two) = (session(1), session(2));
        let terms =
            history(&etcd, &[(ACTIVE, &one), ("r/kv/gid/timestamp", &[1; 8]), (ACTIVE, &two), (ACTIVE, b"")])
                .await;
        let ids: Vec<_> = terms.iter().map(|term| (term.server_id, term.until.is_some())).collect();
        assert_eq!(ids, [(Some(1), true), (Some(2), true)]);
    }

    #[tokio::test]
    #[should_panic(expected = "went back")]
    async fn a_successor_that_sets_a_window_back_is_found() {
        let etcd = Etcd::single().await.unwrap();
        let (one, two) = (session(1), session(2));
        history(&etcd, &[(ACTIVE, &one), (WINDOW, &[2; 8]), (ACTIVE, &two), (WINDOW, &[1; 8])]).await;
    }

    #[tokio::test]
    #[should_panic(expected = "used on after it was given back")]
    async fn a_window_that_is_used_after_it_was_given_back_is_found() {
        let etcd = Etcd::single().await.unwrap();
        let one = session(1);
        history(&etcd, &[(ACTIVE, &one), (WINDOW, &[2; 8]), (WINDOW, &[1; 8]), (WINDOW, &[3; 8])]).await;
    }

    #[tokio::test]
    async fn a_window_may_be_given_back_at_the_end_of_a_term() {
        let etcd = Etcd::single().await.unwrap();
        let (one, two) = (session(1), session(2));
        let used =
            [(ACTIVE, &one[..]), (WINDOW, &[3; 8]), (WINDOW, &[1; 8]), (ACTIVE, &two), (WINDOW, &[2; 8])];
        history(&etcd, &used).await;
    }

    #[tokio::test]
    #[should_panic(expected = "nobody held the ACTIVE key")]
    async fn a_write_outside_of_every_term_is_found() {
        let etcd = Etcd::single().await.unwrap();
        let one = session(1);
        history(&etcd, &[(ACTIVE, &one), (ACTIVE, b""), ("r/meta/root-coord/database/db-info/7", b"x")])
            .await;
    }
}
