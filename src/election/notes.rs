//! What of the life of an instance is worth telling operators, as data. Telemetry
//! makes log lines and metrics of it; a simulation collects it.

use std::fmt;

use crate::{
    clock::BootInstant,
    election::{
        history::Course,
        life::{Exit, Holder, Loss},
        pause::Pause,
        session::Session,
        standing::Standing,
        verdict::{Certainty, Victim},
    },
    ids::{Epoch, LeaseId, Revision, ServerId},
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Etcd does not answer; said again and again. Its members, and what was met.
    EtcdAwaited(String, String),
    /// Etcd answers, for the first time or again.
    EtcdAnswers,
    /// The instance begins, under this id.
    Begun(ServerId),
    /// It stands elsewhere than before.
    Stands(Standing),
    /// The session is in etcd.
    Registered {
        /// Its lease.
        lease: LeaseId,
        /// Its key; `None` without active-standby: only the ACTIVE key will hold it.
        key: Option<String>,
        /// Its value.
        session: Session,
    },
    /// In standby, and every ten seconds again. Who holds the key, and how far the mirror is.
    Standby(Option<Holder>, Revision),
    /// The ACTIVE key changed hands or went away, as the mirror shows it.
    HolderChanged {
        /// Who holds it now.
        holder: Option<Holder>,
        /// As of this revision.
        at: Revision,
        /// The last holder has no session of its own any more.
        last_gone: bool,
    },
    /// This process of the same machine is gone.
    ProcessGone(ServerId),
    /// This one's stream was reset and its redial refused.
    Hint(Victim),
    /// Automatic takeover is paused, or paused in other words; `None`: it is no longer.
    Paused(Option<Pause>),
    /// This holder seems gone, and because of a pause it is not deposed.
    Held(Victim),
    /// As the preferred one, this instance asks the holder of this term for the role.
    AsksForRole(Victim),
    /// It was given the role in that term, or not.
    AskedForRole(Result<Epoch, String>),
    /// The ACTIVE one was asked for the role by this standby, which is preferred to it.
    RoleWanted(ServerId),
    /// The lease of a holder of another kind is being revoked: it only reacts to that.
    Deposing(Victim),
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

/// What a read of the ACTIVE key said of the own term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The own epoch.
    Confirmed,
    /// Another epoch, or no key.
    Refuted,
    /// No answer in time.
    Failed,
}

/// Hears of it.
pub trait Witness: Send + Sync + fmt::Debug {
    /// `note` happened at `at`.
    fn note(&self, at: BootInstant, note: &Note);

    /// The ACTIVE key was read for the own term; many times a second under load.
    fn proof(&self, proof: Proof) {
        let _ = proof;
    }

    /// What was measured of the takeover that began the term of `epoch`; asked once it serves.
    /// No default: one that wraps another must pass it on.
    fn course(&self, epoch: Epoch) -> Option<Course>;

    /// Etcd has refused a write of the term of `epoch`, because it is over.
    fn write_refused(&self, epoch: Epoch) {
        let _ = epoch;
    }
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWitness;

impl Witness for NoWitness {
    fn note(&self, _at: BootInstant, _note: &Note) {}

    fn course(&self, _epoch: Epoch) -> Option<Course> {
        None
    }
}
