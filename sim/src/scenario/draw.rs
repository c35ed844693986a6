//! How a schedule of faults is drawn: single ones, and plots of several that go together.

use std::{ops::Range, time::Duration};

use rand::{Rng, rngs::SmallRng};

use super::fault::{Extent, Fault, Scheduled, Target, Writing};

/// What is drawn from, and what for.
#[derive(Debug)]
pub struct Dice<'a> {
    rng: &'a mut SmallRng,
    extent: Extent,
    /// Whether clocks may stop unnoticed: only `strict` instances survive that.
    stopping_clocks: bool,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl<'a> Dice<'a> {
    /// Dice for a stage.
    pub fn new(rng: &'a mut SmallRng, extent: Extent, stopping_clocks: bool) -> Self {
        Self { rng, extent, stopping_clocks }
    }

    fn time(&mut self, range: Range<u64>) -> Duration {
        ms(self.rng.random_range(range))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }

    fn target(&mut self) -> Target {
        if self.rng.random_bool(0.55) {
            Target::Active
        } else {
            Target::Nth(self.rng.random_range(0..self.extent.instances))
        }
    }

    fn standby(&mut self) -> Target {
        Target::Standby(self.rng.random_range(0..self.extent.instances - 1))
    }

    fn writing(&mut self) -> Writing {
        self.pick(&[
            Writing::Any,
            Writing::Windows,
            Writing::Databases,
            Writing::Databases,
            Writing::Active,
            Writing::Revokes,
        ])
    }

    /// One fault.
    pub fn fault(&mut self) -> Fault {
        let (target, other) = (self.target(), self.standby());
        let member = self.rng.random_range(0..self.extent.members);
        match self.rng.random_range(0..103) {
            0..12 => Fault::Kill(target),
            12..17 => Fault::Restart(target),
            17..22 => Fault::Terminate(target),
            22..33 => Fault::Freeze(target),
            33..37 => Fault::Pause(target, !self.stopping_clocks || self.rng.random_bool(0.5)),
            37..40 => Fault::PowerLoss(target),
            40..44 => Fault::CutFromEtcd(target, None),
            44..46 => Fault::CutFromEtcd(target, Some(member)),
            46..50 => Fault::CutPeers(target, other),
            50..52 => Fault::CutClients(target),
            52..57 => Fault::Reject(other, Target::Active, self.rng.random_bool(0.5)),
            57..59 => Fault::Reset(target, other),
            // EMFILE, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH.
            59..61 => Fault::Trouble(target, self.pick(&[24, 99, 101, 113])),
            61..64 => Fault::WallJump(target, self.pick(&[-3_600_000, -200, 200, 20_000, 31_536_000_000])),
            64..66 => Fault::Drift(target, self.rng.random_range(-5_000..5_000)),
            66..68 => Fault::EtcdNoLeader,
            68..69 => Fault::EtcdMoveLeader(member),
            69..72 if self.extent.members > 1 => Fault::EtcdIsolate(member),
            72..75 if self.extent.members > 1 => Fault::EtcdStaleLeader,
            75..77 => Fault::EtcdHang(member),
            77..79 => Fault::EtcdOutage,
            79..82 => Fault::EtcdLag(member, self.time(20..800)),
            82..84 => Fault::MemberWatchLag(member, Some(self.time(20..1_500))),
            84..86 => Fault::WatchLag(target, self.late_or_never()),
            86..87 => Fault::EtcdFull,
            87..88 => Fault::Compact,
            88..93 => {
                let from = self.rng.random_bool(0.6).then_some(target);
                Fault::Late(from, self.writing(), self.time(300..6_000))
            }
            93..96 => Fault::Unheard(self.rng.random_range(0.1..0.9)),
            96..98 => Fault::Lost(self.rng.random_range(0.1..0.7)),
            98..100 => Fault::RevokeActive,
            100..103 => Fault::PauseTakeover,
            _ => Fault::Kill(target),
        }
    }

    fn late_or_never(&mut self) -> Option<Duration> {
        self.rng.random_bool(0.6).then(|| self.time(20..1_500))
    }

    fn lasts(&mut self) -> Duration {
        let longest = self.pick(&[400, 1_500, 5_000]);
        self.time(5..longest)
    }

    /// Faults that are harmless one by one and dangerous together.
    fn plot(&mut self, at: Duration) -> Vec<Scheduled> {
        let standby = self.standby();
        let lasts = self.time(800..4_000);
        let soon = self.time(5..150);
        let scheduled =
            |after: Duration, fault: Fault, lasts: Duration| Scheduled { at: at + after, fault, lasts };
        let none = Duration::ZERO;
        match self.rng.random_range(0..8) {
            // A firewall between the pair, and the ACTIVE one deaf.
            0 => vec![
                scheduled(none, Fault::WatchLag(Target::Active, self.late_or_never()), lasts),
                scheduled(soon, Fault::Reject(standby, Target::Active, true), lasts),
            ],
            // The same, cut off from etcd: it can't hear that it was deposed.
            1 => vec![
                scheduled(none, Fault::CutFromEtcd(Target::Active, None), lasts),
                scheduled(soon, Fault::Reject(standby, Target::Active, true), lasts),
            ],
            // A write on its way when its sender dies.
            2 => {
                let (writing, delay) = (self.writing(), self.time(300..3_000));
                vec![
                    scheduled(none, Fault::Late(Some(Target::Active), writing, delay), lasts),
                    scheduled(soon, Fault::Kill(Target::Active), self.time(50..2_000)),
                ]
            }
            // The same, but it was only frozen.
            3 => {
                let (writing, delay) = (self.writing(), self.time(300..6_000));
                vec![
                    scheduled(none, Fault::Late(Some(Target::Active), writing, delay), ms(6_000)),
                    scheduled(soon, Fault::Freeze(Target::Active), self.time(2_000..5_000)),
                ]
            }
            // Standbys that are behind when the ACTIVE one dies.
            4 => vec![
                scheduled(none, Fault::WatchLag(standby, Some(self.time(50..900))), lasts),
                scheduled(soon, Fault::Kill(Target::Active), self.time(50..2_000)),
            ],
            // A campaign without an answer.
            5 => {
                let delay = self.time(500..4_000);
                vec![
                    scheduled(none, Fault::Late(Some(standby), Writing::Active, delay), lasts),
                    scheduled(soon, Fault::Kill(Target::Active), self.time(50..2_000)),
                ]
            }
            // A deposition whose revocation is late, and the way back.
            6 => {
                let delay = self.time(500..3_000);
                vec![
                    scheduled(none, Fault::Late(None, Writing::Revokes, delay), lasts),
                    scheduled(soon, Fault::Reject(standby, Target::Active, false), self.time(20..300)),
                    scheduled(soon + ms(400), Fault::Kill(Target::Active), self.time(50..2_000)),
                ]
            }
            // One death after the other.
            _ => vec![
                scheduled(none, Fault::Kill(Target::Active), self.time(50..3_000)),
                scheduled(soon, Fault::Kill(Target::Active), self.time(50..3_000)),
            ],
        }
    }

    /// A schedule from `begin` to `end`.
    pub fn schedule(&mut self, begin: Duration, end: Duration) -> Vec<Scheduled> {
        let mut schedule = Vec::new();
        let mut at = begin;
        // Some scenarios are dense, some leave time to recover.
        let pause = self.pick(&[300, 900, 2_500]);
        let plots = self.pick(&[0.1, 0.5]);
        loop {
            at += self.time(0..2 * pause);
            if at >= end {
                break;
            }
            if self.rng.random_bool(plots) {
                schedule.extend(self.plot(at));
            } else {
                let (fault, lasts) = (self.fault(), self.lasts());
                schedule.push(Scheduled { at, fault, lasts });
            }
        }
        schedule.sort_by_key(|scheduled| scheduled.at);
        schedule
    }
}
