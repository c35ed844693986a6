//! What the life of an instance asks for and takes time: each runs beside the driver
//! and ends in one event.

use std::{sync::Arc, time::Duration};

use milvus_proto::peer::{SwitchoverRequest, TakeOverRequest, peer_client::PeerClient};
use tokio::sync::mpsc;

use crate::{
    clock::{BootInstant, Clock, UnixNanos},
    election::{
        campaign::Candidacy,
        core::RoleCore,
        life::{Campaign, CampaignEnd, Event},
        rules::{Rule, Rules},
        session::Session,
        standing::Peer,
        verdict::Victim,
    },
    etcd::{
        Etcd,
        call::{CallError, Header, Refusal},
        lease::{LeaseKeeper, Pulse},
        txn::{Guard, Op, Txn, TxnOutcome},
    },
    ids::{Epoch, LeaseId, Revision, ServerId},
    net::Dial,
    rpc::{
        clients::Caller,
        link::{Link, LinkOwner, LinkSettings},
    },
    telemetry::log::Chain,
};

/// One attempt at a transaction or a lease call.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Between attempts after trouble.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between attempts to register.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long giving a lease back may hold things up, as in Milvus.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a successor may take, its own patience included.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an ACTIVE one that is asked for the role may take, its hand-over included.
const ASK_FOR_ROLE_TIMEOUT: Duration = Duration::from_secs(6);

/// What all tasks share.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Calls to etcd.
    pub etcd: Etcd,
    /// Connections to peers.
    pub dial: Arc<dyn Dial>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The role.
    pub core: Arc<dyn RoleCore>,
    /// The key that stands for being ACTIVE.
    pub active_key: String,
    /// The key of the own session; `None` without active-standby.
    pub own_key: Option<String>,
    /// Its value, still without a lease.
    pub session: Session,
    /// Time to live to ask for.
    pub lease_ttl: Duration,
    /// Ticked by the driver; without it the lease is let go.
    pub pulse: Pulse,
    /// All of them, outside simulations.
    pub rules: Rules,
    /// Where events go.
    pub events: mpsc::Sender<Event>,
}

/// When the winning transaction was sent, and what etcd said of itself: it is a proof, too.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// Before sending.
    pub sent: BootInstant,
    /// Of the answer.
    pub header: Header,
}

/// A session in etcd.
#[derive(Debug)]
pub struct Registration {
    /// Keeps its lease.
    pub keeper: LeaseKeeper,
    /// When its key was put; `None` without active-standby, where it has none.
    pub listed_at: Option<Revision>,
    /// Whether it took the place of another one without a gap.
    pub follows: bool,
}

