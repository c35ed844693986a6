//! The figures, and the table that is made of them.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{duration::show, party::Party};

/// Durations of one kind.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The smallest one that is not exceeded by `percent` of them: of fifty, the 99th
    /// percentile is the longest.
    fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.max(1) - 1).copied()
    }

    fn sorted(&self) -> Vec<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted
    }
}

/// How figures of a row compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    Seconds,
    CallsPerSecond,
    CpuSeconds,
    Bytes,
    Share,
    Times,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    what: String,
    unit: Unit,
    real: Option<f64>,
    ours: Option<f64>,
    /// Every single duration, ascending.
    real_all: Vec<f64>,
    ours_all: Vec<f64>,
}

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    machine: Vec<String>,
    rows: Vec<Row>,
    remarks: Vec<String>,
}

impl Report {
    /// Nothing yet; the head says where it is measured.
    pub fn new(machine: Vec<String>) -> Self {
        Self { machine, rows: Vec::new(), remarks: Vec::new() }
    }

    fn put(&mut self, what: &str, unit: Unit, party: Party, value: f64, all: &[Duration]) {
        let row = match self.rows.iter().position(|row| row.what == what) {
            Some(place) => &mut self.rows[place],
            None => {
                let (real_all, ours_all) = (Vec::new(), Vec::new());
                self.rows.push(Row {
                    what: what.to_owned(),
                    unit,
                    real: None,
                    ours: None,
                    real_all,
                    ours_all,
                });
                self.rows.last_mut().expect("just pushed")
            }
        };
        let all = all.iter().map(Duration::as_secs_f64).collect();
        match party {
            Party::Real => (row.real, row.real_all) = (Some(value), all),
            Party::Ours => (row.ours, row.ours_all) = (Some(value), all),
        }
    }

    /// Median and 99th percentile.
    pub fn times(&mut self, what: &str, party: Party, times: &Times) {
        let (Some(median), Some(most)) = (times.percentile(50), times.percentile(99)) else { return };
        let all = times.sorted();
        let count = all.len();
        self.put(&format!("{what}, median"), Unit::Seconds, party, median.as_secs_f64(), &all);
        self.put(&format!("{what}, p99"), Unit::Seconds, party, most.as_secs_f64(), &[]);
        self.remark(format!("{what}: {} was measured {count} times", party.name()));
    }

    /// Median and the longest: for what is too rare for percentiles.
    pub fn gaps(&mut self, what: &str, party: Party, gaps: &Times) {
        let (Some(median), Some(longest)) = (gaps.percentile(50), gaps.percentile(100)) else { return };
        self.put(&format!("{what}, median"), Unit::Seconds, party, median.as_secs_f64(), &gaps.sorted());
        self.put(&format!("{what}, longest"), Unit::Seconds, party, longest.as_secs_f64(), &[]);
    }

    /// A part of what milvus-coord takes; the real one doesn't tell its own.
    pub fn detail(&mut self, what: &str, times: &Times) {
        let (Some(median), Some(most)) = (times.percentile(50), times.percentile(99)) else { return };
        self.put(
            &format!("  {what}, median"),
            Unit::Seconds,
            Party::Ours,
            median.as_secs_f64(),
            &times.sorted(),
        );
        self.put(&format!("  {what}, p99"), Unit::Seconds, Party::Ours, most.as_secs_f64(), &[]);
    }

    /// Calls each second.
    pub fn rate(&mut self, what: &str, party: Party, per_second: f64) {
        self.put(what, Unit::CallsPerSecond, party, per_second, &[]);
    }

    /// Processor time of one call.
    pub fn cpu(&mut self, what: &str, party: Party, each: Duration) {
        self.put(what, Unit::CpuSeconds, party, each.as_secs_f64(), &[]);
    }

    /// An amount of memory.
    pub fn bytes(&mut self, what: &str, party: Party, bytes: u64) {
        self.put(what, Unit::Bytes, party, bytes as f64, &[]);
    }

    /// A share of one processor.
    pub fn share(&mut self, what: &str, party: Party, share: f64) {
        self.put(what, Unit::Share, party, share, &[]);
    }

    /// How often something happened that should not.
    pub fn count(&mut self, what: &str, party: Party, count: usize) {
        self.put(what, Unit::Times, party, count as f64, &[]);
    }

    /// A line below the table.
    pub fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// Everything, with each single duration.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers are always JSON")
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds | Self::CpuSeconds => show(Duration::from_secs_f64(value)),
            Self::CallsPerSecond => format!("{value:.0}/s"),
            Self::Bytes => format!("{:.1} MB", value / 1e6),
            Self::Share => format!("{:.1} %", value * 100.0),
            Self::Times => format!("{value:.0}"),
        }
    }

    /// How many times better ours is.
    fn ratio(self, real: f64, ours: f64) -> f64 {
        match self {
            Self::CallsPerSecond => ours / real,
            Self::Seconds | Self::CpuSeconds | Self::Bytes | Self::Share | Self::Times => real / ours,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.machine {
            writeln!(f, "{line}")?;
        }
        writeln!(f)?;
        let mut lines = vec![[
            "".to_owned(),
            "Milvus 2.3.5".to_owned(),
            "milvus-coord".to_owned(),
            "better by".to_owned(),
        ]];
        for row in &self.rows {
            let cell =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| row.unit.show(value));
            let ratio = match (row.real, row.ours) {
                (Some(real), Some(ours)) if real > 0.0 && ours > 0.0 => {
                    let ratio = row.unit.ratio(real, ours);
                    let decimals = if ratio >= 100.0 { 0 } else { 1 };
                    format!("{ratio:.decimals$}x")
                }
                _ => "-".to_owned(),
            };
            lines.push([row.what.clone(), cell(row.real), cell(row.ours), ratio]);
        }
        let widths: [usize; 4] = std::array::from_fn(|column| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
        });
        for [what, real, ours, ratio] in &lines {
            let [a, b, c, d] = widths;
            writeln!(f, "{what:<a$}  {real:>b$}  {ours:>c$}  {ratio:>d$}")?;
        }
        writeln!(f)?;
        for remark in &self.remarks {
            writeln!(f, "{remark}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let times = Times((1..=50).map(Duration::from_millis).collect());
        assert_eq!(times.percentile(50), Some(Duration::from_millis(25)));
        assert_eq!(times.percentile(99), Some(Duration::from_millis(50)));
        assert_eq!(Times::default().percentile(50), None);
        assert_eq!(Times(vec![Duration::from_millis(7)]).percentile(50), Some(Duration::from_millis(7)));
    }
}
