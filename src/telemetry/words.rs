//! The words in which log, metrics and answers speak of the pair.

use crate::election::standing::Standing;

/// Makes an enum whose variants have a name, and a list of all of them.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident: $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word in log lines, labels and answers.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

words! {
    /// What an instance is at.
    Phase:
    /// Waits for etcd.
    Starting = "starting",
    /// Follows the active one.
    Standby = "standby",
    /// Has won, does not serve yet.
    Activating = "activating",
    /// Serves.
    Active = "active",
    /// Holds the key and may not answer: etcd is silent.
    Suspended = "suspended",
    /// Gives the key away.
    HandingOver = "handing_over",
    /// Has given the key away and forwards.
    Forwarding = "forwarding",
    /// Ends.
    Leaving = "leaving",
}

words! {
    /// Why an instance takes over.
    TakeoverCause:
    /// The kernel says that the active one's process is gone.
    Certain = "certain",
    /// The active one's stream was reset and a new connection refused.
    Hint = "hint",
    /// The ACTIVE key is gone.
    Silence = "silence",
    /// The active one gave it the key.
    Handover = "handover",
    /// There was no active one.
    Vacant = "vacant",
}

words! {
    /// The stages of a takeover, in their order.
    Stage:
    /// It is known that the active one is gone: counted from its last sign of life.
    Detected = "detected",
    /// The active one's hold is ended: its lease is revoked, or nothing had to be.
    Deposed = "deposed",
    /// The transaction for the ACTIVE key has succeeded.
    Won = "won",
    /// The mirror is complete up to the own put.
    CaughtUp = "caught_up",
    /// The first call may be answered.
    Serving = "serving",
}

words! {
    /// Why a term ended.
    TermEnd:
    /// Another instance has the ACTIVE key.
    Deposed = "deposed",
    /// Somebody deleted the ACTIVE key.
    KeyDeleted = "key_deleted",
    /// The lease ran out or was revoked.
    LeaseLost = "lease_lost",
    /// The key was given to a successor.
    HandedOver = "handed_over",
    /// Somebody else wrote own metadata.
    ForeignWrite = "foreign_write",
    /// The term could not begin to serve.
    ActivationFailed = "activation_failed",
    /// Etcd is another one, or was restored from a backup.
    EtcdReplaced = "etcd_replaced",
    /// The process stops and there was no successor.
    Stopped = "stopped",
}

words! {
    /// What a read of the ACTIVE key said of the own term.
    ProofResult:
    /// The own epoch.
    Confirmed = "confirmed",
    /// Another epoch, or no key.
    Refuted = "refuted",
    /// No answer in time.
    Failed = "failed",
}

words! {
    /// What became of a call that this instance could not answer at once.
    CallOutcome:
    /// Sent on to the active one.
    Forwarded = "forwarded",
    /// Kept until this instance serves.
    Held = "held",
    /// Answered so that the client looks for the active one.
    PushedAway = "pushed_away",
}

words! {
    /// A command of an operator's, by when it is run.
    Hook:
    /// The process has become ACTIVE.
    OnActive = "onActive",
    /// It has become STANDBY.
    OnStandby = "onStandby",
    /// It has lost its term or its lease.
    OnFault = "onFault",
    /// It ends.
    OnStop = "onStop",
}

words! {
    /// What became of a hook that was due.
    HookEnd:
    /// Ended with code 0.
    Done = "done",
    /// Ended with another code, or by a signal of somebody else.
    Failed = "failed",
    /// Was killed: its time was over, or the process ends.
    Killed = "killed",
    /// Could not be started.
    NotStarted = "not_started",
    /// A newer one was due before it had begun.
    LeftOut = "left_out",
}

impl Phase {
    /// The phase of an instance that stands there.
    pub fn of(standing: &Standing) -> Self {
        match standing {
            Standing::Starting => Self::Starting,
            Standing::Standby { .. } => Self::Standby,
            Standing::Activating { .. } => Self::Activating,
            Standing::Active { .. } => Self::Active,
            Standing::Suspended { .. } => Self::Suspended,
            Standing::HandingOver { .. } => Self::HandingOver,
            Standing::Forwarding { .. } => Self::Forwarding,
            Standing::Leaving { .. } => Self::Leaving,
        }
    }
}
