//! What the driver is told: by the mirror, by peers, by the lease.

use std::cmp::Reverse;

use super::*;

impl Running {
    pub(super) fn observe(&mut self) {
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
        self.driver.hub.forget(at, |id| listed.contains(&id));
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
        // Both may keep back what the holder's end would lead to.
        self.look_at_pause();
        self.compare();
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
    pub(super) fn look_for_own_session(&mut self) {
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

    pub(super) fn watch_deaths(&self, listed: &[ServerId]) {
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

    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Said(id, hello) => {
                let phase = hello.phase();
                self.phases.insert(id, phase);
                self.compare();
                if hello.bound_millis != 0 {
                    let until = self.end_of(Duration::from_millis(hello.bound_millis.into()));
                    self.step(Event::Bound { epoch: Epoch(hello.epoch), until });
                }
                if phase == Phase::Leaving && hello.epoch != 0 {
                    self.step(Event::Departs(Victim { epoch: Epoch(hello.epoch), server_id: id }));
                }
                self.step(Event::Spoke(id));
            }
            News::Lost(id) => {
                self.phases.remove(&id);
                self.compare();
            }
            News::Gone(victim, registered_at) => {
                if registered_at != self.streams.registered_at() {
                    // It was under way when the streams were renewed.
                    return;
                }
                self.phases.remove(&victim.server_id);
                self.compare();
                self.note(Note::Hint(victim));
                self.step(Event::Hint(victim));
            }
            News::PledgeAsked { epoch, nonce, lasting, reply } => {
                let until = self.end_of(lasting);
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

    /// When a time that a peer counts from no later than now is over for it, too. As
    /// everywhere, its clock may be slower by one percent.
    fn end_of(&self, lasting: Duration) -> BootInstant {
        self.now() + lasting + lasting / 100
    }

    /// The pause as the mirror shows it. Its end is fixed on the boot clock when it is first
    /// seen: what the wall clock does later changes nothing.
    fn look_at_pause(&mut self) {
        let pause = self.driver.observed.borrow().pause(self.driver.settings.role).cloned();
        let put_at = |pause: &Option<(Pause, Revision)>| pause.as_ref().map(|(_, at)| *at);
        if put_at(&pause) == put_at(&self.pause) {
            return;
        }
        let clock = &self.driver.ground.clock;
        let until = pause.as_ref().map(|(pause, _)| clock.boot() + pause.left(clock.wall()));
        self.pause = pause;
        self.step(Event::Paused(until));
        self.check_pause();
    }

    /// Tells of a pause that began, changed or is over.
    pub(super) fn check_pause(&mut self) {
        let paused = self.life.is_paused(self.now());
        let pause = self.pause.as_ref().map(|(pause, _)| pause).filter(|_| paused);
        if pause != self.told_pause.as_ref() {
            self.told_pause = pause.cloned();
            self.driver.vitals.paused(self.told_pause.clone());
            self.note(Note::Paused(self.told_pause.clone()));
        }
    }

    /// How the own priority compares with those of the others that are known to live.
    pub(super) fn compare(&mut self) {
        let compared = {
            let settings = &self.driver.settings;
            let observed = self.driver.observed.borrow();
            let id = |listed: &Listed| ServerId(listed.session.server_id);
            let of_our_kind = |listed: &&Listed| listed.session.kind() == Kind::Own;
            let phase = |listed: &Listed| self.phases.get(&id(listed)).copied();
            let holder = observed.active(settings.role);
            let better = observed
                .instances(settings.role)
                .filter(|listed| listed.session.priority > settings.priority)
                .filter(of_our_kind)
                .filter(|listed| holder.is_none_or(|holder| id(holder) != id(listed)))
                .filter(|listed| phase(listed) == Some(Phase::Standby))
                .count();
            let worse_holder = holder
                .filter(|holder| holder.session.priority < settings.priority)
                .filter(of_our_kind)
                .filter(|holder| phase(holder) == Some(Phase::Active))
                .map(|holder| Epoch(holder.mod_revision.0));
            Compared { better, worse_holder }
        };
        if compared != self.compared {
            self.compared = compared;
            self.step(Event::Compared(compared));
        }
    }

    /// Standbys of our kind that follow this instance: the preferred first, of equals the longest
    /// registered.
    pub(super) fn successors(&self, wanted: Option<ServerId>) -> Vec<Peer> {
        let listeners = self.driver.hub.listeners();
        let observed = self.driver.observed.borrow();
        let mut peers: Vec<(i32, Peer)> = observed
            .instances(self.driver.settings.role)
            .filter(|listed| listed.session.kind() == Kind::Own)
            .map(|listed| (listed.session.priority, listed.session.peer()))
            .filter(|(_, peer)| peer.server_id != self.driver.settings.own)
            .filter(|(_, peer)| wanted.is_none_or(|id| id == peer.server_id))
            .filter(|(_, peer)| listeners.contains(&peer.server_id))
            .filter(|(_, peer)| self.phases.get(&peer.server_id).is_none_or(|phase| *phase == Phase::Standby))
            .collect();
        peers.sort_by_key(|(priority, peer)| (Reverse(*priority), peer.server_id));
        peers.into_iter().map(|(_, peer)| peer).collect()
    }

    pub(super) fn keep(&mut self, Registration { keeper, listed_at, follows }: Registration) {
        self.listed_at = listed_at;
        let (id, until) = (keeper.id(), keeper.answered_until());
        self.driver.ground.core.lease_granted(keeper.ttl());
        self.lease_state = Some(keeper.state());
        self.driver.vitals.lease_until(until);
        self.keeper = Some(Arc::new(keeper));
        if !follows {
            // What was told before this registration must be heard again to count.
            self.step(Event::SessionGone);
            self.streams.renew(listed_at.unwrap_or(Revision(0)));
        }
        let ground = &self.driver.ground;
        let (key, session) = (ground.own_key.clone(), ground.session.with_lease(id));
        self.note(Note::Registered { lease: id, key, session });
        self.step(Event::Registered(id, until));
        self.look_for_own_session();
    }

    pub(super) fn lease_changed(&mut self) {
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
    pub(super) fn look_at_cluster(&mut self) {
        let incarnation = self.cluster.borrow_and_update().incarnation;
        if std::mem::replace(&mut self.incarnation, incarnation) != incarnation {
            self.step(Event::EtcdReplaced);
        }
    }

    pub(super) fn check_suspension(&mut self) {
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
    pub(super) fn check_etcd(&mut self) {
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
}
