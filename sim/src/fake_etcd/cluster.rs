//! A cluster of members over one store: who leads, who has seen what, who is cut off.
//!
//! The log of proposals is not modelled: a proposal is applied at one moment, by all.
//! What makes members differ is how late they see it. A member that is cut off, or
//! that still believes to lead, sees the store as it was at that moment.
//!
//! No I/O and no clock in here: `now` is the time since the simulation began.

use std::{collections::BTreeMap, time::Duration};

use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse, PbLeaseGrantRequest,
    PbLeaseGrantResponse, PbLeaseRevokeRequest, PbLeaseRevokeResponse, PbPutRequest, PbPutResponse,
    PbTxnRequest, PbTxnResponse,
};

use super::{
    lease::{EXPIRY_PERIOD, Lessor},
    record::{Applied, Origin, What},
    refusal::Refusal,
    store::{Span, Store, header},
    txn,
};

/// Which member, counted from zero.
pub type MemberIndex = usize;

/// What is written through etcd's log.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one variant per method of etcd's services")]
pub enum Proposal {
    Put(PbPutRequest),
    Delete(PbDeleteRequest),
    Txn(PbTxnRequest),
    Grant(PbLeaseGrantRequest),
    Revoke(PbLeaseRevokeRequest),
    Compact(PbCompactionRequest),
}

/// What applying a proposal gave.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one variant per proposal")]
pub enum Answer {
    Put(PbPutResponse),
    Delete(PbDeleteResponse),
    Txn(PbTxnResponse),
    Grant(PbLeaseGrantResponse),
    Revoke(PbLeaseRevokeResponse),
    Compact(PbCompactionResponse),
}

/// What a keep-alive meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// Renewed for so many seconds.
    Renewed(i64),
    /// No such lease. Etcd says so with a time to live of zero, not with an error.
    Gone,
    /// Over, but not yet revoked: etcd answers when it is.
    Ending,
    /// The member knows no leader.
    NoLeader,
}

/// Whom a member would send a proposal to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the leader.
    Leader,
    /// To nobody, until there is a leader.
    None,
    /// Into its own log, from which nothing is ever applied: it leads no more and does not know.
    Stale,
}

#[derive(Clone, Debug)]
enum Condition {
    Healthy,
    Down,
    Isolated { revision: i64, term: u64 },
    StaleLeader { revision: i64, term: u64, leases: BTreeMap<i64, i64> },
}

#[derive(Clone, Debug)]
struct Member {
    condition: Condition,
    lag: Duration,
    hung: bool,
    seen: i64,
    no_leader_since: Option<Duration>,
}

/// How late, or whether at all, watches are told.
#[derive(Clone, Debug, Default)]
pub struct WatchFault {
    /// Only watches of processes whose names begin so.
    pub of: Option<String>,
    /// Only watches at this member.
    pub member: Option<MemberIndex>,
    /// Only watches that contain this key.
    pub containing: Option<Vec<u8>>,
    /// How much later; `None`: never, as long as the fault lasts.
    pub lag: Option<Duration>,
}

/// The cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    id: u64,
    store: Store,
    lessor: Lessor,
    term: u64,
    leader: Option<MemberIndex>,
    members: Vec<Member>,
    election_timeout: Duration,
    last_leader: MemberIndex,
    leaderless_since: Duration,
    next_expiry: Duration,
    out_of_space: bool,
    next_lease: i64,
    applied: Vec<Applied>,
    watch_faults: Vec<WatchFault>,
    /// Answers to progress requests may overtake events, as in releases before 3.4.25 and 3.5.8.
    pub progress_overtakes: bool,
}

/// After how many election time-outs without a leader a member ends the streams that ask for one.
const ELECTIONS_BEFORE_NO_LEADER: u32 = 3;

impl Cluster {
    /// A healthy cluster, led by its first member.
    ///
    /// # Panics
    /// Without members.
    pub fn new(members: usize, election_timeout: Duration) -> Self {
        assert!(members > 0, "a cluster has a member");
        let member = Member {
            condition: Condition::Healthy,
            lag: Duration::ZERO,
            hung: false,
            seen: 1,
            no_leader_since: None,
        };
        Self {
            id: 0xfa_ce,
            store: Store::default(),
            lessor: Lessor::default(),
            term: 2,
            leader: Some(0),
            members: vec![member; members],
            election_timeout,
            last_leader: 0,
            leaderless_since: Duration::ZERO,
            next_expiry: EXPIRY_PERIOD,
            out_of_space: false,
            next_lease: 7_000_000_001,
            applied: Vec::new(),
            watch_faults: Vec::new(),
            progress_overtakes: false,
        }
    }

