//! Waits for what happens and carries out what the life of the instance asks for.
//!
//! One task owns the state. It decides nothing: every way in which it can be woken
//! becomes an event, every action becomes a call here or a task beside it that ends
//! in an event.

use std::{collections::HashMap, sync::Arc, time::Duration};

use milvus_proto::peer::Phase;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::BootInstant,
    election::{
        core::Term,
        death_watch::{DeathWatch, OnGone},
        gate::{Gate, GateSettings},
        hub::PeerHub,
        life::{Action, CampaignEnd, Event, Exit, LeaveCause, Life, Loss},
        notes::{Note, Witness},
        observer::{Listed, Observed},
        peer_service::{Command, Switched},
        prover::Prover,
        session::Kind,
        standing::{Peer, Standing},
        streams::{News, Streams, Target},
        tasks::{Acknowledged, Ground, Registration},
        verdict::Victim,
        vitals::Vitals,
    },
    etcd::{
        cluster::Cluster,
        lease::{LeaseKeeper, LeaseState},
        mirror::Mirror,
        store::{Fence, FencedStore},
    },
    ids::{Epoch, LeaseId, Revision, Role, ServerId},
    net::BoxFuture,
};

/// Admitted calls get this long to end before a hand-over.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// A forced read of the mirror.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);

/// What the driver needs to know that does not change.
#[derive(Debug)]
pub struct DriverSettings {
    /// The role.
    pub role: Role,
    /// The own id.
    pub own: ServerId,
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
    last_holder: Option<Victim>,
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
            last_holder: None,
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
            Event::ProcessGone(id) => self.note(Note::ProcessGone(*id)),
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
        let phase = match &standing {
            Standing::Starting => Phase::WaitingForEtcd,
            Standing::Standby { .. } | Standing::Forwarding { .. } => {
                if self.life.is_leaving() {
                    Phase::Leaving
                } else {
                    Phase::Standby
                }
            }
            Standing::Activating { .. } => Phase::Activating,
            Standing::Active { .. } => Phase::Active,
            Standing::Suspended { .. } => Phase::Suspended,
            Standing::HandingOver { .. } | Standing::Leaving => Phase::Leaving,
        };
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

    fn observe(&mut self) {
        let (at, holder, in_step, targets, registered) = {
            let observed = self.driver.observed.borrow_and_update();
            let role = self.driver.settings.role;
            let holder = observed.holder(role);
            let mut targets: Vec<Target> = observed
                .instances(role)
                .map(|listed| Target {
                    peer: listed.session.peer(),
                    kind: listed.session.kind(),
                    holds: None,
                })
                .collect();
            if let (Some(active), Some(holder)) = (observed.active(role), &holder) {
                let holds = Some(holder.victim.epoch).filter(|_| holder.kind == Kind::Foreign);
                targets.retain(|target| target.peer.server_id != holder.victim.server_id);
                targets.push(Target { peer: active.session.peer(), kind: holder.kind, holds });
            }
            let registered: Vec<(Peer, Revision)> =
                observed.instances(role).map(|listed| (listed.session.peer(), listed.mod_revision)).collect();
            (observed.at, holder, observed.in_step, targets, registered)
        };
        let listed: Vec<ServerId> = targets.iter().map(|target| target.peer.server_id).collect();
        self.driver.hub.forget(|id| !listed.contains(&id));
        self.watch_deaths(&listed);
        if self.driver.settings.fast_takeover {
            self.streams.follow(targets);
        }
        let victim = holder.as_ref().map(|holder| holder.victim);
        if self.last_holder != victim {
            let last = std::mem::replace(&mut self.last_holder, victim);
            let last_gone = last.is_some_and(|last| !listed.contains(&last.server_id));
            self.note(Note::HolderChanged { holder: holder.clone(), at, last_gone });
        }
        self.phases.retain(|id, _| listed.contains(id));
        self.registered_at.retain(|id, _| listed.contains(id));
        self.step(Event::Mirrored { at, holder, in_step });
        self.look_for_own_session();
        for (peer, revision) in registered {
            if self.registered_at.insert(peer.server_id, revision) != Some(revision) {
                self.step(Event::PeerRegistered(peer, revision));
            }
        }
    }

    /// A session that was put and is not there was deleted by somebody, or its lease
    /// was revoked; the next keep-alive would tell much later.
    fn look_for_own_session(&mut self) {
        let Some((keeper, listed_at)) = self.keeper.as_ref().zip(self.listed_at) else { return };
        let gone = {
            let observed = self.driver.observed.borrow();
            let own = self.driver.settings.own.0;
            let mut instances = observed.instances(self.driver.settings.role);
            let is_own = |listed: &Listed| listed.session.server_id == own && listed.lease == keeper.id();
            observed.in_step && observed.at >= listed_at && !instances.any(is_own)
        };
        if gone {
            self.listed_at = None;
            self.step(Event::SessionGone);
        }
    }

