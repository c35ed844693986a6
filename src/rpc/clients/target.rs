//! Whom a client follows.

use std::{collections::BTreeMap, fmt, ops::Bound, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    election::standing::Peer,
    ids::{Role, ServerId},
};

/// The sessions of all nodes of one kind.
pub type Nodes = Arc<BTreeMap<ServerId, Peer>>;

/// The place of a peer among the sessions, as the mirror shows it.
#[derive(Clone, Debug)]
pub enum Target {
    /// Whoever holds the ACTIVE key of a role.
    Coordinator(Role, watch::Receiver<Option<Peer>>),
    /// One node, by its id.
    Node {
        /// `proxy`, `datanode` …
        kind: &'static str,
        /// Which one.
        id: ServerId,
        /// Where it is listed while it lives.
        nodes: watch::Receiver<Nodes>,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator(role, _) => role.fmt(f),
            Self::Node { kind, id, .. } => write!(f, "{kind}-{id}"),
        }
    }
}

impl Target {
    /// Where to find it now.
    pub(super) fn now(&mut self) -> Option<Peer> {
        match self {
            Self::Coordinator(_, peer) => peer.borrow_and_update().clone(),
            Self::Node { id, nodes, .. } => nodes.borrow_and_update().get(id).cloned(),
        }
    }

    /// Whether it is a node that does not come back: it has no session any more, or a
    /// younger one has its address, and it has died without a word. Whoever answers at
    /// that address still counts.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Coordinator(..) => false,
            Self::Node { id, nodes, .. } => {
                let nodes = nodes.borrow();
                let Some(peer) = nodes.get(id) else { return true };
                let younger = (Bound::Excluded(*id), Bound::Unbounded);
                nodes.range(younger).any(|(_, other)| other.address == peer.address)
            }
        }
    }

    /// Waits until it is to be found elsewhere than at `than`, or as another one; or,
    /// for a node, until its session is gone.
    pub(super) async fn replaced(&mut self, than: Option<&Peer>) {
        loop {
            let now = self.now();
            if self.is_gone() || now.is_some() && now.as_ref() != than {
                return;
            }
            let changed = match self {
                Self::Coordinator(_, peer) => peer.changed().await,
                Self::Node { nodes, .. } => nodes.changed().await,
            };
            if changed.is_err() {
                // The mirror has ended, and the process with it.
                return std::future::pending().await;
            }
        }
    }

    /// The same, after a while that a slow answer may take. An instance that hands
    /// over still answers what it was asked before.
    pub(super) async fn replaced_for(&mut self, than: &Peer, grace: Duration) {
        loop {
            self.replaced(Some(than)).await;
            tokio::time::sleep(grace).await;
            if self.is_gone() || self.now().is_some_and(|now| now != *than) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_gone_when_a_younger_one_has_its_address() {
        let at = |sessions: &[(i64, &str)], id: i64| {
            let nodes = sessions
                .iter()
                .map(|&(id, address)| {
                    let server_id = ServerId(id);
                    (server_id, Peer { server_id, address: address.to_owned() })
                })
                .collect();
            let (_, nodes) = watch::channel(Nodes::new(nodes));
            Target::Node { kind: "proxy", id: ServerId(id), nodes }.is_gone()
        };
        assert!(at(&[], 5));
        assert!(!at(&[(5, "a:1")], 5));
        assert!(!at(&[(5, "a:1"), (8, "b:1")], 5));
        assert!(at(&[(5, "a:1"), (8, "a:1")], 5));
        assert!(!at(&[(5, "a:1"), (8, "a:1")], 8));
    }
}
