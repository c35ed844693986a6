//! The moments whose hooks are still due, in order.

use std::{collections::VecDeque, fmt};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::moment::{Moment, Moments};
use crate::{
    clock::BootInstant,
    election::{
        history::Course,
        life::Exit,
        notes::{Note, Proof, Witness},
    },
    ids::Epoch,
    telemetry::words::Hook,
};

/// A hook that hangs leaves those behind it waiting; older ones are outdated by then.
const MOST: usize = 16;

/// Where the instance stands, for the parts that only want to know that much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many moments there have been.
    pub moments: u64,
    /// It has been STANDBY or ACTIVE at least once.
    pub up: bool,
    /// It ends.
    pub ending: bool,
}

/// Hears the notes of a life, and keeps its moments until they are taken.
pub struct Queue {
    inner: Mutex<Inner>,
    told: watch::Sender<Told>,
}

#[derive(Debug, Default)]
struct Inner {
    moments: Moments,
    waiting: VecDeque<Moment>,
}

impl Default for Queue {
    fn default() -> Self {
        Self { inner: Mutex::default(), told: watch::Sender::new(Told::default()) }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Queue {
    /// What has been told so far, as it changes.
    pub fn told(&self) -> watch::Receiver<Told> {
        self.told.subscribe()
    }

    /// The life has ended so. Needed where it had not begun yet; otherwise it changes nothing.
    pub fn ended(&self, exit: Exit) {
        let mut inner = self.inner.lock();
        let moment = inner.moments.ended(exit);
        self.put(&mut inner, moment);
    }

    /// Takes everything that waits, once there is something.
    pub(super) async fn due(&self) -> Batch {
        let mut told = self.told();
        loop {
            told.borrow_and_update();
            let waiting = std::mem::take(&mut self.inner.lock().waiting);
            if !waiting.is_empty() {
                return Batch(waiting.into());
            }
            // The sender is `self`.
            let _ = told.changed().await;
        }
    }

    /// Waits until the process ends.
    pub(super) async fn ending(&self) {
        let _ = self.told().wait_for(|told| told.ending).await;
    }

    fn put(&self, inner: &mut Inner, moment: Option<Moment>) {
        let Some(moment) = moment else { return };
        let hook = moment.hook;
        if inner.waiting.len() >= MOST {
            inner.waiting.pop_front();
        }
        inner.waiting.push_back(moment);
        self.told.send_modify(|told| {
            told.moments += 1;
            told.up |= matches!(hook, Hook::OnActive | Hook::OnStandby);
            told.ending |= hook == Hook::OnStop;
        });
    }
}

/// Moments that were taken together; not empty.
#[derive(Debug)]
pub(super) struct Batch(Vec<Moment>);

/// What to do about them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// To be run now.
    pub(super) next: Option<Moment>,
    /// Outdated.
    pub(super) left_out: Vec<Moment>,
    /// Nothing comes after it.
    pub(super) last: bool,
}

impl Batch {
    /// The newest one that has a command is due; older ones that have one are outdated.
    pub(super) fn sorted(self, has_command: impl Fn(Hook) -> bool) -> Due {
        let last = self.0.iter().any(|moment| moment.hook == Hook::OnStop);
        let mut left_out: Vec<_> = self.0.into_iter().filter(|moment| has_command(moment.hook)).collect();
        let next = left_out.pop();
        Due { next, left_out, last }
    }
}

/// Passes notes on to another witness, and keeps the moments among them.
#[derive(Debug)]
pub struct Listening<W> {
    /// Where the moments go.
    pub queue: std::sync::Arc<Queue>,
    /// Hears everything first.
    pub inner: W,
}

impl<W: Witness> Witness for Listening<W> {
    fn note(&self, at: BootInstant, note: &Note) {
        self.inner.note(at, note);
        let mut inner = self.queue.inner.lock();
        let moment = inner.moments.note(note);
        self.queue.put(&mut inner, moment);
    }

    fn proof(&self, proof: Proof) {
        self.inner.proof(proof);
    }

    fn course(&self, epoch: Epoch) -> Option<Course> {
        self.inner.course(epoch)
    }

    fn write_refused(&self, epoch: Epoch) {
        self.inner.write_refused(epoch);
    }
}
