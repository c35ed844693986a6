//! Says how far long work is, past the test harness's capture: minutes without a line
//! look like a hang.

use std::{io::Write, time::Instant};

/// Speaks of work that began at one moment.
#[derive(Clone, Debug)]
pub struct Progress {
    work: String,
    begin: Instant,
}

impl Progress {
    /// Of work that begins now.
    pub fn of(work: &str) -> Self {
        Self { work: work.to_owned(), begin: Instant::now() }
    }

    /// When it began.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// Writes a line to standard error.
    pub fn say(&self, text: &str) {
        let seconds = self.begin.elapsed().as_secs_f64();
        // Not the macro: its output is shown for failed tests only.
        let line = format!("    {} {seconds:6.1} s: {text}\n", self.work);
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
