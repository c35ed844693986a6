//! Which tick may go into which channel, and when: decisions only.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::sources::{BadReport, Joined, Report, Sources};
use crate::{clock::BootInstant, ids::ServerId, tso::hybrid::Timestamp};

/// The longest pause before a channel that takes no ticks is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Names a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HoldId(u64);

#[derive(Clone, Debug)]
struct Held {
    channels: BTreeSet<String>,
    bound: Timestamp,
}

/// How far a channel has come.
#[derive(Clone, Debug, Default)]
struct Outlet {
    /// The newest tick that is surely in the channel.
    acknowledged: Timestamp,
    /// The newest tick that may be.
    sent: Timestamp,
    /// Whether one is on its way.
    outstanding: bool,
    /// Nothing more is sent before then.
    pause_until: BootInstant,
    /// How often in a row one did not get there.
    failures: u32,
}

/// What is known of all channels.
#[derive(Clone, Debug)]
pub(super) struct Ticks {
    sources: Sources,
    /// A timestamp that was given out: those of later DDL are larger.
    own: Timestamp,
    holds: BTreeMap<HoldId, Held>,
    next_hold: u64,
    in_use: BTreeSet<String>,
    /// Also of channels that are no longer used: ticks don't go back when they are again.
    outlets: BTreeMap<String, Outlet>,
    enabled: bool,
    /// Between two ticks of one channel.
    gap: Duration,
}

impl Ticks {
    /// None. `gap` is the least time between two ticks of one channel.
    pub(super) fn new(gap: Duration, enabled: bool) -> Self {
        Self {
            sources: Sources::default(),
            own: Timestamp(0),
            holds: BTreeMap::new(),
            next_hold: 0,
            in_use: BTreeSet::new(),
            outlets: BTreeMap::new(),
            enabled,
            gap,
        }
    }

    /// See [`Sources::set`].
    pub(super) fn proxies(&mut self, sessions: &BTreeSet<ServerId>, now: BootInstant) -> Joined {
        self.sources.set(sessions, now)
    }

    pub(super) fn report(
        &mut self,
        source: ServerId,
        report: Report,
        now: BootInstant,
    ) -> Result<(), BadReport> {
        self.sources.report(source, report, now)
    }

    pub(super) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// `given` was just given out.
    pub(super) fn own(&mut self, given: Timestamp) {
        self.own = self.own.max(given);
    }

    /// DDL on these channels will take its timestamp behind `newest`, the newest that was
    /// given out: no tick goes beyond that before the end of the hold.
    pub(super) fn hold(&mut self, channels: BTreeSet<String>, newest: Timestamp) -> HoldId {
        let id = HoldId(self.next_hold);
        self.next_hold += 1;
        self.holds.insert(id, Held { channels, bound: newest });
        id
    }

    /// All messages of that DDL are in their channels, or never will be.
    pub(super) fn let_go(&mut self, hold: HoldId) {
        self.holds.remove(&hold);
    }

    /// Ticks go there, and nowhere else. Returns where they go no longer.
    pub(super) fn use_channels(&mut self, in_use: BTreeSet<String>) -> Vec<String> {
        let before = std::mem::replace(&mut self.in_use, in_use);
        before.difference(&self.in_use).cloned().collect()
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use.len()
    }

    pub(super) fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Whether ticks should be going somewhere.
    pub(super) fn should_tick(&self) -> bool {
        self.enabled && !self.in_use.is_empty()
    }

    /// The largest tick that may go into a channel now.
    fn watermark(&self, channel: &str) -> Option<Timestamp> {
        let held = self.holds.values().filter(|held| held.channels.contains(channel)).map(|held| held.bound);
        let bound = held.fold(self.own, Timestamp::min);
        Some(self.sources.floor(channel)?.min(bound))
    }

    /// The tick that a channel lacks, however soon after the last one.
    fn lacking(&self, channel: &str) -> Option<Timestamp> {
        let watermark = self.watermark(channel)?;
        let fresh = Outlet::default();
        let outlet = self.outlets.get(channel).unwrap_or(&fresh);
        // One that may not have got there is repeated if there is nothing newer.
        let advances = watermark > outlet.acknowledged && watermark >= outlet.sent;
        (advances && !outlet.outstanding).then_some(watermark)
    }

    fn pause_until(&self, channel: &str) -> BootInstant {
        self.outlets.get(channel).map_or(BootInstant::default(), |outlet| outlet.pause_until)
    }

    /// The ticks to send now; they are on their way from here on.
    pub(super) fn due(&mut self, now: BootInstant) -> Vec<(String, Timestamp)> {
        if !self.enabled {
            return Vec::new();
        }
        let ready = self.in_use.iter().filter(|channel| self.pause_until(channel) <= now);
        let due: Vec<_> =
            ready.filter_map(|channel| Some((channel.clone(), self.lacking(channel)?))).collect();
        for (channel, ts) in &due {
            let outlet = self.outlets.entry(channel.clone()).or_default();
            outlet.outstanding = true;
            outlet.sent = *ts;
            outlet.pause_until = now + self.gap;
        }
        due
    }

    /// When a tick will be due that is only held up by its channel's pause.
    pub(super) fn next_due(&self) -> Option<BootInstant> {
        let lacking = self.in_use.iter().filter(|channel| self.enabled && self.lacking(channel).is_some());
        lacking.map(|channel| self.pause_until(channel)).min()
    }

    /// The tick is in its channel.
    pub(super) fn acknowledged(&mut self, channel: &str, ts: Timestamp) {
        let Some(outlet) = self.outlets.get_mut(channel) else { return };
        outlet.outstanding = false;
        outlet.failures = 0;
        outlet.acknowledged = outlet.acknowledged.max(ts);
    }

    /// The tick was not given to the queue: what it says may be said later.
    pub(super) fn withheld(&mut self, channel: &str) {
        if let Some(outlet) = self.outlets.get_mut(channel) {
            outlet.outstanding = false;
        }
    }

    /// The tick is not in its channel, or nobody knows: the channel is left alone for a
    /// while, the longer the more often that happens.
    pub(super) fn failed(&mut self, channel: &str, now: BootInstant) {
        let Some(outlet) = self.outlets.get_mut(channel) else { return };
        outlet.outstanding = false;
        let doubled = self.gap.saturating_mul(2_u32.saturating_pow(outlet.failures));
        outlet.failures = outlet.failures.saturating_add(1);
        outlet.pause_until = now + doubled.min(LONGEST_PAUSE);
    }

    /// The newest tick that is surely in a channel.
    pub(super) fn synced(&self, channel: &str) -> Timestamp {
        self.outlets.get(channel).map_or(Timestamp(0), |outlet| outlet.acknowledged)
    }

    /// Whether every one of the channels that is in use has got a tick of `ts` or later.
    pub(super) fn passed(&self, channels: &BTreeSet<String>, ts: Timestamp) -> bool {
        channels.iter().all(|channel| !self.in_use.contains(channel) || self.synced(channel) >= ts)
    }
}