    /// Which cluster stands behind the addresses.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The store as the leader has it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The leases as the leader has them.
    pub fn lessor(&self) -> &Lessor {
        &self.lessor
    }

    /// Everything that changed the store, in its order.
    pub fn applied(&self) -> &[Applied] {
        &self.applied
    }

    /// How many members there are, healthy or not.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Who leads.
    pub fn leader(&self) -> Option<MemberIndex> {
        self.leader
    }

    /// The raft term of the leader.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// How long an election takes.
    pub fn election_timeout(&self) -> Duration {
        self.election_timeout
    }

    /// The highest raft term that the member has heard of.
    pub fn term_of(&self, member: MemberIndex) -> u64 {
        match &self.members[member].condition {
            Condition::Healthy | Condition::Down => self.term,
            Condition::Isolated { term, .. } | Condition::StaleLeader { term, .. } => *term,
        }
    }

    /// Where the member's proposals go.
    pub fn route(&self, member: MemberIndex) -> Route {
        match &self.members[member].condition {
            Condition::Healthy if self.leader.is_some() => Route::Leader,
            Condition::Healthy | Condition::Down | Condition::Isolated { .. } => Route::None,
            Condition::StaleLeader { .. } => Route::Stale,
        }
    }

    /// Whether the member answers nothing at all.
    pub fn is_hung(&self, member: MemberIndex) -> bool {
        self.members[member].hung
    }

    /// Whether the member has been without a leader for so long that it ends the
    /// streams that ask for one.
    pub fn ends_streams(&self, member: MemberIndex, now: Duration) -> bool {
        self.members[member]
            .no_leader_since
            .is_some_and(|since| now >= since + self.election_timeout * ELECTIONS_BEFORE_NO_LEADER)
    }

    /// Whether any member knows no leader.
    pub fn is_somebody_leaderless(&self) -> bool {
        self.members.iter().any(|member| member.no_leader_since.is_some())
    }

    /// The revision up to which the member has seen the store.
    pub fn seen_by(&mut self, member: MemberIndex, now: Duration) -> i64 {
        let seen = match &self.members[member].condition {
            Condition::Healthy | Condition::Down => self.revision_at(now, self.members[member].lag),
            Condition::Isolated { revision, .. } | Condition::StaleLeader { revision, .. } => *revision,
        };
        let member = &mut self.members[member];
        member.seen = member.seen.max(seen);
        member.seen
    }

    /// Up to which revision a watch of `span` at the member may be told, and whether a
    /// fault holds it back.
    pub fn told_by(
        &mut self,
        member: MemberIndex,
        of: &Origin,
        span: &Span,
        told: i64,
        now: Duration,
    ) -> (i64, bool) {
        let seen = self.seen_by(member, now);
        let mut allowed = seen;
        for fault in &self.watch_faults {
            if fault.applies(member, of, span) {
                allowed = allowed.min(match fault.lag {
                    Some(lag) => self.revision_at(now, lag),
                    None => told,
                });
            }
        }
        (allowed.max(told.min(seen)), allowed < seen)
    }

    /// When the next thing that was applied becomes visible somewhere where it is not yet.
    pub fn next_visible(&self, now: Duration) -> Option<Duration> {
        let lags = self.members.iter().map(|member| member.lag);
        let faults = self.watch_faults.iter().filter_map(|fault| fault.lag);
        lags.chain(faults)
            .filter(|lag| !lag.is_zero())
            .filter_map(|lag| {
                let hidden = self.applied.partition_point(|applied| applied.at + lag <= now);
                self.applied.get(hidden).map(|applied| applied.at + lag)
            })
            .min()
    }

    fn revision_at(&self, now: Duration, lag: Duration) -> i64 {
        if lag.is_zero() {
            return self.store.revision();
        }
        let visible = self.applied.partition_point(|applied| applied.at + lag <= now);
        visible.checked_sub(1).map_or(1, |last| self.applied[last].revision)
    }

    /// Applies what has come out of the log; it set out when the store was at `set_out`.
    ///
    /// # Errors
    /// Etcd's.
    pub fn apply(
        &mut self,
        proposal: &Proposal,
        origin: &Origin,
        set_out: i64,
        now: Duration,
    ) -> Result<Answer, Refusal> {
        let before = self.store.revision();
        let answer = self.carry_out(proposal, now);
        self.note(
            before,
            Applied { revision: 0, at: now, origin: origin.clone(), what: What::of(proposal), set_out },
        );
        answer
    }

