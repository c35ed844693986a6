//! The life of one instance: from registering to serving to giving way.
//!
//! ```text
//!               Registered              consider()               Won
//!  Registering ───────────▶ Standby ───────────────▶ Campaigning ────▶ CatchingUp
//!    ▲    ▲                    ▲    ◀─── lost, failed ────┘                 │ mirror ≥ epoch
//!    │    └──── LeaseGone ─────┘                                            ▼
//!    │                                                                  Activating
//!    │ TermEnded                                                            │ Activated
//!  Closing ◀──────── deposed, lease gone, key gone, activation failed ──────┤
//!    ▲                                                                      ▼
//!    └──── Passed ──── Passing ◀──── Drained ──── Draining ◀──── Leave ── Active
//!                                                     (no successor: Closing)
//!  Leaving ──── Revoked ────▶ Ended
//! ```
//!
//! `step` takes one event and says what the driver must do, in order; it waits for
//! nothing and knows no network. Time is an argument. `wake_at` names the moment at
//! which a [`Event::Tick`] is wanted.
//!
//! What keeps it safe: a campaign compares the very epoch that its verdict was about
//! (a failed one drops the verdict); a lease that may have been put under the ACTIVE
//! key is never used for another candidacy; a term that ends is over before the next
//! registration begins (`Closing` waits for its tasks).

mod candidacy;
mod leaving;
mod machine;
mod pause;
mod preference;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::machine::Life;
use crate::{
    clock::BootInstant,
    election::{
        rules::Rules,
        session::Kind,
        standing::Peer,
        verdict::{Certainty, Victim},
    },
    ids::{Epoch, LeaseId, Revision, ServerId},
};

/// What does not change within a process.
#[derive(Clone, Debug)]
pub struct LifeSettings {
    /// The own id.
    pub own: ServerId,
    /// The own `host:port`.
    pub address: String,
    /// W.
    pub proof_window: Duration,
    /// Nominal time to live of the own lease.
    pub lease_ttl: Duration,
    /// Whether registering puts a session that others see: with active-standby only.
    pub listed: bool,
    /// Whether hints depose.
    pub fast_takeover: bool,
    /// How much longer than W a successor of a foreign coordinator waits before it answers.
    pub foreign_wait: Duration,
    /// After how long of being ready this instance asks a less preferred ACTIVE one for the role;
    /// `None`: never.
    pub failback: Option<Duration>,
    /// After losing a term: `true` ends the process.
    pub exit_on_loss: bool,
    /// Without active-standby: after so many rounds of waiting the process ends.
    pub rounds: Option<u32>,
    /// All of them, outside simulations.
    pub rules: Rules,
}

/// Who holds the ACTIVE key, as the mirror shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Term and id.
    pub victim: Victim,
    /// Ours or not.
    pub kind: Kind,
    /// The key's lease, from the key.
    pub lease: LeaseId,
    /// Where it is reached.
    pub address: String,
}

/// How this instance's priority compares with the others'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Standbys that are known to live and to be ready, and are preferred to this one.
    pub better: usize,
    /// The term of the ACTIVE one, if that is known to serve and this one is preferred to it.
    pub worse_holder: Option<Epoch>,
}

/// Why a process leaves on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveCause {
    /// Told to end.
    Signal,
    /// Told to change places.
    Switchover,
}

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The ACTIVE key is not of this term any more.
    Deposed,
    /// The own lease is over.
    LeaseGone,
    /// Did not come to serve in time, or failed to.
    ActivationFailed,
    /// Something else wrote what only this term may write.
    ForeignWrite,
    /// Etcd is another one, or an older state of it.
    EtcdReplaced,
    /// Left on purpose.
    Left(LeaveCause),
}

/// How a process ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Told to.
    Done,
    /// Without active-standby: somebody else keeps the key.
    KeyHeld,
    /// Lost its term, and is configured to end then.
    TermLost,
}

/// What a campaign is up against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Tells the answers of campaigns apart.
    pub number: u64,
    /// The term to replace; `None`: the key must be absent.
    pub against: Option<Holder>,
    /// Whether the last holder was a foreign one.
    pub after_foreign: bool,
    /// What was known about it.
    pub certainty: Certainty,
    /// The lease to put the key under.
    pub lease: LeaseId,
}

/// How a campaign ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CampaignEnd {
    /// The key was put at this revision.
    Won(Epoch),
    /// The ACTIVE key is not what the campaign was up against; what is there now was put
    /// at this revision (0: nothing is).
    Lost(Revision),
    /// Only the windows were not as the mirror showed them; they are known now.
    Outdated,
    /// The lease is over.
    LeaseGone,
    /// Etcd took nothing. Certainly not applied.
    Failed,
}