    fn watch_deaths(&self, listed: &[ServerId]) {
        if !self.driver.settings.fast_takeover {
            return;
        }
        let events = self.driver.ground.events.clone();
        let on_gone: OnGone = Arc::new(move |id| {
            // From a thread of its own; a driver that has ended needs no news.
            let _ = events.blocking_send(Event::ProcessGone(id));
        });
        for id in listed.iter().filter(|id| **id != self.driver.settings.own) {
            self.driver.death_watch.watch(*id, Arc::clone(&on_gone));
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Said(id, hello) => {
                self.phases.insert(id, hello.phase());
            }
            News::Lost(id) => {
                self.phases.remove(&id);
            }
            News::Gone(victim) => {
                self.phases.remove(&victim.server_id);
                self.note(Note::Hint(victim));
                self.step(Event::Hint(victim));
            }
            News::PledgeAsked { epoch, nonce, lasting, reply } => {
                let until = self.now() + lasting;
                let actions = self.life.step(self.now(), Event::PledgeAsked { epoch, until, nonce });
                for action in &actions {
                    if let Action::Pledge { epoch, nonce } = action {
                        let pledge = milvus_proto::peer::Pledge { nonce: *nonce, epoch: epoch.0 };
                        // A stream that takes no pledge has ended.
                        let _ = reply.try_send(pledge);
                    }
                }
                self.carry_out(actions);
                self.publish();
            }
        }
    }

