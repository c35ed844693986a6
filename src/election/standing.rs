//! Where this instance stands, as the rest of the process may see it.

use crate::ids::{Epoch, ServerId};

/// An instance that others can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub server_id: ServerId,
    /// `host:port` of its gRPC server.
    pub address: String,
}

/// What this instance may do with a call that reaches it now.
///
/// Published by the life cycle; read by the server for every call, and by the
/// health answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// No server id and no session yet: etcd has not answered so far.
    #[default]
    Starting,
    /// Registered, following; `active` serves, if there is one.
    Standby {
        /// The holder of the ACTIVE key.
        active: Option<(Peer, Epoch)>,
    },
    /// Won the key; calls wait for it to serve.
    Activating {
        /// The term that begins.
        epoch: Epoch,
    },
    /// Serves. Answers still need the gate's consent.
    Active {
        /// The term.
        epoch: Epoch,
    },
    /// Still holds the key as far as it knows, but may not answer: etcd is silent
    /// and the lease clock or the proof has run out. Calls wait.
    Suspended {
        /// The term.
        epoch: Epoch,
    },
    /// On the way out on purpose: calls wait until the successor has the key.
    HandingOver {
        /// The term that ends.
        epoch: Epoch,
    },
    /// Handed over on purpose: calls go to the successor until the time for that is over.
    Forwarding {
        /// Who serves now.
        to: Peer,
        /// In which term.
        epoch: Epoch,
    },
    /// Ending. Callers that don't say whom they want are told to connect elsewhere, and
    /// what they still send here goes to the one that serves; the others are pushed away.
    Leaving {
        /// Another instance that holds the ACTIVE key.
        active: Option<(Peer, Epoch)>,
    },
}

impl Standing {
    /// The term in which this instance holds the key.
    pub fn own_epoch(&self) -> Option<Epoch> {
        match self {
            Self::Activating { epoch }
            | Self::Active { epoch }
            | Self::Suspended { epoch }
            | Self::HandingOver { epoch } => Some(*epoch),
            Self::Starting | Self::Standby { .. } | Self::Forwarding { .. } | Self::Leaving { .. } => None,
        }
    }
}
