//! Tells operators of the life of an instance: turns its notes into the events of
//! telemetry, in the order in which Milvus's own log has them.
//!
//! Milvus tries for the ACTIVE key, fails, and watches it until it is deleted. An
//! instance of ours sees in its mirror that the key is held, and may replace it in
//! place. The lines that say so are due all the same, where they would stand: those of
//! the failed try when a holder is first seen, those of the deletion at the verdict.

mod calls;
mod health;
mod reloads;
mod takeover;

use std::{io, time::Duration};

use jiff::tz::TimeZone;
use parking_lot::Mutex;

use self::takeover::Running;
pub(super) use self::{calls::CallCounter, health::InstanceHealth, reloads::ReloadCounter};
use super::rows::local_time;
use crate::{
    clock::BootInstant,
    election::{
        history::{Course, Reason},
        life::{Exit, Holder, Loss},
        notes::{Note, Proof, Witness},
        pause::Pause,
        session::Session,
        standing::{Peer, Standing},
        verdict::{Certainty, Victim},
    },
    etcd::keys::Keys,
    ids::{Epoch, Revision, Role, ServerId},
    telemetry::{
        events::{Events, Takeover},
        http::Health,
        log::LogHandle,
        words::{Phase, ProofResult, Stage, TakeoverCause, TermEnd},
    },
};

/// Between two lines that say that etcd is waited for.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What the teller knows of the instance from the start.
#[derive(Clone, Debug)]
pub(super) struct TellingSettings {
    /// The role.
    pub(super) role: Role,
    /// Whether it runs as one of a pair. Alone it waits for the ACTIVE key and says so in other words.
    pub(super) active_standby: bool,
    /// Where everything lies in etcd.
    pub(super) keys: Keys,
    /// The own `host:port`.
    pub(super) address: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Telling(Mutex<Teller>);

impl Telling {
    /// `log`: its file gets the server id's name once that is known.
    pub(super) fn new(settings: TellingSettings, events: Events, log: Option<LogHandle>) -> Self {
        Self(Mutex::new(Teller {
            active_key: settings.keys.active(settings.role),
            settings,
            events,
            log,
            own: ServerId(0),
            session: None,
            phase: None,
            etcd_awaited: None,
            holder: None,
            gone: None,
            following: Following::Not,
            evidence: None,
            takeover: None,
            course: None,
            term: None,
            suspended_since: None,
        }))
    }
}

impl Witness for Telling {
    fn note(&self, at: BootInstant, note: &Note) {
        self.0.lock().note(at, note);
    }

    fn proof(&self, proof: Proof) {
        let result = match proof {
            Proof::Confirmed => ProofResult::Confirmed,
            Proof::Refuted => ProofResult::Refuted,
            Proof::Failed => ProofResult::Failed,
        };
        self.0.lock().events.metrics().pair.proof(result);
    }

    fn course(&self, epoch: Epoch) -> Option<Course> {
        let mut teller = self.0.lock();
        teller.course.take_if(|(of, _)| *of == epoch).map(|(_, course)| course)
    }

    fn write_refused(&self, epoch: Epoch) {
        tracing::warn!(epoch = epoch.0, "etcd refused a write of a term that is over");
        self.0.lock().events.metrics().pair.deposed_writes.inc();
    }
}

/// How far the lines of a standby have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Following {
    /// Not in standby.
    Not,
    /// In standby; nobody is known to hold the key.
    Entered,
    /// A try was lost; who has won is not seen yet.
    Lost,
    /// Somebody holds the key, and it is watched.
    Watching,
}

#[derive(Debug)]
struct Teller {
    settings: TellingSettings,
    active_key: String,
    events: Events,
    log: Option<LogHandle>,
    own: ServerId,
    /// As it was last registered.
    session: Option<Session>,
    phase: Option<Phase>,
    /// Since when etcd is waited for, and when that was last said.
    etcd_awaited: Option<(BootInstant, BootInstant)>,
    holder: Option<Holder>,
    /// The last holder and its address, once the key was seen to be gone.
    gone: Option<(Victim, String)>,
    following: Following,
    /// Who seems gone, by what, and since when that is known.
    evidence: Option<(ServerId, TakeoverCause, BootInstant)>,
    takeover: Option<Running>,
    /// What was measured of the takeover that began the term.
    course: Option<(Epoch, Course)>,
    /// From the win to the end.
    term: Option<Epoch>,
    suspended_since: Option<BootInstant>,
}