    fn carry_out(&mut self, proposal: &Proposal, now: Duration) -> Result<Answer, Refusal> {
        if self.out_of_space && needs_space(proposal) {
            return Err(Refusal::NoSpace);
        }
        Ok(match proposal {
            Proposal::Put(request) => {
                txn::check_put_applies(&self.store, &self.lessor, request)?;
                let response = self.store.put(request);
                self.store.commit();
                Answer::Put(response)
            }
            Proposal::Delete(request) => {
                let response = self.store.delete(request);
                self.store.commit();
                Answer::Delete(response)
            }
            Proposal::Txn(request) => Answer::Txn(txn::apply(&mut self.store, &self.lessor, request)?),
            Proposal::Grant(request) => {
                let id = if request.id == 0 { self.free_lease() } else { request.id };
                let lease = self.lessor.grant(id, request.ttl, now)?;
                Answer::Grant(PbLeaseGrantResponse {
                    header: header(self.store.revision()),
                    id,
                    ttl: lease.ttl,
                    error: String::new(),
                })
            }
            Proposal::Revoke(request) => {
                self.end_lease(request.id)?;
                Answer::Revoke(PbLeaseRevokeResponse { header: header(self.store.revision()) })
            }
            Proposal::Compact(request) => {
                self.store.compact(request.revision)?;
                Answer::Compact(PbCompactionResponse { header: header(self.store.revision()) })
            }
        })
    }

    fn free_lease(&mut self) -> i64 {
        while self.lessor.get(self.next_lease).is_some() {
            self.next_lease += 1;
        }
        self.next_lease += 1;
        self.next_lease - 1
    }

    fn end_lease(&mut self, id: i64) -> Result<(), Refusal> {
        self.lessor.revoke(id)?;
        for key in self.store.keys_of_lease(id) {
            self.store.delete(&PbDeleteRequest { key, ..Default::default() });
        }
        self.store.commit();
        Ok(())
    }

    fn note(&mut self, before: i64, applied: Applied) {
        let revision = self.store.revision();
        if revision != before {
            self.applied.push(Applied { revision, ..applied });
        }
    }

    /// Renews a lease through the member.
    pub fn keep_alive(&mut self, member: MemberIndex, id: i64, now: Duration) -> KeepAlive {
        match &self.members[member].condition {
            Condition::StaleLeader { leases, .. } => {
                leases.get(&id).map_or(KeepAlive::Gone, |ttl| KeepAlive::Renewed(*ttl))
            }
            Condition::Healthy if self.leader.is_some() => match self.lessor.renew(id, now) {
                Some(ttl) => KeepAlive::Renewed(ttl),
                None if self.lessor.get(id).is_some() => KeepAlive::Ending,
                None => KeepAlive::Gone,
            },
            Condition::Healthy | Condition::Down | Condition::Isolated { .. } => KeepAlive::NoLeader,
        }
    }

    /// What etcd does by itself: revoke leases that are over, each half second; elect a leader.
    /// Call it at least every 100 ms.
    pub fn tick(&mut self, now: Duration) {
        self.elect(now);
        if now < self.next_expiry {
            return;
        }
        self.next_expiry = now + EXPIRY_PERIOD;
        if self.leader.is_none() {
            return;
        }
        for id in self.lessor.expired(now) {
            let before = self.store.revision();
            // Nobody else ends leases in between, so it is there.
            if self.end_lease(id).is_ok() {
                let what = What::LeaseOver(id);
                self.note(
                    before,
                    Applied { revision: 0, at: now, origin: Origin::etcd(), what, set_out: before },
                );
            }
        }
    }

    fn elect(&mut self, now: Duration) {
        if self.leader.is_some() || now < self.leaderless_since + self.election_timeout {
            return;
        }
        let healthy = |member: &Member| matches!(member.condition, Condition::Healthy);
        let voters = self.members.iter().filter(|member| healthy(member)).count();
        if voters <= self.members.len() / 2 {
            return;
        }
        // Somebody else than before, if there is somebody else.
        let size = self.members.len();
        let next = (1..=size).map(|step| (self.last_leader + step) % size);
        if let Some(leader) = next.into_iter().find(|index| healthy(&self.members[*index])) {
            self.lead(leader, now);
        }
    }

    fn lead(&mut self, leader: MemberIndex, now: Duration) {
        self.term += 1;
        self.leader = Some(leader);
        self.last_leader = leader;
        self.lessor.promote(now, self.election_timeout);
        for member in &mut self.members {
            if matches!(member.condition, Condition::Healthy) {
                member.no_leader_since = None;
            }
        }
    }

