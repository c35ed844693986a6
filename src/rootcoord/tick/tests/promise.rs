//! When tick T is in a channel, no DDL message and no row of T or earlier comes behind it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::super::{
    sources::{BadReport, Report},
    ticks::{HoldId, Ticks},
};
use crate::{clock::BootInstant, ids::ServerId, tso::hybrid::Timestamp};

const CHANNELS: [&str; 3] = ["a", "b", "c"];
const GAP: Duration = Duration::from_millis(100);

fn names(mask: u8) -> BTreeSet<String> {
    let chosen = CHANNELS.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
    chosen.map(|(_, &name)| name.to_owned()).collect()
}

/// Something that can happen. Small numbers pick among what there is.
#[derive(Clone, Debug)]
enum Step {
    Join(i64),
    Leave(i64),
    DrawRow(i64, u8),
    WriteRow(usize),
    MakeReport(i64, u8),
    DeliverReport(usize),
    BeginDdl(u8),
    EndDdl(usize, bool),
    Own,
    Use(u8),
    Send(u64),
    Land(usize),
    Lose(usize, bool),
    Withhold(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let proxy = 1_i64..4;
    prop_oneof![
        1 => proxy.clone().prop_map(Step::Join),
        1 => proxy.clone().prop_map(Step::Leave),
        4 => (proxy.clone(), 0_u8..3).prop_map(|(proxy, channel)| Step::DrawRow(proxy, channel)),
        4 => any::<usize>().prop_map(Step::WriteRow),
        4 => (proxy, 0_u8..8).prop_map(|(proxy, mask)| Step::MakeReport(proxy, mask)),
        5 => any::<usize>().prop_map(Step::DeliverReport),
        2 => (1_u8..8).prop_map(Step::BeginDdl),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, done)| Step::EndDdl(which, done)),
        4 => Just(Step::Own),
        1 => (0_u8..8).prop_map(Step::Use),
        5 => (0_u64..300).prop_map(Step::Send),
        6 => any::<usize>().prop_map(Step::Land),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, arrived)| Step::Lose(which, arrived)),
        1 => any::<usize>().prop_map(Step::Withhold),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Tick(u64),
    /// A row or a DDL message.
    Other(u64),
}

struct Ddl {
    hold: HoldId,
    ts: u64,
    channels: BTreeSet<String>,
}

/// A cluster as far as ticks concern it.
struct World {
    ticks: Ticks,
    /// The newest timestamp that was given out.
    tso: u64,
    now: BootInstant,
    proxies: BTreeSet<ServerId>,
    /// Drawn and not yet written: by whom, where, when.
    rows: Vec<(ServerId, String, u64)>,
    reports: Vec<(ServerId, Report)>,
    ddl: Vec<Ddl>,
    on_the_way: Vec<(String, Timestamp)>,
    acknowledged: BTreeMap<String, u64>,
    log: BTreeMap<String, Vec<Entry>>,
}

impl World {
    fn new() -> Self {
        let mut ticks = Ticks::new(GAP, true);
        ticks.use_channels(names(0b111));
        Self {
            ticks,
            tso: 100,
            now: BootInstant::from_boot(Duration::from_secs(1)),
            proxies: BTreeSet::new(),
            rows: Vec::new(),
            reports: Vec::new(),
            ddl: Vec::new(),
            on_the_way: Vec::new(),
            acknowledged: BTreeMap::new(),
            log: BTreeMap::new(),
        }
    }

    fn draw(&mut self) -> u64 {
        self.tso += 1;
        self.tso
    }

    fn put(&mut self, channel: &str, entry: Entry) {
        self.log.entry(channel.to_owned()).or_default().push(entry);
    }

    fn sessions_changed(&mut self) {
        self.ticks.proxies(&self.proxies, self.now);
    }