impl Teller {
    fn note(&mut self, at: BootInstant, note: &Note) {
        match note {
            Note::EtcdAwaited(endpoints, cause) => self.etcd_awaited(at, endpoints, cause),
            Note::EtcdAnswers => {
                let since = self.etcd_awaited.take().map_or(at, |(since, _)| since);
                self.events.etcd_answers(at.since(since));
            }
            Note::Begun(own) => {
                self.own = *own;
                if let Some(log) = &self.log {
                    log.name_file(*own);
                }
                self.events.server_started(*own, &self.settings.address);
            }
            Note::Stands(standing) => self.stands(at, standing),
            Note::Registered { key, session, .. } => {
                if let Some(key) = key {
                    self.events.session_registered(self.own, key, &text(session));
                }
                self.session = Some(session.clone());
                self.following = Following::Not;
            }
            Note::Standby(holder, _) => self.standby(holder.as_ref()),
            Note::HolderChanged { holder, at: revision, last_gone } => {
                self.holder_changed(at, holder.as_ref(), *revision, *last_gone);
            }
            Note::ProcessGone(id) => self.evidence = Some((*id, TakeoverCause::Certain, at)),
            Note::Hint(victim) => self.evidence = Some((victim.server_id, TakeoverCause::Hint, at)),
            Note::Paused(Some(pause)) => self.events.paused(pause, &until(pause)),
            Note::Paused(None) => self.events.resumed(),
            Note::Held(victim) => self.events.takeover_held(*victim),
            Note::AsksForRole(victim) => self.asks_for_role(*victim),
            Note::AskedForRole(Ok(epoch)) => self.events.role_given(*epoch),
            Note::AskedForRole(Err(reason)) => self.events.role_not_given(reason),
            Note::RoleWanted(standby) => self.events.role_wanted(*standby),
            Note::Deposing(victim) => self.deposing(at, *victim),
            Note::Campaign(against, certainty) => self.campaign(at, *against, *certainty),
            Note::CampaignLost => self.campaign_lost(),
            Note::Won(epoch) => self.won(at, *epoch),
            Note::CaughtUp(_) => {
                if let Some(running) = &mut self.takeover {
                    running.measured.reached(Stage::CaughtUp, at);
                }
            }
            Note::Serving(epoch) => {
                self.about_to_serve(at, *epoch);
                self.events.startup_succeeded(self.own, &self.settings.address);
            }
            Note::ActivationFailed(epoch, reason) => self.events.activation_failed(*epoch, reason),
            Note::Suspended(suspended) => self.suspended(at, *suspended),
            Note::LeaseGone(lease) => self.events.lease_lost(self.own, *lease),
            Note::TermEnded(epoch, loss) => self.term_ended(*epoch, *loss),
            Note::Leaving(successors) => {
                if self.term.is_some() {
                    self.events.leaving(*successors);
                }
            }
            Note::HandedOver(result) => self.handed_over(result),
            Note::Ended(Exit::Done) => {}
            Note::Ended(Exit::KeyHeld) => {
                self.events.registration_given_up(self.holder.as_ref().map(|holder| holder.victim.server_id));
            }
            Note::Ended(Exit::TermLost) => self.events.disconnected(self.own),
        }
    }

    fn etcd_awaited(&mut self, at: BootInstant, endpoints: &str, cause: &str) {
        let (since, said) = match self.etcd_awaited {
            Some((since, said)) if at.since(said) < SAY_EVERY => (since, said),
            awaited => {
                let since = awaited.map_or(at, |(since, _)| since);
                self.events.etcd_awaited(endpoints, at.since(since), &io::Error::other(cause.to_owned()));
                (since, at)
            }
        };
        self.etcd_awaited = Some((since, said));
    }

    fn stands(&mut self, at: BootInstant, standing: &Standing) {
        if let Standing::Active { epoch } = standing {
            self.about_to_serve(at, *epoch);
        }
        let phase = Phase::of(standing);
        let before = self.phase.replace(phase);
        if before == Some(phase) {
            return;
        }
        self.events.phase_changed(phase, Health::of(self.settings.role, None, standing).code);
        if before.is_none() && phase == Phase::Standby && self.settings.active_standby {
            self.events.standby_mode_entered();
        }
    }

    /// The holder of the key, unless that is this instance.
    fn other(&self) -> Option<&Holder> {
        self.holder.as_ref().filter(|holder| holder.victim.server_id != self.own)
    }

    fn standby(&mut self, holder: Option<&Holder>) {
        self.holder = holder.cloned();
        if !self.settings.active_standby {
            self.await_holder();
            return;
        }
        if self.following == Following::Not {
            self.following = Following::Entered;
            self.events.standby_entered();
        }
        self.events.in_standby();
        self.watch();
    }

    fn await_holder(&self) {
        if let Some(Holder { victim, address, .. }) = self.other() {
            let peer = Peer { server_id: victim.server_id, address: address.clone() };
            self.events.holder_awaited(&peer);
        }
    }

    /// In standby: somebody holds the key, so a try would fail.
    fn watch(&mut self) {
        if self.other().is_none() || !matches!(self.following, Following::Entered | Following::Lost) {
            return;
        }
        if self.following == Following::Entered {
            self.events.registration_tried();
            self.events.already_registered();
        }
        self.events.watch_started(&self.active_key);
        self.following = Following::Watching;
    }

