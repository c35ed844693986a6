//! What of the life of an instance is worth telling operators, as data. Telemetry
//! makes log lines and metrics of it; a simulation collects it.

use std::fmt;

use crate::{
    clock::BootInstant,
    election::{
        life::{Exit, Loss},
        verdict::{Certainty, Victim},
    },
    ids::{Epoch, LeaseId, Revision, ServerId},
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The session is in etcd.
    Registered(LeaseId),
    /// In standby, and every ten seconds again. Who holds the key, and how far the mirror is.
    Standby(Option<Victim>, Revision),
    /// The ACTIVE key changed hands or went away, as the mirror shows it.
    HolderChanged(Option<Victim>),
    /// This process of the same machine is gone.
    ProcessGone(ServerId),
    /// This one's stream was reset and its redial refused.
    Hint(Victim),
    /// A campaign begins: against whom, and what is known of it.
    Campaign(Option<Victim>, Certainty),
    /// Somebody else has the key.
    CampaignLost,
    /// The key is put.
    Won(Epoch),
    /// The mirror has the own put, and the role is being flipped.
    CaughtUp(Epoch),
    /// Serves.
    Serving(Epoch),
    /// Activation failed.
    ActivationFailed(Epoch, String),
    /// The lease clock ran out while etcd is silent (`true`), or runs again.
    Suspended(bool),
    /// The own lease is over.
    LeaseGone(LeaseId),
    /// The term is over.
    TermEnded(Epoch, Loss),
    /// Asked to leave on purpose, with so many possible successors.
    Leaving(usize),
    /// The successor serves, or failed.
    HandedOver(Result<Epoch, String>),
    /// The life has ended.
    Ended(Exit),
}

/// Hears of it.
pub trait Witness: Send + Sync + fmt::Debug {
    /// `note` happened at `at`.
    fn note(&self, at: BootInstant, note: &Note);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWitness;

impl Witness for NoWitness {
    fn note(&self, _at: BootInstant, _note: &Note) {}
}
