//! What proxies have said of the rows that they may still write.

use std::collections::{BTreeMap, BTreeSet};

use crate::{clock::BootInstant, ids::ServerId, tso::hybrid::Timestamp};

/// Why a report was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReport {
    /// Not one timestamp per channel.
    #[error("invalid TimeTickMsg, timestamp and channelname size mismatch")]
    Lengths,
    /// There is no session of that proxy. It tries again by itself.
    #[error("skip ChannelTimeTickMsg from un-recognized session {0}")]
    Unrecognized(ServerId),
}

/// What one proxy says: every row that it writes later is behind these times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    channels: BTreeMap<String, Timestamp>,
    default: Timestamp,
}

impl Report {
    /// From the parts of a `ChannelTimeTickMsg`. `None`: it says nothing, which is no error.
    ///
    /// # Errors
    /// [`BadReport::Lengths`]
    pub fn new(channels: Vec<String>, timestamps: &[u64], default: u64) -> Result<Option<Self>, BadReport> {
        if channels.is_empty() && default == 0 {
            return Ok(None);
        }
        if channels.len() != timestamps.len() {
            return Err(BadReport::Lengths);
        }
        let mut report = Self { channels: BTreeMap::new(), default: Timestamp(default) };
        for (channel, &ts) in channels.into_iter().zip(timestamps) {
            // A channel that is named twice is as far as its slower half.
            let ts = report.channels.get(&channel).map_or(ts, |other| other.0.min(ts));
            report.channels.insert(channel, Timestamp(ts));
        }
        Ok(Some(report))
    }

    fn of(&self, channel: &str) -> Timestamp {
        self.channels.get(channel).copied().unwrap_or(self.default)
    }

    /// Together with a later one. Nothing that was said goes back: a tick may rest on it.
    fn advance(&mut self, later: Self) {
        let default = self.default.max(later.default);
        let names: BTreeSet<&String> = self.channels.keys().chain(later.channels.keys()).collect();
        let channels = names
            .into_iter()
            .map(|name| (name.clone(), self.of(name).max(later.of(name))))
            .filter(|(_, ts)| *ts != default)
            .collect();
        *self = Self { channels, default };
    }
}

#[derive(Clone, Debug)]
struct Proxy {
    /// What it has said in this term.
    said: Option<Report>,
    /// When it last said something, or joined.
    heard: BootInstant,
}

/// All proxies that have a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    proxies: BTreeMap<ServerId, Proxy>,
}

/// How the proxies have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) added: Vec<ServerId>,
    pub(super) removed: Vec<ServerId>,
}

impl Sources {
    /// These have a session now. Who is new holds back every channel until it reports;
    /// who is gone no longer counts.
    pub(super) fn set(&mut self, sessions: &BTreeSet<ServerId>, now: BootInstant) -> Joined {
        let mut joined = Joined::default();
        self.proxies.retain(|id, _| {
            let stays = sessions.contains(id);
            if !stays {
                joined.removed.push(*id);
            }
            stays
        });
        for &id in sessions {
            self.proxies.entry(id).or_insert_with(|| {
                joined.added.push(id);
                Proxy { said: None, heard: now }
            });
        }
        joined
    }

    pub(super) fn report(&mut self, id: ServerId, report: Report, now: BootInstant) -> Result<(), BadReport> {
        let proxy = self.proxies.get_mut(&id).ok_or(BadReport::Unrecognized(id))?;
        proxy.heard = now;
        match &mut proxy.said {
            Some(said) => said.advance(report),
            said => *said = Some(report),
        }
        Ok(())
    }

    /// The time behind which all rows lie that come later; the largest there is without
    /// proxies. `None` while a proxy has not reported.
    pub(super) fn floor(&self, channel: &str) -> Option<Timestamp> {
        self.proxies.values().try_fold(Timestamp(u64::MAX), |floor, proxy| {
            proxy.said.as_ref().map(|said| floor.min(said.of(channel)))
        })
    }