    fn stop_watching(&mut self) {
        if self.following == Following::Watching {
            self.events.watch_stopped(&self.active_key);
            self.following = Following::Entered;
        }
    }

    /// The victim's keys are gone, or as good as gone.
    fn deleted(&mut self, victim: Victim, at: Revision, session_too: bool) {
        if self.following != Following::Watching {
            return;
        }
        self.events.watched_key_deleted(&self.active_key, at);
        if session_too {
            let key = self.settings.keys.instance(self.settings.role.name(), victim.server_id);
            self.events.watched_key_deleted(&key, at);
        }
        self.stop_watching();
    }

    fn holder_changed(
        &mut self,
        at: BootInstant,
        holder: Option<&Holder>,
        revision: Revision,
        last_gone: bool,
    ) {
        let last = self.other().map(|last| last.victim);
        let last_address = self.other().map(|last| last.address.clone()).unwrap_or_default();
        self.holder = holder.cloned();
        if self.term.is_some() {
            return;
        }
        match (last, self.other().map(|other| other.victim)) {
            // The standby's own look was faster than the news.
            (last, now) if last == now => {}
            (Some(last), None) if self.holder.is_none() => {
                self.deleted(last, revision, last_gone);
                self.gone = Some((last, last_address));
                if let Some(running) = self.takeover.as_mut().filter(|running| running.victim == Some(last)) {
                    running.measured.reached(Stage::Deposed, at);
                }
            }
            (last, Some(_)) => {
                self.gone = None;
                if !self.settings.active_standby && self.session.is_some() {
                    self.await_holder();
                }
                if last.is_some() {
                    self.stop_watching();
                }
                if self.takeover.as_ref().is_some_and(|running| running.victim == last) {
                    self.takeover = None;
                }
                self.watch();
            }
            (_, None) => {}
        }
    }

    fn campaign_lost(&mut self) {
        self.takeover = None;
        if self.following == Following::Entered {
            self.events.already_registered();
            self.following = Following::Lost;
            self.watch();
        }
    }

    fn won(&mut self, at: BootInstant, epoch: Epoch) {
        self.term = Some(epoch);
        self.gone = None;
        self.following = Following::Not;
        let mut cause = TakeoverCause::Vacant;
        if let Some(running) = &mut self.takeover {
            cause = running.cause;
            running.measured.reached(Stage::Won, at);
            if running.in_place {
                running.measured.reached(Stage::Deposed, at);
            }
        }
        if !self.settings.active_standby
            && let Some(session) = &self.session
        {
            self.events.session_registered(self.own, &self.active_key, &text(session));
        }
        self.events.registered_active(self.own, epoch, cause);
        if self.settings.active_standby {
            self.events.standby_quit(self.own);
            self.events.activating();
        }
    }

    fn suspended(&mut self, at: BootInstant, suspended: bool) {
        let Some(epoch) = self.term else { return };
        if suspended {
            self.suspended_since = Some(at);
            self.events.self_fenced(epoch, None);
        } else if let Some(since) = self.suspended_since.take() {
            self.events.self_fencing_ended(epoch, at.since(since));
        }
    }

    fn term_ended(&mut self, epoch: Epoch, loss: Loss) {
        let end = match loss {
            Loss::Deposed if self.holder.is_none() => {
                self.events.session_key_deleted(&self.active_key);
                self.events.connection_lost();
                TermEnd::KeyDeleted
            }
            Loss::Deposed => TermEnd::Deposed,
            Loss::LeaseGone => {
                self.events.connection_lost();
                TermEnd::LeaseLost
            }
            Loss::ActivationFailed => TermEnd::ActivationFailed,
            Loss::ForeignWrite => TermEnd::ForeignWrite,
            Loss::EtcdReplaced => TermEnd::EtcdReplaced,
            Loss::Left(_) => TermEnd::Stopped,
        };
        self.over(epoch, end);
    }

    fn handed_over(&mut self, result: &Result<Epoch, String>) {
        let Some(epoch) = self.term else { return };
        match result {
            Ok(successor) => {
                self.events.handed_over(*successor);
                self.over(epoch, TermEnd::HandedOver);
            }
            Err(reason) => {
                self.events.hand_over_failed(reason);
                self.over(epoch, TermEnd::Stopped);
            }
        }
    }

    fn over(&mut self, epoch: Epoch, end: TermEnd) {
        self.events.term_ended(self.own, epoch, end);
        self.term = None;
        self.takeover = None;
        self.suspended_since = None;
    }
}

/// In the local zone.
fn until(pause: &Pause) -> String {
    let millis = i64::try_from(pause.until_ms).unwrap_or(i64::MAX);
    local_time(millis, &TimeZone::system()).unwrap_or_else(|| pause.until_ms.to_string())
}

fn text(session: &Session) -> String {
    String::from_utf8_lossy(&session.encode()).into_owned()
}

#[cfg(test)]
mod tests;
