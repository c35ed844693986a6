//! Streams as destinations, and what is said when a destination fails.

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
};

use tracing::Level;

use crate::{
    clock::Clock,
    telemetry::log::{
        line::{Fields, Formatter, Head},
        spool::Destination,
    },
};

/// The last resort for the words of a log that cannot be written.
pub(super) type Aside = Box<dyn FnMut(&str) + Send>;

/// Standard error, whatever becomes of it.
pub(super) fn stderr() -> Aside {
    Box::new(|line| drop(io::stderr().write_all(line.as_bytes())))
}

/// Whether a destination works. One message when it begins to fail and one when it works
/// again, however many lines are lost in between.
pub(super) struct Condition {
    name: String,
    formatter: Formatter,
    clock: Arc<dyn Clock>,
    aside: Aside,
    /// Lines lost since it failed; `None` while it works.
    lost: Option<u64>,
}

impl Condition {
    pub(super) fn new(name: String, formatter: Formatter, clock: Arc<dyn Clock>, aside: Aside) -> Self {
        Self { name, formatter, clock, aside, lost: None }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn zone(&self) -> &jiff::tz::TimeZone {
        &self.formatter.zone
    }

    pub(super) fn is_failing(&self) -> bool {
        self.lost.is_some()
    }

    /// What the destination is called from now on.
    pub(super) fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// Lines are lost. Says so aside, once.
    pub(super) fn failed(&mut self, lines: u64, error: &io::Error) {
        if self.is_failing() {
            return self.still_failing(lines);
        }
        self.lost = Some(lines);
        let text = "the log cannot be written: lines are dropped until it can, the service goes on";
        let line = self.line(text, |fields| fields.rendered("error", format_args!("{error}")));
        (self.aside)(&line);
    }

    /// More lines are lost to a failure that has been told.
    pub(super) fn still_failing(&mut self, lines: u64) {
        self.lost = Some(self.lost.unwrap_or_default() + lines);
    }

    /// Something worth a line aside that loses nothing.
    pub(super) fn warn(&mut self, message: &str, error: &io::Error) {
        let line = self.line(message, |fields| fields.rendered("error", format_args!("{error}")));
        (self.aside)(&line);
    }

    /// It works (again): if it did not before, the line that belongs in front of the next ones.
    pub(super) fn recovered(&mut self) -> Option<String> {
        let lost = self.lost.take()?;
        Some(
            self.line("the log can be written again", |fields| {
                fields.bare("dropped", format_args!("{lost}"))
            }),
        )
    }

    /// The line that stands for those that found no room.
    pub(super) fn dropped(&self, lines: u64) -> String {
        self.line("log lines were dropped: they came faster than they could be written", |fields| {
            fields.bare("dropped", format_args!("{lines}"));
        })
    }

    fn line(&self, message: &str, more: impl FnOnce(&mut Fields)) -> String {
        let mut fields = Fields::new(self.formatter.format);
        fields.text("destination", &self.name);
        more(&mut fields);
        let head =
            Head { at: self.clock.wall(), level: Level::WARN, caller: Some((file!(), line!())), message };
        self.formatter.line(head, [fields.as_str(), ""])
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("name", &self.name)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

/// How many lines these bytes are.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// A pipe, a terminal, or whatever else takes bytes.
pub(super) struct Stream<W> {
    to: W,
    condition: Condition,
    /// The last thing written was a part of a line.
    torn: bool,
}

impl<W: Write + Send> Stream<W> {
    pub(super) fn new(to: W, condition: Condition) -> Self {
        Self { to, condition, torn: false }
    }
}

impl<W: Write + Send> Destination for Stream<W> {
    fn write(&mut self, lines: &[u8]) -> u64 {
        let (written, result) = write_counted(&mut self.to, self.torn, lines);
        self.torn = lines.get(..written).is_some_and(|part| part.last().is_some_and(|&byte| byte != b'\n'))
            || (self.torn && written == 0);
        match result {
            Ok(()) => {
                if let Some(line) = self.condition.recovered() {
                    let _ = self.to.write_all(line.as_bytes());
                }
                0
            }
            Err(error) => {
                let lost = count_lines(&lines[written..]);
                self.condition.failed(lost, &error);
                lost
            }
        }
    }

    fn note_dropped(&mut self, dropped: u64) {
        let line = self.condition.dropped(dropped);
        self.write(line.as_bytes());
    }

    fn rename(&mut self, _to: &str) {}
}

/// Writes and flushes; returns how much of `lines` surely went out. After a torn line
/// it begins on a new one.
pub(super) fn write_counted(to: &mut impl Write, torn: bool, lines: &[u8]) -> (usize, io::Result<()>) {
    if torn && let Err(error) = to.write_all(b"\n") {
        return (0, Err(error));
    }
    let mut written = 0;
    while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, to.flush())
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::{clock::SystemClock, telemetry::log::line::LogFormat};

    /// A device with room for so many more bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, content) = &mut *self.0.lock();
            let taken = bytes.len().min(*room);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= taken;
            content.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_gives_one_message_and_no_torn_lines() {
        let disk = Disk::default();
        disk.0.lock().0 = 10;
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let formatter = Formatter { format: LogFormat::Text, zone: jiff::tz::TimeZone::UTC };
        let aside: Aside = Box::new(move |line| heard.lock().push(line.to_owned()));
        let condition = Condition::new("disk".to_owned(), formatter, Arc::new(SystemClock), aside);
        let mut stream = Stream::new(disk.clone(), condition);

        assert_eq!(stream.write(b"one\ntwo\nthree\nfour\n"), 2);
        assert_eq!(stream.write(b"five\n"), 1);
        disk.0.lock().0 = 10_000;
        assert_eq!(stream.write(b"six\n"), 0);
        assert_eq!(stream.write(b"seven\n"), 0);

        let said = said.lock();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(r#"["the log cannot be written: lines are dropped until it can, the service goes on"] [destination=disk]"#), "{said:?}");
        let content = String::from_utf8(disk.0.lock().1.clone()).unwrap();
        let lines: Vec<_> = content.lines().collect();
        assert_eq!(lines[..4], ["one", "two", "th", "six"]);
        assert!(lines[4].ends_with(r#"["the log can be written again"] [destination=disk] [dropped=3]"#));
        assert_eq!(lines[5..], ["seven"]);
    }
}
