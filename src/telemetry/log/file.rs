//! A log file that is put aside when it is large, and what becomes of those put aside.
//!
//! `<role>-<id>.log` is written; `<role>-<id>-<local time>.log` are its predecessors.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::{
    clock::{BootInstant, UnixNanos},
    telemetry::log::{
        destination::{Condition, count_lines, write_counted},
        spool::Destination,
    },
};

const EXTENSION: &str = ".log";

/// How a predecessor's name tells when it was put aside.
const ASIDE_SINCE: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// After a failure the file is not tried again before that.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// When a file is put aside, and how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    /// Bytes.
    pub(super) max_size: u64,
    /// Zero: for ever.
    pub(super) max_age: Duration,
    /// Zero: all.
    pub(super) max_backups: usize,
}

struct OpenFile {
    file: File,
    size: u64,
}

/// The file of this process, and its predecessors.
pub(super) struct RotatedFile {
    folder: PathBuf,
    /// Without the extension.
    name: String,
    retention: Retention,
    condition: Condition,
    open: Option<OpenFile>,
    /// The last thing written was a part of a line.
    torn: bool,
    retry_at: BootInstant,
}

impl RotatedFile {
    pub(super) fn new(folder: PathBuf, name: String, retention: Retention, mut condition: Condition) -> Self {
        condition.rename(path(&folder, &name).display().to_string());
        Self { folder, name, retention, condition, open: None, torn: false, retry_at: BootInstant::default() }
    }

    fn path(&self) -> PathBuf {
        path(&self.folder, &self.name)
    }

    /// Writes as many whole lines as the file may take, at least one. Returns their bytes.
    fn write_some(&mut self, lines: &[u8]) -> Result<usize, (usize, io::Error)> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_file().map_err(|error| (0, error))?,
        };
        let room = usize::try_from(self.retention.max_size.saturating_sub(open.size)).unwrap_or(usize::MAX);
        let mut fitting = whole_lines(lines, room);
        if fitting == 0 {
            if open.size > 0 {
                drop(open);
                open = self.put_aside().map_err(|error| (0, error))?;
            }
            let room = usize::try_from(self.retention.max_size).unwrap_or(usize::MAX);
            fitting = whole_lines(lines, room).max(first_line(lines));
        }
        let (written, result) = write_counted(&mut open.file, self.torn, &lines[..fitting]);
        open.size += written as u64;
        if written > 0 {
            self.torn = lines[written - 1] != b'\n';
        }
        result.map_err(|error| (written, error))?;
        self.open = Some(open);
        Ok(written)
    }

    fn open_file(&self) -> io::Result<OpenFile> {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.folder)?;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.path())?;
        let size = file.metadata()?.len();
        Ok(OpenFile { file, size })
    }

    fn put_aside(&mut self) -> io::Result<OpenFile> {
        let mut at = self.condition.clock().wall();
        let aside = loop {
            let aside = self.folder.join(aside_name(&self.name, at, self.condition.zone()));
            if !aside.try_exists()? {
                break aside;
            }
            at = at + Duration::from_millis(1);
        };
        fs::rename(self.path(), aside)?;
        self.prune();
        self.open_file()
    }

    fn prune(&mut self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        let now = self.condition.clock().wall();
        for name in expired(&names, &self.name, now, self.condition.zone(), self.retention) {
            if let Err(error) = fs::remove_file(self.folder.join(name)) {
                self.condition.warn("an old log file cannot be removed", &error);
            }
        }
    }
}

impl Destination for RotatedFile {
    fn write(&mut self, lines: &[u8]) -> u64 {
        if self.condition.is_failing() && self.condition.clock().boot() < self.retry_at {
            let lost = count_lines(lines);
            self.condition.still_failing(lost);
            return lost;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(written) => rest = &rest[written..],
                Err((written, error)) => {
                    self.open = None;
                    self.retry_at = self.condition.clock().boot() + RETRY_AFTER;
                    let lost = count_lines(&rest[written..]);
                    self.condition.failed(lost, &error);
                    return lost;
                }
            }
        }
        // If this line meets the next failure, the next batch will tell.
        if let Some(line) = self.condition.recovered() {
            drop(self.write_some(line.as_bytes()));
        }
        0
    }

    fn note_dropped(&mut self, dropped: u64) {
        let line = self.condition.dropped(dropped);
        self.write(line.as_bytes());
    }

    fn rename(&mut self, to: &str) {
        if to == self.name {
            return;
        }
        let (old, new) = (self.path(), path(&self.folder, to));
        if self.open.take().is_some() {
            // Ids repeat when an etcd was set up anew: what is there already is kept.
            let moved = match new.try_exists() {
                Ok(true) => append(&old, &new).and_then(|()| fs::remove_file(&old)),
                Ok(false) => fs::rename(&old, &new),
                Err(error) => Err(error),
            };
            if let Err(error) = moved {
                self.condition.warn("the log file cannot be renamed: it goes on under another name", &error);
            }
        }
        to.clone_into(&mut self.name);
        self.condition.rename(new.display().to_string());
        self.prune();
    }
}

