//! Why a command brought nothing. The message says what; its sources say why.

use std::io;

use crate::etcd::call::CallError;

/// Why a command of an operator could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The sessions are not known.
    #[error("the sessions of the coordinators could not be read (are etcd.endpoints, user and TLS right?)")]
    Sessions(#[from] CallError),
    /// The output could not be written.
    #[error("the output could not be written")]
    Output(#[from] io::Error),
    /// The pause was not set or removed.
    #[error(transparent)]
    Pause(#[from] super::pause::NotPaused),
    /// Past takeovers are not known.
    #[error("past takeovers could not be read")]
    History(#[source] CallError),
    /// The role was not handed over.
    #[error(transparent)]
    Switchover(#[from] super::switchover::NotSwitched),
}
