//! Waits for what happens and carries out what the life of the instance asks for.
//!
//! One task owns the state. It decides nothing: every way in which it can be woken
//! becomes an event, every action becomes a call here or a task beside it that ends
//! in an event.

mod doing;
mod seeing;

use std::{collections::HashMap, sync::Arc, time::Duration};

use milvus_proto::peer::Phase;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::{BootInstant, UnixNanos},
    election::{
        core::Term,
        death_watch::{DeathWatch, OnGone},
        gate::{Gate, GateSettings},
        history::{self, Party, Takeover},
        hub::PeerHub,
        life::{Action, CampaignEnd, Compared, Event, Exit, LeaveCause, Life, Loss},
        notes::{Note, Witness},
        observer::{Listed, Observed},
        pause::Pause,
        peer_service::{Command, NO_STANDBY, Switched},
        prover::Prover,
        session::Kind,
        standing::{Peer, Standing},
        streams::{News, Streams, Target},
        tasks::{Acknowledged, Ground, Registration},
        verdict::Victim,
        vitals::{Vitals, phase_of},
    },
    etcd::{
        cluster::Cluster,
        keys::Keys,
        lease::{LeaseKeeper, LeaseState},
        mirror::Mirror,
        store::{Fence, FencedStore},
    },
    ids::{Epoch, LeaseId, Revision, Role, ServerId},
    net::BoxFuture,
};

/// What the driver needs to know that does not change.
#[derive(Debug)]
pub struct DriverSettings {
    /// The role.
    pub role: Role,
    /// The own id.
    pub own: ServerId,
    /// Where everything lies in etcd.
    pub keys: Keys,
    /// The own priority.
    pub priority: i32,
    /// Of the gate of every term.
    pub gate: GateSettings,
    /// One attempt of a fenced write.
    pub write_timeout: Duration,
    /// Whether peers are listened to for hints.
    pub fast_takeover: bool,
}

/// Waits until the calls that were admitted have ended.
pub type Quiesce = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Everything that the driver is connected to.
pub struct Driver {
    /// See there.
    pub settings: DriverSettings,
    /// What its tasks share.
    pub ground: Ground,
    /// Followed in every phase.
    pub mirror: Arc<Mirror>,
    /// What it shows.
    pub observed: watch::Receiver<Observed>,
    /// Certain news.
    pub death_watch: Arc<dyn DeathWatch>,
    /// The streams of others to this instance.
    pub hub: Arc<PeerHub>,
    /// For operators.
    pub vitals: Arc<Vitals>,
    /// Own events.
    pub inbox: mpsc::Receiver<Event>,
    /// Of operators and peers.
    pub commands: mpsc::Receiver<Command>,
    /// For the rest of the process.
    pub standing: watch::Sender<Standing>,
    /// Admitted calls.
    pub quiesce: Quiesce,
    /// Hears what is worth telling.
    pub witness: Arc<dyn Witness>,
    /// Cancelled when the process is told to end.
    pub stop: CancellationToken,
}

struct OpenTerm {
    term: Term,
    prover: CancellationToken,
}

/// A switchover that was asked for: whom to tell, since when, and to whom it goes.
type Switching = (oneshot::Sender<Result<Switched, String>>, BootInstant, Peer);

struct Waiting {
    switchover: Option<Switching>,
    take_over: Option<oneshot::Sender<Result<Epoch, String>>>,
}

struct Running {
    driver: Driver,
    life: Life,
    tasks: TaskTracker,
    /// Cancelled at the end: tasks that would go on for ever.
    ending: CancellationToken,
    keeper: Option<Arc<LeaseKeeper>>,
    lease_state: Option<watch::Receiver<LeaseState>>,
    streams: Streams,
    acknowledged: Option<Acknowledged>,
    term: Option<OpenTerm>,
    waiting: Waiting,
    /// What each peer last said of itself.
    phases: HashMap<ServerId, Phase>,
    registered_at: HashMap<ServerId, Revision>,
    /// The pause in etcd, and when it was put.
    pause: Option<(Pause, Revision)>,
    /// The pause that is in force, as it was last told.
    told_pause: Option<Pause>,
    compared: Compared,
    last_holder: Option<Victim>,
    /// Who asked last to be taken over from, and until when it gave out timestamps.
    handed_over: Option<(Victim, UnixNanos)>,
    /// When the own session was put, until it is found to be gone.
    listed_at: Option<Revision>,
    cluster: watch::Receiver<Cluster>,
    incarnation: u64,
    suspended: bool,
    etcd_silent: bool,
    exit: Option<Exit>,
    new_keepers: mpsc::Receiver<Registration>,
    keeper_sender: mpsc::Sender<Registration>,
    campaigns: mpsc::Receiver<Acknowledged>,
    campaign_sender: mpsc::Sender<Acknowledged>,
}