fn append(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new().append(true).open(to)?;
    io::copy(&mut source, &mut target).map(drop)
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{EXTENSION}"))
}

/// The bytes of those lines at the beginning that fit into `room`.
fn whole_lines(lines: &[u8], room: usize) -> usize {
    if lines.len() <= room {
        return lines.len();
    }
    lines[..room].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |at| at + 1)
}

fn aside_name(name: &str, at: UnixNanos, zone: &TimeZone) -> String {
    let local = zone.to_datetime(timestamp(at));
    format!("{name}-{}{EXTENSION}", local.strftime(ASIDE_SINCE))
}

fn timestamp(at: UnixNanos) -> Timestamp {
    Timestamp::from_nanosecond(at.0.into()).unwrap_or(Timestamp::MAX)
}

/// When that file was put aside; `None`: it is not one of `name`'s predecessors.
fn aside_since(file: &str, name: &str, zone: &TimeZone) -> Option<Timestamp> {
    let since = file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(EXTENSION)?;
    let local = DateTime::strptime(ASIDE_SINCE, since).ok()?;
    zone.to_timestamp(local).ok()
}

/// Which of `files` are predecessors of `name` that need not be kept any longer.
fn expired<'a>(
    files: &'a [String],
    name: &str,
    now: UnixNanos,
    zone: &TimeZone,
    retention: Retention,
) -> Vec<&'a str> {
    let mut backups: Vec<(Timestamp, &str)> =
        files.iter().filter_map(|file| Some((aside_since(file, name, zone)?, file.as_str()))).collect();
    backups.sort_unstable_by(|a, b| b.cmp(a));
    let oldest = timestamp(now).checked_sub(retention.max_age).unwrap_or(Timestamp::MIN);
    backups
        .iter()
        .enumerate()
        .filter(|&(newer, &(since, _))| {
            (retention.max_backups > 0 && newer >= retention.max_backups)
                || (!retention.max_age.is_zero() && since < oldest)
        })
        .map(|(_, &(_, file))| file)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::{
        clock::{Clock, testing::Hand},
        telemetry::log::{
            destination::Aside,
            line::{Formatter, LogFormat},
        },
    };

    /// 2026-11-21 01:32:17.565 UTC.
    const START: UnixNanos = UnixNanos(1_795_224_737_565_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    struct Bench {
        folder: tempfile::TempDir,
        clock: Arc<Hand>,
        said: Arc<Mutex<Vec<String>>>,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { folder, clock: Arc::new(Hand::booted(START)), said: Arc::default() }
        }

        fn file(&self, below: &str, retention: Retention) -> RotatedFile {
            let said = Arc::clone(&self.said);
            let aside: Aside = Box::new(move |line| said.lock().push(line.to_owned()));
            let formatter = Formatter { format: LogFormat::Text, zone: TimeZone::UTC };
            let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
            let condition = Condition::new(String::new(), formatter, clock, aside);
            RotatedFile::new(self.folder.path().join(below), "rootcoord-7".to_owned(), retention, condition)
        }

        fn files(&self) -> Vec<(String, String)> {
            let mut files: Vec<_> = fs::read_dir(self.folder.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.file_type().unwrap().is_file())
                .map(|entry| {
                    (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
                })
                .collect();
            files.sort();
            files
        }
    }

    fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|&(name, content)| (name.to_owned(), content.to_owned())).collect()
    }

    const SMALL: Retention = Retention { max_size: 10, max_age: Duration::ZERO, max_backups: 0 };

    #[test]
    fn rotates_between_lines_before_the_file_gets_too_large() {
        let bench = Bench::new();
        let mut file = bench.file("", SMALL);
        assert_eq!(file.write(b"1234\n6789\nabcd\n"), 0);
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(file.write(b"a line longer than a file\nx\n"), 0);
        assert_eq!(
            bench.files(),
            owned(&[
                ("rootcoord-7-2026-11-21T01-32-17.565.log", "1234\n6789\n"),
                ("rootcoord-7-2026-11-21T01-32-18.565.log", "abcd\n"),
                ("rootcoord-7-2026-11-21T01-32-18.566.log", "a line longer than a file\n"),
                ("rootcoord-7.log", "x\n"),
            ])
        );
        assert!(bench.said.lock().is_empty());
    }

    #[test]
    fn goes_on_in_the_file_that_is_there() {
        let bench = Bench::new();
        bench.file("", SMALL).write(b"12\n");
        bench.file("", SMALL).write(b"45\n");
        assert_eq!(bench.files(), owned(&[("rootcoord-7.log", "12\n45\n")]));
    }

    #[test]
    fn keeps_the_newest_backups_only() {
        let bench = Bench::new();
        let mut file = bench.file("", Retention { max_backups: 2, ..SMALL });
        for line in ["1aaaaaaa\n", "2aaaaaaa\n", "3aaaaaaa\n", "4aaaaaaa\n"] {
            file.write(line.as_bytes());
            bench.clock.advance(DAY);
        }
        let contents: Vec<_> = bench.files().into_iter().map(|(_, content)| content).collect();
        assert_eq!(contents, ["2aaaaaaa\n", "3aaaaaaa\n", "4aaaaaaa\n"]);
    }

    #[test]
    fn which_files_expire() {
        let files: Vec<String> = [
            "rootcoord-7.log",
            "rootcoord-7-2026-11-20T01-32-17.565.log",
            "rootcoord-7-2026-11-19T01-32-17.000.log",
            "rootcoord-7-2026-11-11T01-32-17.565.log",
            "rootcoord-70-2020-11-11T01-32-17.565.log",
            "rootcoord-7-2020-11-11T01-32-17.565.log.gz",
            "rootcoord-7-notes.log",
        ]
        .map(str::to_owned)
        .into();
        let check = |max_age, max_backups, expected: &[&str]| {
            let retention = Retention { max_size: 1, max_age, max_backups };
            assert_eq!(expired(&files, "rootcoord-7", START, &TimeZone::UTC, retention), expected);
        };
        check(Duration::ZERO, 0, &[]);
        check(
            2 * DAY,
            0,
            &["rootcoord-7-2026-11-19T01-32-17.000.log", "rootcoord-7-2026-11-11T01-32-17.565.log"],
        );
        check(10 * DAY, 2, &["rootcoord-7-2026-11-11T01-32-17.565.log"]);
    }

    #[test]
    fn takes_its_lines_along_when_it_gets_its_name() {
        let bench = Bench::new();
        let mut file = bench.file("", Retention { max_size: 1000, ..SMALL });
        file.write(b"before\n");
        file.rename("rootcoord-9");
        file.write(b"after\n");
        assert_eq!(bench.files(), owned(&[("rootcoord-9.log", "before\nafter\n")]));

        fs::write(bench.folder.path().join("rootcoord-11.log"), "old\n").unwrap();
        file.rename("rootcoord-11");
        file.write(b"more\n");
        assert_eq!(bench.files(), owned(&[("rootcoord-11.log", "old\nbefore\nafter\nmore\n")]));
    }

    #[test]
    fn an_unusable_folder_gives_one_message_and_is_tried_again() {
        let bench = Bench::new();
        // Also root cannot make a folder below a file.
        let obstacle = bench.folder.path().join("logs");
        fs::write(&obstacle, "").unwrap();
        let mut file = bench.file("logs", Retention { max_size: 1000, ..SMALL });

        assert_eq!(file.write(b"1\n2\n"), 2);
        fs::remove_file(&obstacle).unwrap();
        assert_eq!(file.write(b"3\n"), 1, "not tried again at once");
        bench.clock.advance(RETRY_AFTER);
        assert_eq!(file.write(b"4\n"), 0);

        let said = bench.said.lock().join("");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("rootcoord-7.log] [error="), "{said}");
        let content = fs::read_to_string(obstacle.join("rootcoord-7.log")).unwrap();
        let (first, second) = content.split_once('\n').unwrap();
        assert_eq!(first, "4");
        assert!(second.contains(r#"["the log can be written again"]"#) && second.ends_with("[dropped=3]\n"));
    }
}
