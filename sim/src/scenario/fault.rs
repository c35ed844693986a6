//! What goes wrong in a scenario, as data, and how a schedule of it is drawn.

use std::time::Duration;

use rand::{Rng, rngs::SmallRng};

/// Which of the instances, counted from zero.
pub type InstanceIndex = usize;
/// Which of the machines, counted from zero.
pub type MachineIndex = usize;

/// Something that goes wrong at one moment, or from one moment to another.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// SIGKILL; started again later.
    Kill(InstanceIndex),
    /// SIGKILL, and started again by a supervisor within milliseconds.
    Restart(InstanceIndex),
    /// SIGTERM; started again later.
    Terminate(InstanceIndex),
    /// SIGSTOP and SIGCONT.
    Freeze(InstanceIndex),
    /// The virtual machine is paused; `true`: suspended, so that its boot clock notices.
    Pause(MachineIndex, bool),
    /// The machine loses its power; its instances are started again later.
    PowerLoss(MachineIndex),
    /// No way between the machine and this etcd member, or all of them.
    CutFromEtcd(MachineIndex, Option<usize>),
    /// No way between two machines.
    CutPeers(MachineIndex, MachineIndex),
    /// No way between the machine and the clients.
    CutClients(MachineIndex),
    /// Connections are reset and refused between two machines, although both live: in one
    /// direction, or both.
    Reject(MachineIndex, MachineIndex, bool),
    /// Every connection between two machines is reset, once.
    Reset(MachineIndex, MachineIndex),
    /// Connecting fails on the machine with this number.
    Trouble(MachineIndex, i32),
    /// The wall clock of the machine jumps by so many milliseconds.
    WallJump(MachineIndex, i64),
    /// The machine's time runs so many millionths too fast.
    Drift(MachineIndex, i64),
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
    WatchLag(usize, Option<Duration>),
    /// The space quota is used up.
    EtcdFull,
    /// Everything up to now is compacted away.
    Compact,
    /// Proposals of one instance that write below a prefix are carried out so much later.
    Late(Option<InstanceIndex>, Prefix, Duration),
    /// Answers to proposals do not come, or say that they timed out, with this probability.
    Unheard(f64),
    /// Proposals get lost with this probability.
    Lost(f64),
    /// Somebody revokes the lease of the ACTIVE key.
    RevokeActive,
}

/// What a late proposal writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Anything.
    Any,
    /// The windows of timestamps and ids.
    Windows,
    /// Databases.
    Databases,
    /// The ACTIVE key.
    Active,
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
        !matches!(self, Self::CutClients(_) | Self::Compact | Self::EtcdMoveLeader(_))
    }

    /// Draws one.
    pub fn draw(rng: &mut SmallRng, extent: Extent) -> Self {
        let instance = rng.random_range(0..extent.instances);
        let machine = rng.random_range(0..extent.machines);
        let other = rng.random_range(0..extent.machines);
        let member = rng.random_range(0..extent.members);
        let ms =
            |rng: &mut SmallRng, range: std::ops::Range<u64>| Duration::from_millis(rng.random_range(range));
        match rng.random_range(0..100) {
            0..12 => Self::Kill(instance),
            12..17 => Self::Restart(instance),
            17..22 => Self::Terminate(instance),
            22..33 => Self::Freeze(instance),
            33..37 => Self::Pause(machine, rng.random_bool(0.5)),
            37..40 => Self::PowerLoss(machine),
            40..44 => Self::CutFromEtcd(machine, None),
            44..46 => Self::CutFromEtcd(machine, Some(member)),
            46..50 if machine != other => Self::CutPeers(machine, other),
            50..52 => Self::CutClients(machine),
            52..57 if machine != other => Self::Reject(machine, other, rng.random_bool(0.5)),
            57..59 if machine != other => Self::Reset(machine, other),
            // EMFILE, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH.
            59..61 => Self::Trouble(machine, [24, 99, 101, 113][rng.random_range(0..4)]),
            61..65 => Self::WallJump(
                machine,
                [-3_600_000, -200, 200, 20_000, 31_536_000_000][rng.random_range(0..5)],
            ),
            65..67 => Self::Drift(machine, rng.random_range(-5_000..5_000)),
            67..69 => Self::EtcdNoLeader,
            69..70 => Self::EtcdMoveLeader(member),
            70..73 if extent.members > 1 => Self::EtcdIsolate(member),
            73..76 if extent.members > 1 => Self::EtcdStaleLeader,
            76..78 => Self::EtcdHang(member),
            78..80 => Self::EtcdOutage,
            80..83 => Self::EtcdLag(member, ms(rng, 20..800)),
            83..86 => {
                let lag = rng.random_bool(0.6).then(|| ms(rng, 20..1_500));
                Self::WatchLag(member, lag)
            }
            86..87 => Self::EtcdFull,
            87..88 => Self::Compact,
            88..93 => {
                let from = rng.random_bool(0.5).then_some(instance);
                let prefix = [Prefix::Any, Prefix::Windows, Prefix::Databases, Prefix::Active];
                Self::Late(from, prefix[rng.random_range(0..4)], ms(rng, 300..6_000))
            }
            93..96 => Self::Unheard(rng.random_range(0.1..0.9)),
            96..98 => Self::Lost(rng.random_range(0.1..0.7)),
            98..100 => Self::RevokeActive,
            _ => Self::Kill(instance),
        }
    }
}

/// Draws a schedule: faults one after the other and several at once, from `begin` to `end`.
pub fn draw_schedule(rng: &mut SmallRng, extent: Extent, begin: Duration, end: Duration) -> Vec<Scheduled> {
    let mut schedule = Vec::new();
    let mut at = begin;
    // Some scenarios are dense, some leave time to recover.
    let pause = [300_u64, 900, 2_500][rng.random_range(0..3)];
    loop {
        at += Duration::from_millis(rng.random_range(0..2 * pause));
        if at >= end {
            return schedule;
        }
        let fault = Fault::draw(rng, extent);
        let longest = [400_u64, 1_500, 5_000][rng.random_range(0..3)];
        let lasts = Duration::from_millis(rng.random_range(5..longest));
        schedule.push(Scheduled { at, fault, lasts });
    }
}