    /// Who has said nothing since `since`, and since when the first of them.
    pub(super) fn idle(&self, since: BootInstant) -> Option<(Vec<ServerId>, BootInstant)> {
        let idle = || self.proxies.iter().filter(|(_, proxy)| proxy.heard <= since);
        let first = idle().map(|(_, proxy)| proxy.heard).min()?;
        Some((idle().map(|(id, _)| *id).collect(), first))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: BootInstant = BootInstant::from_boot(Duration::from_secs(10));

    fn report(channels: &[(&str, u64)], default: u64) -> Report {
        let (names, times): (Vec<_>, Vec<_>) =
            channels.iter().map(|&(name, ts)| (name.to_owned(), ts)).unzip();
        Report::new(names, &times, default).expect("as many").expect("something")
    }

    fn proxies(ids: &[i64]) -> BTreeSet<ServerId> {
        ids.iter().map(|&id| ServerId(id)).collect()
    }

    #[test]
    fn reports_are_judged_as_milvus_judges_them() {
        let names = |count: usize| vec!["c".to_owned(); count];
        assert_eq!(Report::new(names(0), &[], 0), Ok(None));
        assert_eq!(Report::new(names(0), &[5], 0), Ok(None), "nothing is said before it is counted");
        assert_eq!(Report::new(names(1), &[], 0), Err(BadReport::Lengths));
        assert_eq!(Report::new(names(1), &[1, 2], 7), Err(BadReport::Lengths));
        assert_eq!(
            BadReport::Lengths.to_string(),
            "invalid TimeTickMsg, timestamp and channelname size mismatch"
        );
        let unknown = Sources::default().report(ServerId(7), report(&[], 5), NOW).expect_err("no session");
        assert_eq!(unknown.to_string(), "skip ChannelTimeTickMsg from un-recognized session 7");
    }

    #[test]
    fn a_channel_is_as_far_as_the_slowest_proxy_says() {
        let mut sources = Sources::default();
        assert_eq!(sources.floor("c"), Some(Timestamp(u64::MAX)));
        sources.set(&proxies(&[1, 2]), NOW);
        assert_eq!(sources.floor("c"), None);
        sources.report(ServerId(1), report(&[("c", 50)], 90), NOW).expect("a session");
        assert_eq!(sources.floor("c"), None, "2 may have anything to write");
        sources.report(ServerId(2), report(&[("d", 40)], 80), NOW).expect("a session");
        assert_eq!(sources.floor("c"), Some(Timestamp(50)));
        assert_eq!(sources.floor("d"), Some(Timestamp(40)));
        assert_eq!(sources.floor("e"), Some(Timestamp(80)));
        sources.set(&proxies(&[1]), NOW);
        assert_eq!(sources.floor("d"), Some(Timestamp(90)));
    }

    #[test]
    fn a_proxy_that_comes_back_is_a_new_one() {
        let mut sources = Sources::default();
        sources.set(&proxies(&[1]), NOW);
        sources.report(ServerId(1), report(&[], 90), NOW).expect("a session");
        assert_eq!(sources.set(&proxies(&[1]), NOW), Joined::default());
        assert_eq!(sources.floor("c"), Some(Timestamp(90)), "an updated session is the same proxy");
        sources.set(&proxies(&[]), NOW);
        let joined = sources.set(&proxies(&[1]), NOW);
        assert_eq!(joined, Joined { added: vec![ServerId(1)], removed: vec![] });
        assert_eq!(sources.floor("c"), None);
    }

    #[test]
    fn what_was_said_never_goes_back() {
        let mut sources = Sources::default();
        sources.set(&proxies(&[1]), NOW);
        for (said, c, d) in [
            (report(&[("c", 50)], 90), 50, 90),
            (report(&[("c", 40)], 80), 50, 90),
            (report(&[("c", 60), ("d", 10)], 95), 60, 90),
            (report(&[], 100), 100, 100),
            (report(&[("c", 70)], 110), 100, 110),
        ] {
            sources.report(ServerId(1), said, NOW).expect("a session");
            assert_eq!((sources.floor("c"), sources.floor("d")), (Some(Timestamp(c)), Some(Timestamp(d))));
        }
    }

    #[test]
    fn who_says_nothing_is_known() {
        let mut sources = Sources::default();
        sources.set(&proxies(&[1, 2]), NOW);
        let later = NOW + Duration::from_secs(3);
        sources.report(ServerId(2), report(&[], 5), later).expect("a session");
        assert_eq!(sources.idle(NOW + Duration::from_secs(1)), Some((vec![ServerId(1)], NOW)));
        sources.report(ServerId(1), report(&[], 5), later).expect("a session");
        assert_eq!(sources.idle(NOW + Duration::from_secs(1)), None);
    }
}
