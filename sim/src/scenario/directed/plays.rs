//! The scenarios.

use std::time::Duration;

use super::{
    super::fault::{Fault, Target, Writing},
    director::Director,
};
use crate::{check::Violation, history::Call, schema::Deed};

type Played = Result<(), Violation>;

/// For streams between instances to be open, mirrors to be complete, and so on.
const SETTLED: Duration = Duration::from_secs(1);
/// From a call to its proposal being on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(100);
/// For a watch to tell what was put, and for what follows from it.
const HEARD: Duration = Duration::from_millis(400);

/// For an ACTIVE one without etcd to have asked for pledges and got them.
const EXCUSED: Duration = Duration::from_millis(600);
/// For a standby whose dials were refused to dial again and to be told; and less than what passes
/// between two times that pledges are asked for.
const TOLD: Duration = Duration::from_millis(230);
/// More often than a revocation without an answer is sent again.
const REPEATED: u32 = 20;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One serves, and client 0 is connected to it; the others stand by.
fn opening(director: &mut Director<'_>, instances: usize) -> Result<(Target, Vec<Target>), Violation> {
    let active = director.term_after(0)?;
    director.given(0, &Call::Timestamps(1))?;
    director.lasting(SETTLED)?;
    let standbys = (0..instances).filter(|index| *index != active).map(Target::Nth).collect();
    Ok((Target::Nth(active), standbys))
}

fn pair(director: &mut Director<'_>) -> Result<(Target, Target), Violation> {
    let (active, standbys) = opening(director, 2)?;
    Ok((active, standbys[0]))
}

/// A write is on its way when its sender freezes and is deposed; it arrives in the next
/// term, in which its sender wakes. A drop, because clients don't repeat one: a second attempt
/// would change what the first compares.
pub(super) fn late_write_of_a_frozen_one(director: &mut Director<'_>) -> Played {
    let (active, _) = pair(director)?;
    director.call(0, Call::Create("a".to_owned()))?;
    director.delay(1, active, Writing::Databases, ms(7_000));
    director.ask(0, Call::Drop("a".to_owned()));
    director.lasting(ON_ITS_WAY)?;
    director.begin(Fault::Freeze(active));
    let terms = director.terms();
    director.term_after(terms)?;
    director.given(1, &Call::Timestamps(1))?;
    director.end(Fault::Freeze(active));
    director.lasting(ms(7_000))
}

/// A firewall that refuses makes a standby depose one that lives, and that can't hear of it.
pub(super) fn deposed_and_deaf(director: &mut Director<'_>) -> Played {
    let (active, standby) = pair(director)?;
    depose_the_deaf(director, active, standby)
}

/// The same, just after it has proven that it is the active one: for W it may answer.
pub(super) fn deposed_with_a_young_proof(director: &mut Director<'_>) -> Played {
    let (active, standby) = pair(director)?;
    director.given(0, &Call::Timestamps(1))?;
    depose_the_deaf(director, active, standby)
}

/// Both are asked once the standby has deposed the active one, which etcd can't tell of it.
fn depose_the_deaf(director: &mut Director<'_>, active: Target, standby: Target) -> Played {
    director.begin(Fault::CutFromEtcd(active, None));
    refuse_the_deaf(director, active, standby)
}

/// It is cut off from etcd already.
fn refuse_the_deaf(director: &mut Director<'_>, active: Target, standby: Target) -> Played {
    director.begin(Fault::Reject(standby, active, true));
    let terms = director.terms();
    director.term_after(terms)?;
    director.given(1, &Call::Timestamps(1))?;
    director.call(0, Call::Timestamps(1))?;
    director.end(Fault::CutFromEtcd(active, None));
    director.end(Fault::Reject(standby, active, true));
    Ok(())
}

/// The active one can't reach etcd and is promised not to be deposed by a hint; then somebody
/// ends its lease, of which it can't hear.
pub(super) fn revoked_while_excused(director: &mut Director<'_>) -> Played {
    let (active, _) = pair(director)?;
    director.begin(Fault::CutFromEtcd(active, None));
    director.lasting(EXCUSED)?;
    director.given(0, &Call::Timestamps(1))?;
    let terms = director.terms();
    director.begin(Fault::RevokeActive);
    director.term_after(terms)?;
    director.given(1, &Call::Timestamps(1))?;
    director.call(0, Call::Timestamps(1))?;
    director.end(Fault::CutFromEtcd(active, None));
    Ok(())
}