impl Driver {
    /// Runs until the life of the instance has ended.
    pub async fn run(self, life: Life, first: Vec<Action>) -> Exit {
        let (news_sender, news) = mpsc::channel(256);
        let (keeper_sender, new_keepers) = mpsc::channel(1);
        let (campaign_sender, campaigns) = mpsc::channel(4);
        let streams =
            Streams::new(self.settings.role, self.settings.own, Arc::clone(&self.ground.dial), news_sender);
        let cluster = self.ground.etcd.cluster();
        let incarnation = cluster.borrow().incarnation;
        let mut running = Running {
            driver: self,
            life,
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
            keeper: None,
            lease_state: None,
            streams,
            acknowledged: None,
            term: None,
            waiting: Waiting { switchover: None, take_over: None },
            phases: HashMap::new(),
            registered_at: HashMap::new(),
            pause: None,
            told_pause: None,
            compared: Compared::default(),
            last_holder: None,
            handed_over: None,
            listed_at: None,
            cluster,
            incarnation,
            suspended: false,
            etcd_silent: false,
            exit: None,
            new_keepers,
            keeper_sender,
            campaigns,
            campaign_sender,
        };
        running.note(Note::Begun(running.driver.settings.own));
        running.publish();
        running.carry_out(first);
        let exit = running.live(news).await;
        running.ending.cancel();
        running.streams.stop().await;
        running.tasks.close();
        running.tasks.wait().await;
        exit
    }
}

/// What woke the driver.
enum Woken {
    Told(Event),
    Commanded(Command),
    Heard(News),
    Observed,
    Registered(Registration),
    Acknowledged(Acknowledged),
    Lease,
    Cluster,
    Stop,
    Time,
}