    /// As a proxy makes it: a fresh timestamp, and for the channels that it names, or has
    /// rows for, one below the first row that is not written.
    fn report_of(&mut self, proxy: ServerId, named: &BTreeSet<String>) -> Report {
        let default = self.draw();
        let below = |channel: &str| {
            let pending = self.rows.iter().filter(|(whose, wh, _)| *whose == proxy && wh == channel);
            pending.map(|(_, _, ts)| ts - 1).min()
        };
        let listed = CHANNELS.iter().filter(|&&channel| named.contains(channel) || below(channel).is_some());
        let listed: Vec<_> =
            listed.map(|&channel| (channel.to_owned(), below(channel).unwrap_or(default))).collect();
        let (names, times): (Vec<_>, Vec<_>) = listed.into_iter().unzip();
        Report::new(names, &times, default).expect("as many").expect("a timestamp")
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join(id) => {
                self.proxies.insert(ServerId(id));
                self.sessions_changed();
            }
            Step::Leave(id) => {
                self.proxies.remove(&ServerId(id));
                self.rows.retain(|(whose, _, _)| whose.0 != id);
                self.reports.retain(|(whose, _)| whose.0 != id);
                self.sessions_changed();
            }
            Step::DrawRow(id, channel) if self.proxies.contains(&ServerId(id)) => {
                let ts = self.draw();
                self.rows.push((ServerId(id), CHANNELS[usize::from(channel)].to_owned(), ts));
            }
            Step::WriteRow(which) if !self.rows.is_empty() => {
                let (_, channel, ts) = self.rows.swap_remove(which % self.rows.len());
                self.put(&channel, Entry::Other(ts));
            }
            Step::MakeReport(id, mask) if self.proxies.contains(&ServerId(id)) => {
                let report = self.report_of(ServerId(id), &names(mask));
                self.reports.push((ServerId(id), report));
            }
            Step::DeliverReport(which) if !self.reports.is_empty() => {
                let (proxy, report) = self.reports.swap_remove(which % self.reports.len());
                self.ticks.report(proxy, report, self.now).expect("it has a session");
            }
            Step::BeginDdl(mask) => {
                let hold = self.ticks.hold(names(mask), Timestamp(self.tso));
                let ts = self.draw();
                self.ddl.push(Ddl { hold, ts, channels: names(mask) });
            }
            Step::EndDdl(which, done) if !self.ddl.is_empty() => {
                let Ddl { hold, ts, channels } = self.ddl.swap_remove(which % self.ddl.len());
                for channel in channels.iter().filter(|_| done) {
                    self.put(channel, Entry::Other(ts));
                }
                self.ticks.let_go(hold);
            }
            Step::Own => {
                let ts = self.draw();
                self.ticks.own(Timestamp(ts));
            }
            Step::Use(mask) => _ = self.ticks.use_channels(names(mask)),
            Step::Send(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                for due in self.ticks.due(self.now) {
                    assert!(!self.on_the_way.iter().any(|(channel, _)| *channel == due.0), "two at once");
                    assert!(due.1.0 > self.acknowledged.get(&due.0).copied().unwrap_or(0), "not increasing");
                    self.on_the_way.push(due);
                }
            }
            Step::Land(which) if !self.on_the_way.is_empty() => {
                let (channel, ts) = self.on_the_way.swap_remove(which % self.on_the_way.len());
                self.put(&channel, Entry::Tick(ts.0));
                self.ticks.acknowledged(&channel, ts);
                self.acknowledged.insert(channel.clone(), ts.0);
                assert_eq!(self.ticks.synced(&channel), ts);
            }
            Step::Lose(which, arrived) if !self.on_the_way.is_empty() => {
                let (channel, ts) = self.on_the_way.swap_remove(which % self.on_the_way.len());
                if arrived {
                    self.put(&channel, Entry::Tick(ts.0));
                }
                self.ticks.failed(&channel, self.now);
            }
            Step::Withhold(which) if !self.on_the_way.is_empty() => {
                let (channel, _) = self.on_the_way.swap_remove(which % self.on_the_way.len());
                self.ticks.withheld(&channel);
            }
            Step::DrawRow(..)
            | Step::WriteRow(_)
            | Step::MakeReport(..)
            | Step::DeliverReport(_)
            | Step::EndDdl(..)
            | Step::Land(_)
            | Step::Lose(..)
            | Step::Withhold(_) => {}
        }
    }

    /// All that was begun ends well. Returns a time behind all of it.
    fn settle(&mut self) -> u64 {
        while !self.ddl.is_empty() {
            self.step(Step::EndDdl(0, true));
        }
        while !self.rows.is_empty() {
            self.step(Step::WriteRow(0));
        }
        while !self.on_the_way.is_empty() {
            self.step(Step::Lose(0, false));
        }
        self.step(Step::Use(0b111));
        let settled = self.tso;
        for proxy in self.proxies.clone() {
            let report = self.report_of(proxy, &names(0b101));
            self.ticks.report(proxy, report, self.now).expect("it has a session");
        }
        self.step(Step::Own);
        self.step(Step::Send(60_000));
        while !self.on_the_way.is_empty() {
            self.step(Step::Land(0));
        }
        settled
    }

    fn check(&self) {
        for (channel, entries) in &self.log {
            let mut newest = 0;
            for entry in entries {
                match *entry {
                    Entry::Tick(ts) => {
                        assert!(ts >= newest, "tick {ts} behind tick {newest} in {channel}");
                        newest = ts;
                    }
                    Entry::Other(ts) => assert!(ts > newest, "{ts} behind tick {newest} in {channel}"),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn nothing_comes_behind_a_tick_that_is_not_later_and_every_channel_gets_its_tick_at_last(
        steps in prop::collection::vec(any_step(), 0..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        let settled = world.settle();
        world.check();
        prop_assert!(world.ticks.passed(&names(0b111), Timestamp(settled)));
    }
}

#[test]
fn who_has_no_session_is_not_heard() {
    let mut world = World::new();
    world.step(Step::Join(1));
    let report = world.report_of(ServerId(1), &names(0));
    world.step(Step::Leave(1));
    let refused = world.ticks.report(ServerId(1), report, world.now);
    assert_eq!(refused, Err(BadReport::Unrecognized(ServerId(1))));
}

#[test]
fn ddl_holds_its_own_channels_only() {
    let mut world = World::new();
    world.step(Step::BeginDdl(0b001));
    world.step(Step::Own);
    let due = world.ticks.due(world.now);
    let own = Timestamp(world.tso);
    assert_eq!(due[1..], [("b".to_owned(), own), ("c".to_owned(), own)]);
    assert_eq!(due[0], ("a".to_owned(), Timestamp(own.0 - 2)), "what was newest before it took its own");
}

#[test]
fn a_tick_that_may_have_got_there_is_repeated_and_never_followed_by_an_earlier_one() {
    let mut world = World::new();
    world.step(Step::Use(0b001));
    world.step(Step::Own);
    world.step(Step::Send(0));
    let lost = world.on_the_way.clone();
    world.step(Step::Lose(0, true));
    world.step(Step::Join(1));
    let lagging = Report::new(vec![], &[], lost[0].1.0 - 1).unwrap().unwrap();
    world.ticks.report(ServerId(1), lagging, world.now).expect("it has a session");
    world.step(Step::Send(10_000));
    assert_eq!(world.on_the_way, []);
    world.step(Step::Leave(1));
    world.step(Step::Send(0));
    assert_eq!(world.on_the_way, lost);
}

#[test]
fn a_channel_that_takes_no_ticks_is_tried_ever_more_seldom_and_then_every_two_seconds() {
    let mut world = World::new();
    world.step(Step::Use(0b001));
    let mut tried = Vec::new();
    for _ in 0..100 {
        world.step(Step::Own);
        world.step(Step::Send(100));
        while !world.on_the_way.is_empty() {
            tried.push(world.now.since_boot().as_millis());
            world.step(Step::Lose(0, false));
        }
    }
    let pauses: Vec<_> = tried.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..7], [100, 200, 400, 800, 1_600, 2_000, 2_000]);
    world.step(Step::Send(2_000));
    world.step(Step::Land(0));
    world.step(Step::Own);
    world.step(Step::Send(100));
    assert_eq!(world.on_the_way.len(), 1, "one success, and the pace is the usual one");
}