    fn lose_leader(&mut self, now: Duration) {
        self.leader = None;
        self.leaderless_since = now;
        for member in &mut self.members {
            if matches!(member.condition, Condition::Healthy) {
                member.no_leader_since.get_or_insert(now);
            }
        }
    }

    fn lose_member(&mut self, member: MemberIndex, condition: Condition, now: Duration) {
        let knows_no_leader = !matches!(condition, Condition::StaleLeader { .. });
        self.members[member].condition = condition;
        self.members[member].no_leader_since = knows_no_leader.then_some(now);
        let healthy =
            self.members.iter().filter(|member| matches!(member.condition, Condition::Healthy)).count();
        let quorum = healthy > self.members.len() / 2;
        if self.leader == Some(member) || (self.leader.is_some() && !quorum) {
            self.lose_leader(now);
        }
    }

    /// Fault: the leader hands over to another member, at once.
    pub fn move_leader(&mut self, to: MemberIndex, now: Duration) {
        if matches!(self.members[to].condition, Condition::Healthy) {
            self.lead(to, now);
        }
    }

    /// Fault: no leader, until an election time-out has passed.
    pub fn drop_leader(&mut self, now: Duration) {
        if self.leader.is_some() {
            self.lose_leader(now);
        }
    }

    /// Fault: the member loses its peers. Clients still reach it.
    pub fn isolate(&mut self, member: MemberIndex, now: Duration) {
        if matches!(self.members[member].condition, Condition::Healthy) {
            let condition = Condition::Isolated { revision: self.seen_by(member, now), term: self.term };
            self.lose_member(member, condition, now);
        }
    }

    /// Fault: the leader hangs on its disk. It goes on answering keep-alives and
    /// serializable reads, while the others elect a new one.
    pub fn make_leader_stale(&mut self, now: Duration) {
        if let Some(leader) = self.leader {
            let leases = self.lessor.all().map(|(id, lease)| (id, lease.ttl)).collect();
            let revision = self.seen_by(leader, now);
            let condition = Condition::StaleLeader { revision, term: self.term, leases };
            self.lose_member(leader, condition, now);
        }
    }

    /// Fault: the member's process is gone.
    pub fn stop(&mut self, member: MemberIndex, now: Duration) {
        self.lose_member(member, Condition::Down, now);
    }

    /// Ends any of the conditions above.
    pub fn heal(&mut self, member: MemberIndex, now: Duration) {
        self.members[member].condition = Condition::Healthy;
        self.members[member].no_leader_since = self.leader.is_none().then_some(now);
    }

    /// Fault: the member sees everything so much later.
    pub fn set_lag(&mut self, member: MemberIndex, lag: Duration) {
        self.members[member].lag = lag;
    }

    /// Fault: the member accepts connections and requests and answers nothing.
    pub fn set_hung(&mut self, member: MemberIndex, hung: bool) {
        self.members[member].hung = hung;
    }

    /// Fault: the space quota is used up; puts and lease grants fail, all else works.
    pub fn set_out_of_space(&mut self, out_of_space: bool) {
        self.out_of_space = out_of_space;
    }

    /// Whether the space quota is used up.
    pub fn is_out_of_space(&self) -> bool {
        self.out_of_space
    }

    /// Fault: watches are told late or not at all.
    pub fn add_watch_fault(&mut self, fault: WatchFault) {
        self.watch_faults.push(fault);
    }

    /// Ends all of these.
    pub fn clear_watch_faults(&mut self) {
        self.watch_faults.clear();
    }

    /// Fault: everything below the newest revision is compacted away.
    pub fn compact_all(&mut self) {
        // Refused only when it has been done at this revision already.
        let _ = self.store.compact(self.store.revision());
    }
}

impl WatchFault {
    fn applies(&self, member: MemberIndex, of: &Origin, span: &Span) -> bool {
        self.of.as_ref().is_none_or(|name| of.name().starts_with(name.as_str()))
            && self.member.is_none_or(|only| only == member)
            && self.containing.as_ref().is_none_or(|key| span.contains(key))
    }
}

fn needs_space(proposal: &Proposal) -> bool {
    match proposal {
        Proposal::Put(_) | Proposal::Grant(_) => true,
        Proposal::Txn(request) => txn::needs_space(request),
        Proposal::Delete(_) | Proposal::Revoke(_) | Proposal::Compact(_) => false,
    }
}
