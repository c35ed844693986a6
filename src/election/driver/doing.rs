//! What the driver carries out.

use super::*;

/// Admitted calls get this long to end before a hand-over.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// A forced read of the mirror.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);

impl Running {
    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.carry_out_one(action);
        }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ending = self.ending.clone();
        self.tasks.spawn(async move {
            let _ = ending.run_until_cancelled(task).await;
        });
    }

    /// A task that ends in one event.
    pub(super) fn ask(&self, task: impl Future<Output = Event> + Send + 'static) {
        let ground = self.driver.ground.clone();
        self.spawn(async move {
            let event = task.await;
            ground.tell(event).await;
        });
    }

    pub(super) fn carry_out_one(&mut self, action: Action) {
        let ground = self.driver.ground.clone();
        match action {
            Action::Register { staying_listed } => self.register(staying_listed),
            Action::NoteStandby => {
                let (holder, at) = {
                    let observed = self.driver.observed.borrow();
                    (observed.holder(self.driver.settings.role), observed.at)
                };
                self.note(Note::Standby(holder, at));
            }
            Action::NoteHeld(victim) => self.note(Note::Held(victim)),
            Action::AskForRole(epoch) => self.ask_for_role(epoch),
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
                let handed_over = self.handed_over.filter(|(victim, _)| Some(*victim) == against);
                self.ask(async move {
                    let given_until = handed_over.map(|(_, time)| time);
                    let (end, acknowledgement) = ground.campaign(&campaign, given_until).await;
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
                self.keep_history(epoch);
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

    /// As the preferred one. Asked only once this instance has what etcd has: the hand-over
    /// would not wait long for it.
    fn ask_for_role(&self, epoch: Epoch) {
        let holder = self.driver.observed.borrow().holder(self.driver.settings.role);
        let holder = holder.filter(|holder| holder.victim.epoch == epoch);
        if let Some(holder) = &holder {
            self.note(Note::AsksForRole(holder.victim));
        }
        let own = self.driver.settings.own;
        let (ground, mirror) = (self.driver.ground.clone(), Arc::clone(&self.driver.mirror));
        self.ask(async move {
            let asking = async {
                let holder = holder.ok_or("somebody else has the key")?;
                let newest = ground.etcd.newest_revision();
                mirror.catch_up_to(newest, CATCH_UP_LIMIT).await.map_err(|error| error.to_string())?;
                ground.ask_for_role(&holder.address, own).await
            };
            Event::AskedForRole(asking.await)
        });
    }

    /// Beside the term, which already serves.
    fn keep_history(&self, epoch: Epoch) {
        let Some((open, course)) = self.term.as_ref().zip(self.driver.witness.course(epoch)) else { return };
        let (ground, settings) = (&self.driver.ground, &self.driver.settings);
        let to = Party { server_id: settings.own.0, address: ground.session.address.clone() };
        let takeover = Takeover::new(epoch, to, ground.clock.wall(), course);
        let (etcd, store) = (ground.etcd.clone(), open.term.store.clone());
        let keeping = history::keep(etcd, store, settings.keys.clone(), settings.role, takeover);
        let over = open.term.over.clone();
        self.spawn(async move {
            let _ = over.run_until_cancelled(keeping).await;
        });
    }

    pub(super) fn register(&mut self, staying_listed: bool) {
        let mut old = self.keeper.take();
        self.lease_state = None;
        let after = self.listed_at.filter(|_| staying_listed);
        let ground = self.driver.ground.clone();
        let keepers = self.keeper_sender.clone();
        self.spawn(async move {
            if let Some(old) = old.take_if(|_| !staying_listed) {
                ground.give_back(&old).await;
            }
            let registration = ground.register(after).await;
            if let Some(old) = old {
                ground.give_back(&old).await;
            }
            let _ = keepers.send(registration).await;
        });
    }

    pub(super) fn activate(&mut self, epoch: Epoch, quiet_at: BootInstant) {
        let Some(keeper) = self.keeper.clone() else { return };
        let ground = &self.driver.ground;
        let gate = Arc::new(Gate::new(epoch, self.driver.settings.gate, Arc::clone(&ground.clock)));
        let over = CancellationToken::new();
        let fence = Fence { active_key: ground.active_key.clone(), epoch };
        let store = FencedStore::under(
            ground.rules,
            Arc::clone(&self.driver.witness),
            ground.etcd.clone(),
            fence,
            over.clone(),
            self.driver.settings.write_timeout,
        );
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
    pub(super) fn close_term(&mut self) -> impl Future<Output = ()> + Send + use<> {
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

    pub(super) fn end_term(&mut self, epoch: Epoch, loss: Loss) {
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