/// What can happen to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session is in etcd under a fresh lease that is surely valid until then.
    Registered(LeaseId, BootInstant),
    /// The lease is surely valid until then.
    LeaseUntil(LeaseId, BootInstant),
    /// The lease is over.
    LeaseGone(LeaseId),
    /// The own session's key is gone, or was for a while: the mirror or registering shows it.
    SessionGone,
    /// Another etcd answers, or it was restored from a backup: nothing known of it holds.
    EtcdReplaced,
    /// The mirror has everything up to this revision, and then the key was held so.
    Mirrored {
        /// Up to when.
        at: Revision,
        /// By whom.
        holder: Option<Holder>,
        /// Whether the mirror follows the watch, rather than being rebuilt.
        in_step: bool,
    },
    /// A session of this role was put, under this revision.
    PeerRegistered(Peer, Revision),
    /// The kernel says that this process is gone.
    ProcessGone(ServerId),
    /// The victim's stream was reset and a redial refused.
    Hint(Victim),
    /// This peer told on its stream where it stands.
    Spoke(ServerId),
    /// The holder of this term says that it ends it on purpose.
    Departs(Victim),
    /// Automatic takeover is paused until then, or not.
    Paused(Option<BootInstant>),
    /// The others' priorities, as far as they matter now.
    Compared(Compared),
    /// The ACTIVE one that was asked for the role has given it, in that term, or not.
    AskedForRole(Result<Epoch, String>),
    /// The active one of this term can't reach etcd and asks not to be deposed by a hint.
    PledgeAsked {
        /// Its term.
        epoch: Epoch,
        /// Until when.
        until: BootInstant,
        /// Goes into the answer.
        nonce: u64,
    },
    /// The active one of this term told of it while it lives on the pledges of others.
    Bound {
        /// Its term.
        epoch: Epoch,
        /// Until when they last at most.
        until: BootInstant,
    },
    /// The foreign holder's lease was revoked, or not.
    ForeignDeposed(Victim, bool),
    /// The campaign of that number ended.
    Campaigned(u64, CampaignEnd),
    /// The role serves, or can't.
    Activated(Result<(), String>),
    /// A read or a write showed that the term is not current any more.
    Deposed(Epoch),
    /// The mirror showed a write into this term's metadata that this term did not make.
    ForeignWrite(Epoch),
    /// The lease clock ran out while etcd is silent, or runs again.
    Suspended(bool),
    /// Asked to leave; successors, best first.
    Leave(LeaveCause, Vec<Peer>),
    /// No write of this term after this revision.
    Drained(Revision),
    /// The successor serves in this term, or failed.
    Passed(Result<Epoch, String>),
    /// The leaving one asks this instance to take over.
    TakeOver {
        /// The term that ends.
        victim: Victim,
        /// It wrote nothing after this.
        last_revision: Revision,
    },
    /// Nothing of the term runs any more.
    TermEnded,
    /// The own lease is revoked, or could not be in time.
    Revoked,
    /// Time has passed.
    Tick,
}

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Grant a fresh lease, put the session, and revoke the old lease if there is one.
    Register {
        /// Revoke last: there is a session all the time, or else `SessionGone` comes before
        /// `Registered`. If not so, revoke first: nothing of the old lease waits for etcd to take
        /// a write.
        staying_listed: bool,
    },
    /// The STANDBY line.
    NoteStandby,
    /// Because of a pause, this holder that seems gone is not deposed.
    NoteHeld(Victim),
    /// Ask the holder of this term, to which this instance is preferred, for the role; then
    /// `AskedForRole`.
    AskForRole(Epoch),
    /// Show that etcd takes writes, then revoke the foreign holder's lease.
    DeposeForeign(Victim, LeaseId),
    /// Run the campaign transaction until its outcome is known.
    Campaign(Campaign),
    /// Read the mirror up to this revision.
    CatchUp(Revision),
    /// Revoke the lease of the key that was replaced.
    RevokeVictim(Victim, LeaseId),
    /// Begin the term; the gate may open from `quiet_at` on.
    Activate {
        /// The term.
        epoch: Epoch,
        /// When the predecessor is surely silent.
        quiet_at: BootInstant,
    },
    /// The role serves.
    NoteActive(Epoch),
    /// Close the gate, cancel the term's tasks, wait for them; then `TermEnded`.
    EndTerm(Epoch, Loss),
    /// Admit no new writes, wait for those on the wire; then `Drained`.
    Drain(Epoch),
    /// Close the gate, end the term's tasks, ask the successor; then `Passed`.
    Pass {
        /// To whom.
        to: Peer,
        /// The term that ends.
        epoch: Epoch,
        /// After its last write.
        last_revision: Revision,
    },
    /// Answer the leaving one.
    AnswerTakeOver(Result<Epoch, String>),
    /// Promise not to depose by a hint.
    Pledge {
        /// Whom.
        epoch: Epoch,
        /// Of the question.
        nonce: u64,
    },
    /// Revoke the own lease; then `Revoked`.
    RevokeOwn,
    /// End the process.
    Exit(Exit),
}
