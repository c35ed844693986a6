//! What goes wrong in a scenario, as data, and how a schedule of it is drawn.

use std::time::Duration;

/// Which of the instances, counted from zero.
pub type InstanceIndex = usize;

/// An instance, and with it its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one.
    Nth(InstanceIndex),
    /// The one that is ACTIVE when the fault begins.
    Active,
    /// One that is not: the first, the second, ….
    Standby(usize),
}

/// Something that goes wrong at one moment, or from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// SIGKILL; started again later.
    Kill(Target),
    /// SIGKILL, and started again by a supervisor within milliseconds.
    Restart(Target),
    /// SIGTERM; started again later.
    Terminate(Target),
    /// SIGSTOP and SIGCONT.
    Freeze(Target),
    /// The virtual machine is paused; `true`: suspended, so that its boot clock notices.
    Pause(Target, bool),
    /// The machine loses its power; its instances are started again later.
    PowerLoss(Target),
    /// No way between the machine and this etcd member, or all of them.
    CutFromEtcd(Target, Option<usize>),
    /// No way between two machines.
    CutPeers(Target, Target),
    /// No way between the machine and the clients.
    CutClients(Target),
    /// Connections are reset, and refused from the first machine to the second (`true`: and
    /// back), although both live.
    Reject(Target, Target, bool),
    /// Every connection between two machines is reset, once.
    Reset(Target, Target),
    /// Connecting fails on the machine with this number.
    Trouble(Target, i32),
    /// The wall clock of the machine jumps by so many milliseconds.
    WallJump(Target, i64),
    /// The machine's time runs so many millionths too fast.
    Drift(Target, i64),
    /// Etcd loses its leader until it has elected another.
    EtcdNoLeader,
    /// Etcd's leader changes at once.
    EtcdMoveLeader(usize),
    /// The member loses its peers.
    EtcdIsolate(usize),
    /// The leader hangs on its disk, goes on answering keep-alives, and is replaced.
    EtcdStaleLeader,
    /// The member answers nothing.
    EtcdHang(usize),
    /// No member answers anything.
    EtcdOutage,
    /// The member sees everything late.
    EtcdLag(usize, Duration),
    /// Watches at the member are told late, or nothing.
    MemberWatchLag(usize, Option<Duration>),
    /// Watches of the instance are told late, or nothing.
    WatchLag(Target, Option<Duration>),
    /// The space quota is used up.
    EtcdFull,
    /// Everything up to now is compacted away.
    Compact,
    /// The next proposals of one instance, or of anybody, are carried out so much later.
    Late(Option<Target>, Writing, Duration),
    /// Answers to proposals do not come, or say that they timed out, with this probability.
    Unheard(f64),
    /// Proposals get lost with this probability.
    Lost(f64),
    /// Somebody revokes the lease of the ACTIVE key.
    RevokeActive,
    /// An operator pauses automatic takeover, and resumes it.
    PauseTakeover,
}

/// What a late proposal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Anything.
    Any,
    /// The windows of timestamps and ids.
    Windows,
    /// Databases.
    Databases,
    /// The ACTIVE key.
    Active,
    /// The end of a lease.
    Revokes,
}

/// A fault, from when, and how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// Since the scenario began.
    pub at: Duration,
    /// What.
    pub fault: Fault,
    /// Until it is mended. What has no duration ignores it.
    pub lasts: Duration,
}

/// What a schedule can be about.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Rootcoords.
    pub instances: usize,
    /// Machines that they are on.
    pub machines: usize,
    /// Etcd members.
    pub members: usize,
}

impl Fault {
    /// Whether it can end a term, so that one term change may follow from it.
    pub fn may_depose(&self) -> bool {
        !matches!(self, Self::CutClients(_) | Self::Compact | Self::EtcdMoveLeader(_) | Self::PauseTakeover)
    }

    /// The same with other targets.
    #[must_use]
    pub fn aimed(mut self, aim: impl Fn(Target) -> Target) -> Self {
        match &mut self {
            Self::Kill(at)
            | Self::Restart(at)
            | Self::Terminate(at)
            | Self::Freeze(at)
            | Self::Pause(at, _)
            | Self::PowerLoss(at)
            | Self::CutFromEtcd(at, _)
            | Self::CutClients(at)
            | Self::Trouble(at, _)
            | Self::WallJump(at, _)
            | Self::Drift(at, _)
            | Self::WatchLag(at, _)
            | Self::Late(Some(at), ..) => *at = aim(*at),
            Self::CutPeers(a, b) | Self::Reject(a, b, _) | Self::Reset(a, b) => {
                *a = aim(*a);
                *b = aim(*b);
            }
            Self::EtcdNoLeader
            | Self::EtcdMoveLeader(_)
            | Self::EtcdIsolate(_)
            | Self::EtcdStaleLeader
            | Self::EtcdHang(_)
            | Self::EtcdOutage
            | Self::EtcdLag(..)
            | Self::MemberWatchLag(..)
            | Self::EtcdFull
            | Self::Compact
            | Self::Late(None, ..)
            | Self::Unheard(_)
            | Self::Lost(_)
            | Self::RevokeActive
            | Self::PauseTakeover => {}
        }
        self
    }
}
