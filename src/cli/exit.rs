//! How the program ends. The one list of exit codes; the help texts are written from it.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// A server: stopped as it was asked to.
    Stopped,
    /// Could not do it.
    Failed,
    /// Wrong arguments or configuration; or the role is not in this version.
    Usage,
    /// Another instance holds the role, active-standby is off, and the rounds are over.
    Held,
    /// Lost its role, and `activeStandby.onLost` is `exit`.
    Lost,
    /// `health`: serves.
    HealthActive,
    /// `health`: stands by.
    HealthStandby,
    /// `health`: waits for something, or is about to serve.
    HealthWaiting,
    /// `health`: does not answer.
    HealthUnreachable,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done | Self::Stopped | Self::HealthActive => 0,
            Self::Failed | Self::HealthStandby => 1,
            Self::Usage | Self::HealthWaiting => 2,
            Self::Held | Self::HealthUnreachable => 3,
            Self::Lost => 4,
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped => "stopped as asked",
            Self::Failed => "failed",
            Self::Usage => "wrong arguments or configuration",
            Self::Held => "another instance holds the role, and active-standby is off",
            Self::Lost => "lost the role, and activeStandby.onLost is exit",
            Self::HealthActive => "active: it serves",
            Self::HealthStandby => "standby",
            Self::HealthWaiting => "waiting or activating (also: wrong arguments or configuration)",
            Self::HealthUnreachable => "unreachable",
        }
    }

    /// A section of a help text.
    pub(super) fn help(codes: &[Self]) -> String {
        let lines: Vec<_> =
            codes.iter().map(|exit| format!("  {}  {}", exit.code(), exit.meaning())).collect();
        format!("Exit codes:\n{}", lines.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