/// The active one can't reach etcd and is promised not to be deposed by all who know of it;
/// then another comes to know of it, and meets a firewall that refuses.
pub(super) fn told_while_excused(director: &mut Director<'_>) -> Played {
    let (first, standbys) = opening(director, 3)?;
    let (active, stranger) = (standbys[0], standbys[1]);
    director.begin(Fault::Reject(stranger, active, true));
    // So that it is not the one that comes next.
    director.begin(Fault::CutFromEtcd(stranger, None));
    let terms = director.terms();
    director.begin(Fault::Kill(first));
    director.term_after(terms)?;
    director.end(Fault::CutFromEtcd(stranger, None));
    director.given(0, &Call::Timestamps(1))?;
    director.lasting(SETTLED)?;
    director.begin(Fault::CutFromEtcd(active, None));
    director.lasting(EXCUSED)?;
    director.given(0, &Call::Timestamps(1))?;
    director.end(Fault::Reject(stranger, active, true));
    director.lasting(TOLD)?;
    refuse_the_deaf(director, active, stranger)
}

/// The active one extends its window far, and dies before its successor has heard of it.
pub(super) fn window_extended_unseen(director: &mut Director<'_>) -> Played {
    let (active, standby) = pair(director)?;
    director.begin(Fault::WatchLag(standby, None));
    for _ in 0..6 {
        director.given(0, &Call::Ids(390_000_000))?;
    }
    let terms = director.terms();
    director.begin(Fault::Kill(active));
    director.term_after(terms)?;
    director.given(1, &Call::Ids(1))?;
    director.end(Fault::WatchLag(standby, None));
    Ok(())
}

/// The first of two creates of one name gets no answer in time and is carried out when the
/// name was created and dropped again.
pub(super) fn create_after_an_unanswered_create(director: &mut Director<'_>) -> Played {
    let (active, _) = pair(director)?;
    director.delay(1, active, Writing::Databases, ms(3_000));
    let first = director.ask(0, Call::Create("a".to_owned()));
    director.lasting(ON_ITS_WAY)?;
    let second = director.ask(1, Call::Create("a".to_owned()));
    director.answer(first)?;
    director.answer(second)?;
    director.call(1, Call::Drop("a".to_owned()))?;
    director.lasting(ms(3_000))?;
    director.call(1, Call::List)?;
    Ok(())
}

/// A lease is revoked late, when who was deposed under it is the active one again.
pub(super) fn late_revoke(director: &mut Director<'_>) -> Played {
    let (active, standby) = pair(director)?;
    director.delay(REPEATED, standby, Writing::Revokes, ms(3_000));
    let terms = director.terms();
    director.begin(Fault::Reject(standby, active, false));
    director.term_after(terms)?;
    director.end(Fault::Reject(standby, active, false));
    director.lasting(HEARD)?;
    director.begin(Fault::Kill(standby));
    director.term_after(terms + 1)?;
    director.lasting(ms(3_000))
}

/// Two standbys; the one hears of the end of the active one when the other has its place.
pub(super) fn news_of_an_earlier_victim(director: &mut Director<'_>) -> Played {
    let (active, standbys) = opening(director, 3)?;
    let slow = standbys[1];
    // As long as the session of the dead one is there, the slow one listens for it.
    director.delay(REPEATED, standbys[0], Writing::Revokes, ms(3_000));
    let terms = director.terms();
    director.begin(Fault::CutPeers(slow, active));
    director.begin(Fault::Kill(active));
    director.term_after(terms)?;
    director.lasting(HEARD)?;
    director.end(Fault::CutPeers(slow, active));
    director.no_new_term(ms(1_200))
}

/// Two clients create different collections under one name, and the first one's write is slow.
pub(super) fn two_creations_of_one_name(director: &mut Director<'_>) -> Played {
    let (active, _) = pair(director)?;
    director.delay(1, active, Writing::Databases, ms(1_000));
    let create = |kind| Call::Do(Deed::Create { name: "x", kind });
    let first = director.ask(0, create(1));
    director.lasting(ON_ITS_WAY)?;
    let second = director.ask(1, create(2));
    director.answer(first)?;
    director.answer(second)?;
    Ok(())
}
