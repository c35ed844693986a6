//! What is known about an ACTIVE process that seems gone, and what follows from it.
//!
//! | verdict | what was seen | its answers surely end |
//! |---|---|---|
//! | handed over | it said so itself, having stopped | now |
//! | certain | the kernel of this machine released its lock | now |
//! | hint | its verified stream was reset by the peer, and a redial refused | W after the deposing put is acknowledged |
//! | silence | its key is gone | W after the own put is acknowledged |
//!
//! Everything else a network can show (time-outs, no route, no free port, no name)
//! is silence and deposes nobody: the lease decides.

use std::time::Duration;

use crate::ids::{Epoch, ServerId};

/// A term and its holder: what a verdict is about, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Victim {
    /// The term.
    pub epoch: Epoch,
    /// Its holder.
    pub server_id: ServerId,
}

/// How sure it is that the victim has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The victim stopped answering and writing, and asked for its successor.
    HandedOver,
    /// The kernel says that the process is gone.
    Certain,
    /// It looks gone from here; it may be alive.
    Hint,
    /// The key is gone: lease over, or deleted.
    Silence,
}

impl Certainty {
    /// How long after the acknowledged put the victim may still answer.
    ///
    /// Rates of two machines' clocks differ; one percent is far above what hardware does.
    pub fn quiet_after(self, proof_window: Duration) -> Duration {
        match self {
            Self::HandedOver | Self::Certain => Duration::ZERO,
            Self::Hint | Self::Silence => proof_window + proof_window / 100,
        }
    }

    /// The word in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::HandedOver => "handed over",
            Self::Certain => "certain",
            Self::Hint => "hint",
            Self::Silence => "silence",
        }
    }
}