impl Running {
    async fn live(&mut self, mut news: mpsc::Receiver<News>) -> Exit {
        let mut stopping = false;
        let pulse_every = self.driver.ground.lease_ttl / 8;
        loop {
            self.driver.ground.pulse.tick();
            if let Some(exit) = self.exit {
                return exit;
            }
            let wake = self.sleep_for(pulse_every);
            let stop = self.driver.stop.clone();
            let woken = tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => Woken::Stop,
                Some(registration) = self.new_keepers.recv() => Woken::Registered(registration),
                Some(acknowledged) = self.campaigns.recv() => Woken::Acknowledged(acknowledged),
                Some(event) = self.driver.inbox.recv() => Woken::Told(event),
                Ok(()) = self.driver.observed.changed() => Woken::Observed,
                () = changed(&mut self.lease_state) => Woken::Lease,
                Ok(()) = self.cluster.changed() => Woken::Cluster,
                Some(heard) = news.recv() => Woken::Heard(heard),
                Some(command) = self.driver.commands.recv() => Woken::Commanded(command),
                () = tokio::time::sleep(wake) => Woken::Time,
            };
            match woken {
                Woken::Stop => {
                    stopping = true;
                    let successors = self.successors(None);
                    self.note(Note::Leaving(successors.len()));
                    self.step(Event::Leave(LeaveCause::Signal, successors));
                }
                Woken::Told(event) => self.told(event),
                Woken::Commanded(command) => self.command(command),
                Woken::Heard(heard) => self.hear(heard),
                Woken::Observed => self.observe(),
                Woken::Registered(registration) => self.keep(registration),
                Woken::Acknowledged(acknowledged) => self.acknowledged = Some(acknowledged),
                Woken::Lease => self.lease_changed(),
                Woken::Cluster => self.look_at_cluster(),
                Woken::Time => self.step(Event::Tick),
            }
            self.check_suspension();
            self.check_pause();
            self.check_etcd();
        }
    }

    fn now(&self) -> BootInstant {
        self.driver.ground.clock.boot()
    }

    fn sleep_for(&self, at_most: Duration) -> Duration {
        let now = self.now();
        let deadline = match (&self.term, &self.keeper) {
            (Some(_), Some(keeper)) if !self.suspended => Some(keeper.confirmed_until()),
            _ => None,
        };
        [self.life.wake_at(), deadline]
            .into_iter()
            .flatten()
            .map(|at| at.since(now))
            .fold(at_most, Duration::min)
            // Below a timer's grain it would only spin.
            .max(Duration::from_millis(1))
    }

    fn step(&mut self, event: Event) {
        let actions = self.life.step(self.now(), event);
        // Published before anything is carried out: a hand-over holds calls first.
        self.publish();
        self.carry_out(actions);
        self.publish();
    }

    fn note(&self, note: Note) {
        self.driver.witness.note(self.now(), &note);
    }

    fn told(&mut self, event: Event) {
        match &event {
            Event::ProcessGone(id) => {
                self.note(Note::ProcessGone(*id));
                self.phases.remove(id);
                self.compare();
            }
            Event::AskedForRole(result) => self.note(Note::AskedForRole(result.clone())),
            Event::Campaigned(_, CampaignEnd::Won(epoch)) => self.note(Note::Won(*epoch)),
            Event::Campaigned(_, CampaignEnd::Lost(_)) => self.note(Note::CampaignLost),
            Event::Activated(Err(reason)) => {
                if let Some(open) = &self.term {
                    self.note(Note::ActivationFailed(open.term.epoch, reason.clone()));
                }
            }
            Event::Passed(result) => {
                self.note(Note::HandedOver(result.clone()));
                if let Some((reply, since, to)) = self.waiting.switchover.take() {
                    let millis = self.now().since(since).as_secs_f64() * 1000.0;
                    let to = to.server_id;
                    let _ = reply.send(result.clone().map(|epoch| Switched { to, epoch, millis }));
                }
            }
            _ => {}
        }
        self.step(event);
    }

    fn publish(&self) {
        let standing = self.life.standing();
        let phase = if self.life.is_leaving() { Phase::Leaving } else { phase_of(&standing) };
        self.driver.hub.announce(self.driver.settings.own, phase, standing.own_epoch());
        let changed = self.driver.standing.send_if_modified(|known| {
            let changed = *known != standing;
            if changed {
                known.clone_from(&standing);
            }
            changed
        });
        if changed {
            self.note(Note::Stands(standing));
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Switchover { to, preferred, reply } => {
                let successors = self.successors(to);
                let refusal = if !matches!(self.life.standing(), Standing::Active { .. }) {
                    Some("this instance is not ACTIVE".to_owned())
                } else if successors.is_empty() {
                    Some(NO_STANDBY.to_owned())
                } else if preferred && self.life.is_paused(self.now()) {
                    Some("automatic takeover is paused".to_owned())
                } else {
                    None
                };
                if let Some(refusal) = refusal {
                    let _ = reply.send(Err(refusal));
                    return;
                }
                if preferred {
                    self.note(Note::RoleWanted(successors[0].server_id));
                }
                self.waiting.switchover = Some((reply, self.now(), successors[0].clone()));
                self.step(Event::Leave(LeaveCause::Switchover, successors));
            }
            Command::TakeOver { victim, last_revision, given_until, reply } => {
                if self.waiting.take_over.is_some() {
                    let _ = reply.send(Err("already taking over".to_owned()));
                    return;
                }
                self.waiting.take_over = Some(reply);
                self.handed_over = given_until.map(|time| (victim, time));
                self.step(Event::TakeOver { victim, last_revision });
            }
        }
    }
}

/// Waits for a change; for ever where there is nothing to change.
async fn changed(state: &mut Option<watch::Receiver<LeaseState>>) {
    let gone = match state {
        Some(receiver) => receiver.changed().await.is_err(),
        None => true,
    };
    if gone {
        std::future::pending::<()>().await;
    }
}