impl Ground {
    /// Grants a fresh lease and puts the own session under it, for as long as it takes.
    ///
    /// `after`: when the session was put that may still be there.
    pub async fn register(&self, after: Option<Revision>) -> Registration {
        let mut pause = PAUSE;
        loop {
            match self.try_register(after).await {
                Ok(registration) => return registration,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "failed to register session, will retry");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn try_register(&self, after: Option<Revision>) -> Result<Registration, CallError> {
        let keeper = LeaseKeeper::grant(&self.etcd, self.lease_ttl, self.pulse.clone(), CALL_TIMEOUT).await?;
        match self.put_session(keeper.id(), after).await {
            Ok((listed_at, follows)) => Ok(Registration { keeper, listed_at, follows }),
            Err(error) => {
                keeper.revoke(REVOKE_TIMEOUT).await;
                Err(error)
            }
        }
    }

    /// Puts the own session, if it has one. When, and whether in place of the one put at `after`.
    async fn put_session(
        &self,
        lease: LeaseId,
        after: Option<Revision>,
    ) -> Result<(Option<Revision>, bool), CallError> {
        let Some(op) = self.session_put(lease) else { return Ok((None, false)) };
        let put = |guards| Txn { guards, then: vec![op.clone()], otherwise: vec![] };
        if let Some(after) = after {
            let unchanged = Guard::ModIs(op.key().to_owned(), after);
            if let TxnOutcome::Done(header) = self.etcd.txn(put(vec![unchanged]), CALL_TIMEOUT).await? {
                return Ok((Some(header.revision), true));
            }
        }
        let outcome = self.etcd.txn(put(vec![]), CALL_TIMEOUT).await?;
        Ok((Some(outcome.header().revision), false))
    }

    fn session_put(&self, lease: LeaseId) -> Option<Op> {
        let key = self.own_key.clone()?;
        Some(Op::Put { key, value: self.session.with_lease(lease).encode(), lease: Some(lease) })
    }

    /// Runs the campaign until its outcome is known. Dropping it leaves that to the
    /// lease: once it is gone, nothing that is still under way can be applied.
    ///
    /// `given_until`: what the very term that it is against has said at its end.
    pub async fn campaign(
        &self,
        campaign: &Campaign,
        given_until: Option<UnixNanos>,
    ) -> (CampaignEnd, Option<Acknowledged>) {
        let candidacy = Candidacy::new(
            &self.active_key,
            self.session.with_lease(campaign.lease).encode(),
            campaign.lease,
            campaign.against.as_ref().map(|holder| holder.victim.epoch),
            self.core.stake(self.clock.wall(), given_until),
            self.rules,
        );
        // An attempt that was sent and never answered may be applied at any time.
        let mut unknown = false;
        loop {
            let sent = self.clock.boot();
            let error = match self.etcd.txn(candidacy.txn().clone(), CALL_TIMEOUT).await {
                Ok(outcome) => {
                    let header = outcome.header();
                    let (end, windows) = candidacy.read(outcome);
                    if !windows.is_empty() {
                        self.core.restake(&windows);
                    }
                    return (end, Some(Acknowledged { sent, header }));
                }
                Err(error) => error,
            };
            if error.refusal() == Some(&Refusal::LeaseNotFound) {
                return (CampaignEnd::LeaseGone, None);
            }
            tracing::warn!(error = %Chain(&error), "register active key to etcd failed");
            unknown |= !error.certainly_not_applied();
            if !unknown || !self.rules.hold(Rule::Settling) {
                return (CampaignEnd::Failed, None);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Revokes the lease of a key that was replaced in place. Best effort: the fence
    /// holds without it, and the lease ends by itself.
    pub async fn revoke_victim(&self, victim: Victim, lease: LeaseId) {
        match self.etcd.revoke(lease, REVOKE_TIMEOUT).await {
            Ok(()) => tracing::info!(
                server_id = victim.server_id.0,
                lease = lease.0,
                "revoked the lease of the deposed"
            ),
            Err(error) if error.refusal() == Some(&Refusal::LeaseNotFound) => {}
            Err(error) => {
                tracing::warn!(error = %Chain(&error), lease = lease.0, "could not revoke the lease of the deposed");
            }
        }
    }

    /// Deposes a coordinator of another kind: it reacts only to the deletion of its key.
    ///
    /// First the own session is refreshed: an etcd that takes no writes could not be
    /// won afterwards, and nobody would serve. Then the key is read once more.
    pub async fn depose_foreign(&self, victim: Victim, own: LeaseId, lease: LeaseId) -> bool {
        let refreshed = async {
            self.put_session(own, None).await?;
            let kv = self.etcd.read(&self.active_key, CALL_TIMEOUT).await?.value;
            let unchanged =
                kv.is_some_and(|kv| Epoch(kv.mod_revision.0) == victim.epoch && kv.lease == lease);
            if unchanged {
                self.etcd.revoke(lease, REVOKE_TIMEOUT).await?;
            }
            Ok::<_, CallError>(unchanged)
        };
        match refreshed.await {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(
                    error = %Chain(&error), server_id = victim.server_id.0,
                    "etcd takes no writes now, leave the active one in place"
                );
                false
            }
        }
    }

    /// Asks the successor to take over, and waits until it serves. The term is deactivated.
    pub async fn ask_to_take_over(
        &self,
        to: &Peer,
        own: ServerId,
        epoch: Epoch,
        last_revision: Revision,
    ) -> Result<Epoch, String> {
        let asking = async {
            let settings = LinkSettings { connect_timeout: CALL_TIMEOUT, ..LinkSettings::default() };
            let link = Link::connect(&*self.dial, &to.address, settings, &LinkOwner::default())
                .await
                .map_err(|error| Chain(&error).to_string())?;
            let given_until = self.core.given_until(epoch);
            let request = TakeOverRequest {
                epoch: epoch.0,
                from_server_id: own.0,
                last_revision: last_revision.0,
                given_until: given_until.and_then(|time| time.0.try_into().ok()).unwrap_or(0),
            };
            let mut client = PeerClient::new(Caller::of_anybody(link));
            let answer = client.take_over(request).await.map_err(|status| status.to_string())?;
            let answer = answer.into_inner();
            if answer.done { Ok(Epoch(answer.epoch)) } else { Err(answer.reason) }
        };
        tokio::time::timeout(TAKE_OVER_TIMEOUT, asking)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {TAKE_OVER_TIMEOUT:?}")))
    }

    /// Asks the ACTIVE one at `address` to hand over to this instance, which is preferred to it.
    pub async fn ask_for_role(&self, address: &str, own: ServerId) -> Result<Epoch, String> {
        let asking = async {
            let settings = LinkSettings { connect_timeout: CALL_TIMEOUT, ..LinkSettings::default() };
            let link = Link::connect(&*self.dial, address, settings, &LinkOwner::default())
                .await
                .map_err(|error| Chain(&error).to_string())?;
            let request = SwitchoverRequest { to_server_id: own.0, preferred: true };
            let mut client = PeerClient::new(Caller::of_anybody(link));
            let answer = client.switchover(request).await.map_err(|status| status.to_string())?;
            let answer = answer.into_inner();
            if answer.done { Ok(Epoch(answer.new_epoch)) } else { Err(answer.reason) }
        };
        tokio::time::timeout(ASK_FOR_ROLE_TIMEOUT, asking)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {ASK_FOR_ROLE_TIMEOUT:?}")))
    }

    /// Gives a lease back; its keys go with it.
    pub async fn give_back(&self, keeper: &LeaseKeeper) {
        keeper.revoke(REVOKE_TIMEOUT).await;
    }

    /// Sends an event to the driver; none is wanted any more once that has ended.
    pub async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}
