//! Between those who log and a destination that may be slow, stuck or gone.
//!
//! Whoever logs appends to a buffer and goes on; a thread per destination writes
//! it out, as much as has gathered at a time. A pipe that nobody reads or a disk
//! that is full costs lines, which are counted, and never time.

use std::{fmt, io, sync::Arc, thread, time::Duration};

use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;

/// Bytes that may wait for one destination: some twenty thousand lines.
const MAX_WAITING: usize = 4 << 20;

/// A buffer that once grew beyond this is given back after it was written.
const KEPT_CAPACITY: usize = 64 << 10;

/// Where lines end up. Lives on the spool's own thread, so it may block.
pub(super) trait Destination: Send {
    /// Writes whole lines, and returns how many of them are lost.
    fn write(&mut self, lines: &[u8]) -> u64;

    /// So many lines had to be given up before they got here.
    fn note_dropped(&mut self, dropped: u64);

    /// The place to write to has a name from now on.
    fn rename(&mut self, to: &str);
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines that found no room since the last batch.
    dropped: u64,
    rename: Option<String>,
    /// Batches taken, and batches written.
    taken: u64,
    finished: u64,
    closed: bool,
    /// The thread has ended.
    ended: bool,
}

impl Waiting {
    fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.rename.is_none() && self.dropped == 0
    }
}

/// The bounded buffer of one destination.
pub(super) struct Spool {
    waiting: Mutex<Waiting>,
    /// Wakes the writing thread.
    work: Condvar,
    /// Wakes those who wait for the writing thread.
    progress: Condvar,
    dropped: IntCounter,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").finish_non_exhaustive()
    }
}

impl Spool {
    /// Starts the thread. `dropped` counts the lines that never arrive.
    pub(super) fn start(
        name: &str,
        destination: impl Destination + 'static,
        dropped: IntCounter,
    ) -> io::Result<Arc<Self>> {
        let spool = Arc::new(Self {
            waiting: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
            dropped,
        });
        let of_thread = Arc::clone(&spool);
        thread::Builder::new().name(name.to_owned()).spawn(move || of_thread.run(destination))?;
        Ok(spool)
    }

    /// Takes a whole line, if there is room for it.
    pub(super) fn push(&self, line: &str) {
        let mut waiting = self.waiting.lock();
        // One line always fits, however long it is.
        let full = !waiting.lines.is_empty() && waiting.lines.len() + line.len() > MAX_WAITING;
        if full || waiting.closed {
            waiting.dropped += 1;
            self.dropped.inc();
            return;
        }
        let wake = waiting.is_idle();
        waiting.lines.extend_from_slice(line.as_bytes());
        drop(waiting);
        if wake {
            self.work.notify_one();
        }
    }

    /// Has the destination write elsewhere from the next line on.
    pub(super) fn rename(&self, to: String) {
        self.waiting.lock().rename = Some(to);
        self.work.notify_one();
    }

