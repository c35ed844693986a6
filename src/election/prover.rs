//! Keeps the proof of a term fresh, and asks to be excused when etcd is silent.
//!
//! A proof costs one small linearizable read. While the gate is being asked, one is
//! sent each W/3; without traffic only often enough to confirm keep-alives.
//!
//! When no read succeeds for half of W, the standbys that could depose by a hint are
//! asked to promise not to. With all their promises the term goes on without proofs,
//! for as long as the lease clock and the saved windows reach; without them calls wait.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use crate::{
    clock::{BootInstant, Clock},
    election::{
        gate::Gate,
        hub::PeerHub,
        life::Event,
        notes::{Proof, Witness},
        observer::Observed,
    },
    etcd::{
        Etcd,
        call::{Answer, Header},
        lease::LeaseKeeper,
    },
    ids::Epoch,
};

/// How long a pledge is asked to last. A successor by hint waits for that long at most
/// after an ACTIVE one has lost etcd and then dies.
const PLEDGE: Duration = Duration::from_millis(500);
/// An unanswered read is given up after this; etcd answers within a few milliseconds.
const READ_TIMEOUT: Duration = Duration::from_millis(300);
/// Pause after a read that failed at once.
const RETRY: Duration = Duration::from_millis(20);

/// One term's prover.
#[derive(Debug)]
pub struct Prover {
    /// Where to read.
    pub etcd: Etcd,
    /// What to read.
    pub active_key: String,
    /// What to find.
    pub gate: Arc<Gate>,
    /// Is told of each read, which confirms keep-alives.
    pub lease: Arc<LeaseKeeper>,
    /// Whom to ask for pledges.
    pub hub: Arc<PeerHub>,
    /// How far the mirror is.
    pub observed: watch::Receiver<Observed>,
    /// Where to report the end of the term.
    pub events: mpsc::Sender<Event>,
    /// Hears of each read.
    pub witness: Arc<dyn Witness>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
}

enum Read {
    Proven(BootInstant, Header),
    Deposed,
    Silent,
}

impl Prover {
    /// Proves until the term is over or shows to be; cancel by dropping.
    pub async fn run(mut self, idle_every: Duration) {
        let busy_every = self.gate.proof_window() / 3;
        loop {
            let read = self.read_and_ask().await;
            self.witness.proof(match read {
                Read::Proven(..) => Proof::Confirmed,
                Read::Deposed => Proof::Refuted,
                Read::Silent => Proof::Failed,
            });
            match read {
                Read::Proven(sent, header) => {
                    self.proven(sent, header).await;
                    let pause = if self.gate.take_asked() { busy_every } else { idle_every };
                    tokio::select! {
                        () = self.gate.proof_wanted() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                Read::Deposed => {
                    self.gate.end();
                    let _ = self.events.send(Event::Deposed(self.gate.epoch())).await;
                    return;
                }
                Read::Silent => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// The lease's deadline moves only now that a read of the same etcd leader, sent
    /// after the keep-alive, has succeeded. After a lapse, what was missed meanwhile
    /// must be known first.
    async fn proven(&mut self, sent: BootInstant, header: Header) {
        let lapsed = self.clock.boot() >= self.lease.confirmed_until();
        if lapsed {
            let _ = self.observed.wait_for(|observed| observed.at >= header.revision).await;
        }
        self.lease.confirm(sent, header.raft_term);
        self.gate.lease_valid_until(self.lease.confirmed_until());
        self.gate.proven(sent);
    }

    /// Reads; if that fails or takes longer than half of W, asks for pledges meanwhile.
    async fn read_and_ask(&self) -> Read {
        let reading = self.read();
        tokio::pin!(reading);
        match tokio::time::timeout(self.gate.proof_window() / 2, &mut reading).await {
            Ok(Read::Silent) => {
                self.excuse().await;
                Read::Silent
            }
            Ok(read) => read,
            Err(_) => tokio::join!(self.excuse(), reading).1,
        }
    }

    async fn excuse(&self) {
        if self.clock.boot() >= self.lease.confirmed_until() {
            // Pledges would open nothing, and hold up the successor.
            return;
        }
        let asking = self.hub.ask_pledges(self.gate.epoch(), PLEDGE);
        if let Ok(until) = tokio::time::timeout(self.gate.proof_window() / 2, asking).await {
            self.gate.excuse_until(until);
        }
    }

    async fn read(&self) -> Read {
        match self.etcd.read(&self.active_key, READ_TIMEOUT).await {
            Ok(Answer { header, sent, value: Some(kv) }) if Epoch(kv.mod_revision.0) == self.gate.epoch() => {
                Read::Proven(sent, header)
            }
            Ok(_) => Read::Deposed,
            Err(error) => {
                tracing::debug!(%error, "the ACTIVE key could not be read");
                Read::Silent
            }
        }
    }
}