    /// Standbys of our kind that follow this instance, the longest registered first.
    fn successors(&self, wanted: Option<ServerId>) -> Vec<Peer> {
        let listeners = self.driver.hub.listeners();
        let observed = self.driver.observed.borrow();
        let mut peers: Vec<Peer> = observed
            .instances(self.driver.settings.role)
            .filter(|listed| listed.session.kind() == Kind::Own)
            .map(|listed| listed.session.peer())
            .filter(|peer| peer.server_id != self.driver.settings.own)
            .filter(|peer| wanted.is_none_or(|id| id == peer.server_id))
            .filter(|peer| listeners.contains(&peer.server_id))
            .filter(|peer| self.phases.get(&peer.server_id).is_none_or(|phase| *phase == Phase::Standby))
            .collect();
        peers.sort_by_key(|peer| peer.server_id);
        peers
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Switchover { to, reply } => {
                let successors = self.successors(to);
                let refusal = if !matches!(self.life.standing(), Standing::Active { .. }) {
                    Some("this instance is not ACTIVE".to_owned())
                } else if successors.is_empty() {
                    Some("no standby is ready to take over".to_owned())
                } else {
                    None
                };
                if let Some(refusal) = refusal {
                    let _ = reply.send(Err(refusal));
                    return;
                }
                self.waiting.switchover = Some((reply, self.now(), successors[0].clone()));
                self.step(Event::Leave(LeaveCause::Switchover, successors));
            }
            Command::TakeOver { victim, last_revision, reply } => {
                if self.waiting.take_over.is_some() {
                    let _ = reply.send(Err("already taking over".to_owned()));
                    return;
                }
                self.waiting.take_over = Some(reply);
                self.step(Event::TakeOver { victim, last_revision });
            }
        }
    }

    fn keep(&mut self, Registration { keeper, listed_at }: Registration) {
        self.listed_at = listed_at;
        let (id, until) = (keeper.id(), keeper.answered_until());
        self.driver.ground.core.lease_granted(keeper.ttl());
        self.lease_state = Some(keeper.state());
        self.driver.vitals.lease_until(until);
        self.keeper = Some(Arc::new(keeper));
        // What was told before this registration must be heard again to count.
        self.streams.renew();
        let ground = &self.driver.ground;
        let (key, session) = (ground.own_key.clone(), ground.session.with_lease(id));
        self.note(Note::Registered { lease: id, key, session });
        self.step(Event::Registered(id, until));
        self.look_for_own_session();
    }

    fn lease_changed(&mut self) {
        let Some((keeper, state)) =
            self.keeper.as_ref().zip(self.lease_state.as_mut().map(|state| *state.borrow_and_update()))
        else {
            return;
        };
        let id = keeper.id();
        match state {
            LeaseState::Held { answered_until, .. } => {
                self.driver.vitals.lease_until(answered_until);
                self.step(Event::LeaseUntil(id, answered_until));
            }
            LeaseState::Gone => {
                self.lease_state = None;
                // One that is given back is over, too.
                if !self.life.is_leaving() {
                    self.note(Note::LeaseGone(id));
                }
                self.step(Event::LeaseGone(id));
            }
        }
    }

    /// Another etcd, or an older state of it: nothing that was built on it holds.
    fn look_at_cluster(&mut self) {
        let incarnation = self.cluster.borrow_and_update().incarnation;
        if std::mem::replace(&mut self.incarnation, incarnation) != incarnation {
            self.step(Event::EtcdReplaced);
        }
    }

    fn check_suspension(&mut self) {
        let Some(keeper) = self.keeper.as_ref().filter(|_| self.term.is_some()) else { return };
        let suspended = self.now() >= keeper.confirmed_until();
        if suspended != self.suspended {
            self.suspended = suspended;
            self.note(Note::Suspended(suspended));
            self.step(Event::Suspended(suspended));
        }
    }

    /// Leases are renewed each third of their time: with less than half of it left, an
    /// answer of etcd is overdue.
    fn check_etcd(&mut self) {
        let Some(keeper) = self.keeper.as_ref().filter(|_| !self.life.is_leaving()) else { return };
        let ground = &self.driver.ground;
        let silent = keeper.answered_until().since(self.now()) < ground.lease_ttl / 2;
        if silent {
            let endpoints = ground.etcd.endpoints().to_owned();
            self.note(Note::EtcdAwaited(endpoints, "the lease is not renewed in time".to_owned()));
        } else if self.etcd_silent {
            self.note(Note::EtcdAnswers);
        }
        self.etcd_silent = silent;
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.carry_out_one(action);
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ending = self.ending.clone();
        self.tasks.spawn(async move {
            let _ = ending.run_until_cancelled(task).await;
        });
    }

    /// A task that ends in one event.
    fn ask(&self, task: impl Future<Output = Event> + Send + 'static) {
        let ground = self.driver.ground.clone();
        self.spawn(async move {
            let event = task.await;
            ground.tell(event).await;
        });
    }

    fn carry_out_one(&mut self, action: Action) {
        let ground = self.driver.ground.clone();
        match action {
            Action::Register => self.register(),
            Action::NoteStandby => {
                let (holder, at) = {
                    let observed = self.driver.observed.borrow();
                    (observed.holder(self.driver.settings.role), observed.at)
                };
                self.note(Note::Standby(holder, at));
            }
            Action::DeposeForeign(victim, lease) => {
                self.note(Note::Deposing(victim));
                let own = self.keeper.as_ref().map_or(LeaseId(0), |keeper| keeper.id());
                self.ask(async move {
                    Event::ForeignDeposed(victim, ground.depose_foreign(victim, own, lease).await)
                });
            }
            Action::Campaign(campaign) => {
                let against = campaign.against.as_ref().map(|holder| holder.victim);
                self.note(Note::Campaign(against, campaign.certainty));
                let acknowledged = self.campaign_sender.clone();
                self.ask(async move {
                    let (end, acknowledgement) = ground.campaign(&campaign).await;
                    if let Some(acknowledgement) = acknowledgement {
                        // Before the event that makes use of it.
                        let _ = acknowledged.send(acknowledgement).await;
                    }
                    Event::Campaigned(campaign.number, end)
                });
            }
            Action::CatchUp(revision) => {
                let mirror = Arc::clone(&self.driver.mirror);
                self.spawn(async move {
                    if let Err(error) = mirror.catch_up_to(revision, CATCH_UP_LIMIT).await {
                        tracing::warn!(%error, %revision, "the mirror could not be brought up to the own put");
                    }
                });
            }
            Action::RevokeVictim(victim, lease) => {
                self.spawn(async move { ground.revoke_victim(victim, lease).await });
            }
            Action::Activate { epoch, quiet_at } => self.activate(epoch, quiet_at),
            Action::NoteActive(epoch) => {
                self.driver.vitals.serving(true);
                self.note(Note::Serving(epoch));
            }
            Action::EndTerm(epoch, loss) => self.end_term(epoch, loss),
            Action::Drain(_) => {
                let quiesce = Arc::clone(&self.driver.quiesce);
                self.ask(async move {
                    let drain = async {
                        let ((), last) = tokio::join!(quiesce(), ground.core.drain());
                        last
                    };
                    // Whoever takes longer is cut off by the end of the term; what it wrote
                    // is fenced, so "the newest revision" is a safe answer.
                    let last = tokio::time::timeout(DRAIN_LIMIT, drain).await;
                    Event::Drained(last.unwrap_or_else(|_| ground.etcd.newest_revision()))
                });
            }
            Action::Pass { to, epoch, last_revision } => {
                let ended = self.close_term();
                let own = self.driver.settings.own;
                self.ask(async move {
                    ended.await;
                    Event::Passed(ground.ask_to_take_over(&to, own, epoch, last_revision).await)
                });
            }
            Action::AnswerTakeOver(result) => {
                if let Some(reply) = self.waiting.take_over.take() {
                    let _ = reply.send(result);
                }
            }
            // Answered where the question came from.
            Action::Pledge { .. } => {}
            Action::RevokeOwn => {
                let keeper = self.keeper.clone();
                self.ask(async move {
                    if let Some(keeper) = keeper {
                        ground.give_back(&keeper).await;
                    }
                    Event::Revoked
                });
            }
            Action::Exit(exit) => {
                self.note(Note::Ended(exit));
                self.exit = Some(exit);
            }
        }
    }

    fn register(&mut self) {
        let old = self.keeper.take();
        self.lease_state = None;
        let ground = self.driver.ground.clone();
        let keepers = self.keeper_sender.clone();
        self.spawn(async move {
            if let Some(old) = old {
                ground.give_back(&old).await;
            }
            let registration = ground.register().await;
            let _ = keepers.send(registration).await;
        });
    }

    fn activate(&mut self, epoch: Epoch, quiet_at: BootInstant) {
        let Some(keeper) = self.keeper.clone() else { return };
        let ground = &self.driver.ground;
        let gate = Arc::new(Gate::new(epoch, self.driver.settings.gate, Arc::clone(&ground.clock)));
        let over = CancellationToken::new();
        let fence = Fence { active_key: ground.active_key.clone(), epoch };
        let store =
            FencedStore::new(ground.etcd.clone(), fence, over.clone(), self.driver.settings.write_timeout);
        let (fence_lost, told) = (store.fence_lost().clone(), ground.clone());
        let ended = over.clone();
        self.spawn(async move {
            tokio::select! {
                () = fence_lost.cancelled() => told.tell(Event::Deposed(epoch)).await,
                () = ended.cancelled() => {}
            }
        });
        let term = Term {
            epoch,
            server_id: self.driver.settings.own,
            store,
            gate: Arc::clone(&gate),
            over: over.clone(),
            clock: Arc::clone(&ground.clock),
        };
        let prover_stop = CancellationToken::new();
        let prover = Prover {
            etcd: ground.etcd.clone(),
            active_key: ground.active_key.clone(),
            gate: Arc::clone(&gate),
            lease: Arc::clone(&keeper),
            hub: Arc::clone(&self.driver.hub),
            observed: self.driver.observed.clone(),
            events: ground.events.clone(),
            witness: Arc::clone(&self.driver.witness),
            clock: Arc::clone(&ground.clock),
        };
        self.driver.vitals.gate(Some(Arc::clone(&gate)));
        self.term = Some(OpenTerm { term: term.clone(), prover: prover_stop.clone() });
        self.suspended = false;
        self.note(Note::CaughtUp(epoch));

        // The winning transaction read the key as its own: a first proof.
        let acknowledged = self.acknowledged.take();
        if let Some(Acknowledged { sent, header }) = acknowledged {
            keeper.confirm(sent, header.raft_term);
        }
        gate.lease_valid_until(keeper.confirmed_until());
        let idle_every = ground.lease_ttl / 4;
        let ground = ground.clone();
        self.ask(async move {
            let result = ground.core.activate(term).await;
            let wait = quiet_at.since(ground.clock.boot());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            if let Some(Acknowledged { sent, .. }) = acknowledged {
                gate.proven(sent);
            }
            Event::Activated(result)
        });
        let clock = Arc::clone(&self.driver.ground.clock);
        self.spawn(async move {
            let wait = quiet_at.since(clock.boot());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let _ = prover_stop.run_until_cancelled(prover.run(idle_every)).await;
        });
    }

    /// From here on nothing of the term goes out. The future ends when nothing of it runs.
    fn close_term(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let term = self.term.take();
        self.driver.vitals.serving(false);
        self.driver.vitals.gate(None);
        if let Some(open) = &term {
            open.term.gate.end();
            open.term.over.cancel();
            open.prover.cancel();
        }
        let core = Arc::clone(&self.driver.ground.core);
        async move {
            if term.is_some() {
                core.deactivate().await;
            }
        }
    }

    fn end_term(&mut self, epoch: Epoch, loss: Loss) {
        self.note(Note::TermEnded(epoch, loss));
        if let Some((reply, ..)) = self.waiting.switchover.take() {
            let _ = reply.send(Err("lost the term before the hand-over".to_owned()));
        }
        let ended = self.close_term();
        self.ask(async move {
            ended.await;
            Event::TermEnded
        });
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
