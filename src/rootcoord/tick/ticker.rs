//! Sends the ticks of one term.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{
    alarms::{LongSilence, Seldom},
    events::TickWitness,
    sources::{BadReport, Report},
    ticks::{HoldId, Ticks},
};
use crate::{
    clock::Clock,
    election::gate::{Gate, NotServing},
    ids::ServerId,
    mq::{Message, Queue, QueueError, codec::encode_tick},
    tso::{hybrid::Timestamp, timestamps::Timestamps},
};

/// Who has not reported for so many intervals is told of.
const IDLE_INTERVALS: u32 = 10;

#[derive(Debug)]
struct Shared {
    ticks: Mutex<Ticks>,
    timestamps: Arc<Timestamps>,
    clock: Arc<dyn Clock>,
    witness: Arc<dyn TickWitness>,
    /// Something may be due.
    wake: Notify,
    /// A channel got a tick, or others are in use.
    moved: Notify,
}

/// What sends the ticks of a term is told through this.
#[derive(Clone, Debug)]
pub struct Ticker(Arc<Shared>);

/// Keeps the ticks of some channels at what was the newest timestamp when it was made, so
/// that messages with later ones can still be put there. Ends when dropped.
#[derive(Debug)]
#[must_use = "channels are held as long as this lives"]
pub struct Hold {
    shared: Arc<Shared>,
    id: HoldId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.ticks.lock().let_go(self.id);
        self.shared.wake.notify_one();
    }
}

impl Ticker {
    /// These proxies have a session now: all of them, and nobody else. A new one holds
    /// back every channel until it reports, so say it before it is given a timestamp.
    pub fn sources(&self, proxies: &BTreeSet<ServerId>) {
        let Shared { ticks, clock, witness, wake, .. } = &*self.0;
        let joined = ticks.lock().proxies(proxies, clock.boot());
        joined.added.iter().for_each(|proxy| witness.joined(*proxy));
        joined.removed.iter().for_each(|proxy| witness.left(*proxy));
        wake.notify_one();
    }

    /// A proxy reports.
    ///
    /// # Errors
    /// [`BadReport::Unrecognized`]
    pub fn report(&self, proxy: ServerId, report: Report) -> Result<(), BadReport> {
        self.0.ticks.lock().report(proxy, report, self.0.clock.boot())?;
        self.0.wake.notify_one();
        Ok(())
    }

    /// DDL begins that will put messages into these channels: take its timestamp after
    /// this, and drop the hold when the messages are in their channels, or certainly never will be.
    pub fn hold<S: AsRef<str>>(&self, channels: &[S]) -> Hold {
        let channels = channels.iter().map(|channel| channel.as_ref().to_owned()).collect();
        let mut ticks = self.0.ticks.lock();
        // Under the lock: no tick is decided upon between the two.
        let newest = self.0.timestamps.newest();
        Hold { shared: Arc::clone(&self.0), id: ticks.hold(channels, newest) }
    }

    /// Ticks go to these channels and no others.
    pub fn set_in_use(&self, channels: BTreeSet<String>) {
        let unused = self.0.ticks.lock().use_channels(channels);
        unused.iter().for_each(|channel| self.0.witness.unused(channel));
        self.0.wake.notify_one();
        self.0.moved.notify_waiters();
    }

    /// `common.ttMsgEnabled`: without it, no ticks.
    pub fn set_enabled(&self, enabled: bool) {
        self.0.ticks.lock().enable(enabled);
        self.0.wake.notify_one();
    }

    /// The newest tick that the queue has confirmed; 0 before the first of this term.
    pub fn synced(&self, channel: &str) -> Timestamp {
        self.0.ticks.lock().synced(channel)
    }

    /// Waits until every one of these channels has got a tick of `ts` or later, confirmed
    /// by the queue. Those not in use count as passed.
    ///
    /// Has no end of its own: waits in vain while ticks are off or the term is over.
    pub async fn passed<S: AsRef<str>>(&self, channels: &[S], ts: Timestamp) {
        let channels: BTreeSet<String> = channels.iter().map(|name| name.as_ref().to_owned()).collect();
        loop {
            let moved = self.0.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.0.ticks.lock().passed(&channels, ts) {
                return;
            }
            moved.await;
        }
    }
}

/// What sends the ticks of a term.
#[derive(Debug)]
pub struct TickWorker {
    /// Where they go. Whoever ends the term purges it.
    pub queue: Arc<dyn Queue>,
    /// Asked before each.
    pub gate: Arc<Gate>,
    /// Of the term.
    pub timestamps: Arc<Timestamps>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The own server id, which ticks carry.
    pub server: ServerId,
    /// `proxy.timeTickInterval`
    pub interval: Duration,
    /// How long a tick waits for a proof.
    pub proof_patience: Duration,
    /// Hears what happens.
    pub witness: Arc<dyn TickWitness>,
    /// Cancelled: ends at once.
    pub stop: CancellationToken,
}

/// What became of a tick.
struct Sent {
    channel: String,
    ts: Timestamp,
    result: Result<(), NotSent>,
    took: Duration,
}

enum NotSent {
    Closed(NotServing),
    Failed(QueueError),
}

/// The term is over.
struct Over;

