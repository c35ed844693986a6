//! `config check`.

use std::io::{self, Write};

use super::exit::Exit;
use crate::config::{CheckReport, Sources, check};

/// Where comments begin, if the setting leaves room.
const COLUMN: usize = 60;

/// Values go to `out`, complaints to `err`.
pub(super) fn run(sources: &Sources, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let report = check(sources);
    values(&report, out)?;
    out.flush()?;
    for note in &report.notes {
        writeln!(err, "{}: {}", if note.warning { "warning" } else { "note" }, note.text)?;
    }
    for problem in &report.problems {
        writeln!(err, "error: {problem}")?;
    }
    Ok(if report.problems.is_empty() { Exit::Done } else { Exit::Usage })
}

fn values(report: &CheckReport, out: &mut dyn Write) -> io::Result<()> {
    if report.files.is_empty() {
        writeln!(out, "# no file was read")?;
    }
    for file in &report.files {
        writeln!(out, "# read {}", file.display())?;
    }
    for value in &report.values {
        let setting = match value.value.as_str() {
            "" => format!("{}:", value.key),
            text => format!("{}: {}", value.key, text.escape_debug()),
        };
        writeln!(out, "{setting:<COLUMN$} # {}", value.source)?;
    }
    Ok(())
}
