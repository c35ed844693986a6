//! Sessions as a table or as JSON; aligned columns.

use std::fmt::Write as _;

use serde::Serialize;

/// One instance, as etcd and, where it answers, it itself describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `rootcoord`, …
    pub role: String,
    /// `ACTIVE`, `STANDBY`, or what the instance says of itself in between.
    pub state: String,
    /// Of the session; absent if that can't be read.
    pub server_id: Option<i64>,
    /// Of the session.
    pub address: Option<String>,
    /// `milvus-coord/<version>`, or `milvus/<version>` for the real one.
    pub software: Option<String>,
    /// Who should be ACTIVE: the highest. Absent for the real one.
    pub priority: Option<i32>,
    /// Unix milliseconds since which it serves, if it does and says so.
    pub active_since_ms: Option<i64>,
    /// The same, readable, in the local zone.
    pub active_since: Option<String>,
    /// Mod revision of the ACTIVE key, for its holder.
    pub epoch: Option<i64>,
    /// Seconds until its lease ends if it is not renewed.
    pub lease_left_s: Option<i64>,
    /// Revisions that its mirror is behind etcd.
    pub lag_revisions: Option<i64>,
    /// The pause of its role's automatic takeover.
    pub paused: Option<Paused>,
    /// What is wrong with it: why it could not be asked, above all.
    pub error: Option<String>,
}

/// A pause of automatic takeover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// Unix milliseconds of its end.
    pub until_ms: u64,
    /// The same, readable, in the local zone.
    pub until: Option<String>,
    /// Seconds that are left of it.
    pub left_s: u64,
    /// In the operator's words; may be empty.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
}

impl Paused {
    /// The line that says so.
    pub fn line(&self, role: &str) -> String {
        let until = self.until.clone().unwrap_or_else(|| self.until_ms.to_string());
        let mut line = format!("{role}: automatic takeover is paused until {until}");
        if !self.by.is_empty() {
            let _ = write!(line, " by {}", self.by);
        }
        if !self.reason.is_empty() {
            let _ = write!(line, ": {}", self.reason);
        }
        line
    }
}

const HEADINGS: [&str; 10] = [
    "ROLE",
    "STATE",
    "SERVER ID",
    "ADDRESS",
    "SOFTWARE",
    "PRIORITY",
    "ACTIVE SINCE",
    "EPOCH",
    "LEASE",
    "LAG",
];

fn cells(row: &Row) -> [String; 10] {
    let dash = || "-".to_owned();
    let number = |n: Option<i64>| n.map_or_else(dash, |n| n.to_string());
    let word = |text: &Option<String>| text.clone().unwrap_or_else(dash);
    [
        row.role.clone(),
        row.state.clone(),
        number(row.server_id),
        word(&row.address),
        word(&row.software),
        row.priority.map_or_else(dash, |priority| priority.to_string()),
        word(&row.active_since),
        number(row.epoch),
        row.lease_left_s.map_or_else(dash, |s| format!("{s}s")),
        number(row.lag_revisions),
    ]
}

/// Columns as wide as their widest cells.
pub(super) fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    });
    let mut text = String::new();
    for line in lines {
        let mut padded = String::new();
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(padded, "{cell:<width$}  ");
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

/// Aligned columns, a heading, one line a row, and the reasons below.
pub fn table(rows: &[Row]) -> String {
    let lines: Vec<_> = std::iter::once(HEADINGS.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let mut text = aligned(&lines);
    for row in rows {
        if let Some(error) = &row.error {
            let _ = match (row.server_id, &row.address) {
                (Some(id), Some(address)) => writeln!(text, "{} {id} at {address}: {error}", row.role),
                _ => writeln!(text, "{}: {error}", row.role),
            };
        }
    }
    text
}

/// The same as JSON, indented.
pub fn json(rows: &[Row]) -> String {
    serde_json::to_string_pretty(rows).expect("strings and numbers are always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            role: "rootcoord".into(),
            state: "ACTIVE".into(),
            server_id: Some(3),
            address: Some("10.0.0.1:53100".into()),
            software: Some("milvus-coord/0.1.0".into()),
            priority: Some(-10),
            active_since_ms: Some(1),
            active_since: Some("2026-11-21 01:32:17".into()),
            epoch: Some(61),
            lease_left_s: Some(4),
            lag_revisions: Some(0),
            paused: None,
            error: None,
        }
    }

    #[test]
    fn columns_are_aligned_and_what_is_not_known_is_a_dash() {
        let real = Row {
            state: "STANDBY".into(),
            server_id: Some(12),
            software: Some("milvus/2.3.5".into()),
            priority: None,
            active_since: None,
            epoch: None,
            lease_left_s: Some(28),
            lag_revisions: None,
            error: Some("connection refused".into()),
            ..row()
        };
        let unreadable = Row {
            role: "datacoord".into(),
            state: "UNREADABLE".into(),
            server_id: None,
            address: None,
            software: None,
            priority: None,
            active_since: None,
            epoch: None,
            lease_left_s: None,
            lag_revisions: None,
            error: Some("the value is no session".into()),
            ..row()
        };
        assert_eq!(
            table(&[row(), real, unreadable]),
            "\
ROLE       STATE       SERVER ID  ADDRESS         SOFTWARE            PRIORITY  ACTIVE SINCE         EPOCH  LEASE  LAG
rootcoord  ACTIVE      3          10.0.0.1:53100  milvus-coord/0.1.0  -10       2026-11-21 01:32:17  61     4s     0
rootcoord  STANDBY     12         10.0.0.1:53100  milvus/2.3.5        -         -                    -      28s    -
datacoord  UNREADABLE  -          -               -                   -         -                    -      -      -
rootcoord 12 at 10.0.0.1:53100: connection refused
datacoord: the value is no session
"
        );
    }
}