impl TickWorker {
    /// The way to tell it, and its run, which ends when it is told to or the term is over.
    ///
    /// `proxies` are those that have a session, and all of them: the first tick of a
    /// channel comes when each has reported. `in_use` is where ticks go.
    pub fn prepare(
        self,
        proxies: &BTreeSet<ServerId>,
        in_use: BTreeSet<String>,
        enabled: bool,
    ) -> (Ticker, impl Future<Output = ()> + Send + use<>) {
        // Twice as often as Milvus does if the reports of many proxies allow it.
        let mut ticks = Ticks::new(self.interval / 2, enabled);
        ticks.use_channels(in_use);
        let shared = Arc::new(Shared {
            ticks: Mutex::new(ticks),
            timestamps: Arc::clone(&self.timestamps),
            clock: Arc::clone(&self.clock),
            witness: Arc::clone(&self.witness),
            wake: Notify::new(),
            moved: Notify::new(),
        });
        let ticker = Ticker(Arc::clone(&shared));
        ticker.sources(proxies);
        let run = async move {
            let stop = self.stop.clone();
            let _: Option<Over> = stop.run_until_cancelled(Run::new(&self, &shared).run()).await;
        };
        (ticker, run)
    }

    /// Asks the gate, then produces.
    async fn send(&self, channel: String, ts: Timestamp) -> Sent {
        let begun = self.clock.boot();
        let message = Message { payload: encode_tick(ts, self.server), properties: Vec::new() };
        let result = match self.gate.admit(begun, self.proof_patience).await {
            Err(closed) => Err(NotSent::Closed(closed)),
            Ok(()) => self.queue.produce(&channel, message).await.map(|_| ()).map_err(NotSent::Failed),
        };
        Sent { channel, ts, result, took: self.clock.boot().since(begun) }
    }
}

struct Run<'a> {
    worker: &'a TickWorker,
    shared: &'a Shared,
    idle: Seldom,
    slow: Seldom,
    failed: Seldom,
    silence: LongSilence,
}

impl<'a> Run<'a> {
    fn new(worker: &'a TickWorker, shared: &'a Shared) -> Self {
        let silence = LongSilence::from(worker.clock.boot());
        let (idle, slow, failed) = <(Seldom, Seldom, Seldom)>::default();
        Self { worker, shared, idle, slow, failed, silence }
    }

    async fn run(mut self) -> Over {
        let worker = self.worker;
        let mut beats = tokio::time::interval(worker.interval);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut on_the_way = FuturesUnordered::new();
        loop {
            let pause = self.pause();
            tokio::select! {
                _ = beats.tick() => {
                    self.look_around();
                    self.advance();
                }
                () = self.shared.wake.notified() => self.advance(),
                Some(sent) = on_the_way.next() => if let Err(over) = self.sent(sent) { return over },
                () = async { tokio::time::sleep(pause.unwrap_or_default()).await }, if pause.is_some() => {}
            }
            let due = self.shared.ticks.lock().due(worker.clock.boot());
            on_the_way.extend(due.into_iter().map(|(channel, ts)| worker.send(channel, ts)));
        }
    }

    /// Until something is due without anybody saying so.
    fn pause(&self) -> Option<Duration> {
        let next = self.shared.ticks.lock().next_due()?;
        Some(next.since(self.worker.clock.boot()))
    }

    /// The own report. Without a timestamp the old bound stands.
    fn advance(&self) {
        if let Ok(ts) = self.worker.timestamps.alloc(1) {
            self.shared.ticks.lock().own(ts);
        }
    }

    fn sent(&mut self, sent: Sent) -> Result<(), Over> {
        let Sent { channel, ts, result, took } = sent;
        let (worker, now) = (self.worker, self.worker.clock.boot());
        match result {
            Ok(()) => {
                let channels = {
                    let mut ticks = self.shared.ticks.lock();
                    ticks.acknowledged(&channel, ts);
                    ticks.in_use()
                };
                self.shared.moved.notify_waiters();
                self.silence.is_well(now);
                worker.witness.sent(&channel, ts, took);
                if took > worker.interval && self.slow.may_say(now) {
                    worker.witness.slow(&channel, channels, took);
                }
            }
            Err(NotSent::Closed(NotServing::Ended(_))) => return Err(Over),
            Err(NotSent::Closed(NotServing::Unproven(_))) => self.shared.ticks.lock().withheld(&channel),
            Err(NotSent::Failed(error)) => {
                self.shared.ticks.lock().failed(&channel, now);
                if self.failed.may_say(now) {
                    worker.witness.failed(&channel, &error);
                }
            }
        }
        Ok(())
    }

    /// What is wrong with the ticks, if anything.
    fn look_around(&mut self) {
        let (worker, now) = (self.worker, self.worker.clock.boot());
        let (idle, should_tick) = {
            let ticks = self.shared.ticks.lock();
            (ticks.sources().idle(now - worker.interval * IDLE_INTERVALS), ticks.should_tick())
        };
        if let Some((proxies, since)) = idle
            && self.idle.may_say(now)
        {
            worker.witness.idle(&proxies, now.since(since));
        }
        if !should_tick {
            self.silence.is_well(now);
        } else if self.silence.is_long(now) {
            worker.witness.silent();
        }
    }
}
