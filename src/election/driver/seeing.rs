//! What the driver is told: by the mirror, by peers, by the lease.

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
                self.phases.insert(id, hello.phase());
                self.step(Event::Spoke(id));
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
                // As everywhere, the peer's clock may be slower by one percent.
                let until = self.now() + lasting + lasting / 100;
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
    pub(super) fn successors(&self, wanted: Option<ServerId>) -> Vec<Peer> {
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

    pub(super) fn keep(&mut self, Registration { keeper, listed_at }: Registration) {
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