    /// Waits until everything pushed so far is written. `false`: it was not within that time.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        let wanted = waiting.taken + u64::from(!waiting.is_idle());
        self.wait_while(&mut waiting, within, |waiting| waiting.finished < wanted && !waiting.ended);
        waiting.finished >= wanted
    }

    /// Takes nothing more, and waits until the thread has written all and ended.
    pub(super) fn close(&self, within: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        self.work.notify_one();
        self.wait_while(&mut waiting, within, |waiting| !waiting.ended);
        waiting.ended
    }

    fn wait_while(
        &self,
        waiting: &mut parking_lot::MutexGuard<'_, Waiting>,
        within: Duration,
        unfinished: impl Fn(&Waiting) -> bool,
    ) {
        self.progress.wait_while_for(waiting, |waiting| unfinished(waiting), within);
    }

    fn run(&self, mut destination: impl Destination) {
        /// Whoever waits for the thread is told of its end, even by a panic.
        struct Ended<'a>(&'a Spool);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                let mut waiting = self.0.waiting.lock();
                waiting.ended = true;
                waiting.closed = true;
                self.0.progress.notify_all();
            }
        }
        let _ended = Ended(self);
        let mut batch = Vec::new();
        loop {
            let (dropped, rename) = {
                let mut waiting = self.waiting.lock();
                self.work.wait_while(&mut waiting, |waiting| waiting.is_idle() && !waiting.closed);
                if waiting.is_idle() {
                    return;
                }
                std::mem::swap(&mut batch, &mut waiting.lines);
                waiting.taken += 1;
                (std::mem::take(&mut waiting.dropped), waiting.rename.take())
            };
            if let Some(to) = rename {
                destination.rename(&to);
            }
            if !batch.is_empty() {
                self.dropped.inc_by(destination.write(&batch));
            }
            if dropped > 0 {
                destination.note_dropped(dropped);
            }
            batch.clear();
            batch.shrink_to(KEPT_CAPACITY);
            self.waiting.lock().finished += 1;
            self.progress.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// Writes nothing before it is let.
    struct Stuck {
        go: mpsc::Receiver<()>,
        content: Arc<Mutex<Vec<String>>>,
    }

    impl Destination for Stuck {
        fn write(&mut self, lines: &[u8]) -> u64 {
            // An error means: for good.
            let _ = self.go.recv();
            self.content.lock().extend(String::from_utf8_lossy(lines).lines().map(str::to_owned));
            0
        }

        fn note_dropped(&mut self, dropped: u64) {
            self.content.lock().push(format!("dropped {dropped}"));
        }

        fn rename(&mut self, _to: &str) {}
    }

    #[test]
    fn a_stuck_destination_costs_lines_and_not_time() {
        let (let_go, go) = mpsc::channel();
        let content = Arc::<Mutex<Vec<String>>>::default();
        let dropped = IntCounter::new("dropped", "lines").unwrap();
        let stuck = Stuck { go, content: Arc::clone(&content) };
        let spool = Spool::start("test-log", stuck, dropped.clone()).unwrap();

        spool.push("first\n");
        assert!(!spool.flush(Duration::from_millis(1)));
        while !spool.waiting.lock().is_idle() {
            thread::yield_now();
        }
        let kilobyte = "x".repeat(1023) + "\n";
        for _ in 0..MAX_WAITING / 1024 + 7 {
            spool.push(&kilobyte);
        }
        assert_eq!(dropped.get(), 7);

        drop(let_go);
        assert!(spool.flush(SOON));
        spool.push("last\n");
        assert!(spool.close(SOON));
        let content = content.lock();
        assert_eq!(content.len(), 1 + MAX_WAITING / 1024 + 1 + 1);
        assert_eq!(content[0], "first");
        assert_eq!(content[content.len() - 2..], ["dropped 7", "last"]);
    }

    #[test]
    fn a_line_of_any_length_fits_into_an_empty_spool() {
        let (let_go, go) = mpsc::channel();
        let dropped = IntCounter::new("dropped", "lines").unwrap();
        let spool = Spool::start("test-log", Stuck { go, content: Arc::default() }, dropped.clone()).unwrap();
        spool.push(&"x".repeat(2 * MAX_WAITING));
        assert_eq!(dropped.get(), 0);
        drop(let_go);
        assert!(spool.close(SOON));
    }

    #[test]
    fn the_end_of_the_thread_keeps_nobody_waiting() {
        struct Broken;
        impl Destination for Broken {
            fn write(&mut self, _lines: &[u8]) -> u64 {
                std::panic::resume_unwind(Box::new("broken"));
            }
            fn note_dropped(&mut self, _dropped: u64) {}
            fn rename(&mut self, _to: &str) {}
        }
        let dropped = IntCounter::new("dropped", "lines").unwrap();
        let spool = Spool::start("test-log", Broken, dropped.clone()).unwrap();
        spool.push("one\n");
        assert!(!spool.flush(SOON), "never written, and known at once");
        assert!(spool.close(SOON));
        spool.push("two\n");
        assert_eq!(dropped.get(), 1);
    }
}
