//! What a process has written, line by line, and the waiting for a line.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// One line of a process's output.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it arrived here.
    pub at: Instant,
    /// The text without the line break.
    pub text: String,
}

/// A place in a log: what comes after it is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// The output of one process. Clones share it.
#[derive(Clone, Debug)]
pub struct Log {
    name: String,
    path: PathBuf,
    lines: Arc<Mutex<Vec<Line>>>,
    state: watch::Receiver<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    count: usize,
    ended: bool,
}

impl Log {
    /// Reads `source` to its end on a thread of its own, keeps the lines and copies
    /// them to the file `path`.
    ///
    /// # Panics
    /// When the file can't be made.
    pub(crate) fn read(
        name: &str,
        path: &Path,
        source: impl Read + Send + 'static,
    ) -> (Self, thread::JoinHandle<()>) {
        let mut file = File::create(path).unwrap_or_else(|e| panic!("can't write {}: {e}", path.display()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, state) = watch::channel(State::default());
        let log = Self { name: name.to_owned(), path: path.to_owned(), lines: Arc::clone(&lines), state };
        let reader = thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut bytes = Vec::new();
            while source.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
                let at = Instant::now();
                // A full disk must not end the reading: the process would block on its pipe.
                let _ = file.write_all(&bytes);
                let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
                bytes.clear();
                lock(&lines).push(Line { at, text });
                tell.send_modify(|state| state.count += 1);
            }
            tell.send_modify(|state| state.ended = true);
        });
        (log, reader)
    }

    /// The place behind the newest line.
    pub fn mark(&self) -> Mark {
        Mark(lock(&self.lines).len())
    }

    /// Every line from `from` on.
    pub fn since(&self, from: Mark) -> Vec<Line> {
        lock(&self.lines)[from.0..].to_vec()
    }

    /// The first line from `from` on that contains `needle`.
    pub fn find(&self, from: Mark, needle: &str) -> Option<Line> {
        lock(&self.lines)[from.0..].iter().find(|line| line.text.contains(needle)).cloned()
    }

    /// How many lines from `from` on contain `needle`.
    pub fn count(&self, from: Mark, needle: &str) -> usize {
        lock(&self.lines)[from.0..].iter().filter(|line| line.text.contains(needle)).count()
    }

    /// Waits for a line from `from` on that contains `needle`.
    ///
    /// # Panics
    /// When it does not come within `limit`, or the process ends before it.
    pub async fn wait(&self, from: Mark, needle: &str, limit: Duration) -> Line {
        let what = format!("a line with {needle:?}");
        let is_it = |line: &Line| line.text.contains(needle).then(|| line.clone());
        self.wait_for(from, &what, 1, limit, is_it).await.pop().expect("one line was waited for")
    }

    /// Waits for `count` lines from `from` on of which `read` makes something, and
    /// returns what it made.
    ///
    /// # Panics
    /// When they do not come within `limit`, or the process ends before them.
    pub async fn wait_for<T>(
        &self,
        from: Mark,
        what: &str,
        count: usize,
        limit: Duration,
        read: impl Fn(&Line) -> Option<T>,
    ) -> Vec<T> {
        let mut state = self.state.clone();
        let mut seen = from.0;
        let mut found = Vec::new();
        let arrive = async {
            while found.len() < count {
                let State { count: lines, ended } = *state.borrow_and_update();
                found.extend(lock(&self.lines)[seen..lines].iter().filter_map(&read));
                seen = lines;
                if found.len() < count && (ended || state.changed().await.is_err()) {
                    return false;
                }
            }
            true
        };
        let arrived = tokio::time::timeout(limit, arrive).await;
        if arrived == Ok(true) {
            found.truncate(count);
            return found;
        }
        let had = if count == 1 { String::new() } else { format!(" (only {} of {count})", found.len()) };
        match arrived {
            Ok(_) => panic!("{} ended without {what}{had}\n{}", self.name, self.tail(40)),
            Err(_) => panic!("{}: no {what}{had} within {limit:?}\n{}", self.name, self.tail(40)),
        }
    }

    /// The last `count` lines, for a message.
    pub fn tail(&self, count: usize) -> String {
        let lines = lock(&self.lines);
        let skipped = lines.len().saturating_sub(count);
        let mut text = format!(
            "--- {}, last {} of {} lines ({})",
            self.name,
            lines.len() - skipped,
            lines.len(),
            self.path.display()
        );
        for line in &lines[skipped..] {
            text.push_str("\n    ");
            text.push_str(&line.text);
        }
        text
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere in the test leaves the lines whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
