//! What to do with a call that has come in: a function of where this instance
//! stands and of how the call is addressed.
//!
//! | standing | own id | no id | forwarded, for this term |
//! |---|---|---|---|
//! | Starting | – | wait, then not ready | push away |
//! | Standby | push away | forward; nobody known: wait, then not ready | push away; a term still unknown here: wait, then push away |
//! | Activating, Suspended | wait, then not ready | same | same |
//! | Active | serve | serve | serve |
//! | HandingOver | wait, then push away | same | same |
//! | Forwarding | forward | forward | push away |
//! | Leaving | push away | forward; nobody known: push away | push away |
//!
//! A call for another id, for another cluster, or forwarded for another term is
//! pushed away in all of them. So is one for the own id when another instance
//! serves: whoever sends an id found it at the ACTIVE key, and must look again.
//! A few methods tell about this instance itself: they are answered in all of them.

use crate::{
    election::standing::{Peer, Standing},
    ids::{Epoch, ServerId},
    rpc::headers::Address,
};

/// What to do with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The role's handler answers.
    Serve,
    /// The role's handler says that it isn't ready, in its own shape.
    NotReady,
    /// A gRPC error that makes the client look the server up again.
    PushAway(PushAway),
    /// Another instance answers.
    Forward {
        /// Who.
        to: Peer,
        /// In which term.
        epoch: Epoch,
    },
    /// Wait for the standing to change; if it doesn't in time:
    Wait(InTheEnd),
}

/// Why a call is pushed away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PushAway {
    /// `cross cluster routing`
    CrossCluster,
    /// `node not match`
    NodeNotMatch,
}

/// What to do with a call that has waited in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InTheEnd {
    /// As [`Decision::NotReady`]: the client may ask here again.
    NotReady,
    /// As [`Decision::PushAway`]: the client must look the server up again.
    PushAway,
}

/// Decides. `forward`: whether a standby passes calls on that don't say whom they want.
pub fn decide(standing: &Standing, own: ServerId, address: &Address, path: &str, forward: bool) -> Decision {
    const AWAY: Decision = Decision::PushAway(PushAway::NodeNotMatch);

    if address.foreign_cluster.is_some() {
        return Decision::PushAway(PushAway::CrossCluster);
    }
    if address.server_id.is_some_and(|id| id != own) {
        return AWAY;
    }
    if let Some(term) = address.forwarded {
        return match standing {
            Standing::Active { epoch } if *epoch == term => Decision::Serve,
            Standing::Activating { epoch } | Standing::Suspended { epoch } if *epoch == term => {
                Decision::Wait(InTheEnd::NotReady)
            }
            Standing::HandingOver { epoch } if *epoch == term => Decision::Wait(InTheEnd::PushAway),
            // The forwarder has seen our put of the ACTIVE key before we have.
            Standing::Standby { active } if other(active, own).is_none_or(|(_, known)| *known < term) => {
                Decision::Wait(InTheEnd::PushAway)
            }
            Standing::Starting
            | Standing::Standby { .. }
            | Standing::Activating { .. }
            | Standing::Active { .. }
            | Standing::Suspended { .. }
            | Standing::HandingOver { .. }
            | Standing::Forwarding { .. }
            | Standing::Leaving { .. } => AWAY,
        };
    }
    if let Standing::Active { .. } = standing {
        return Decision::Serve;
    }
    if tells_about_itself(path) {
        return Decision::Serve;
    }
    match standing {
        Standing::Active { .. } => Decision::Serve,
        Standing::Activating { .. } | Standing::Suspended { .. } => Decision::Wait(InTheEnd::NotReady),
        Standing::HandingOver { .. } => Decision::Wait(InTheEnd::PushAway),
        Standing::Forwarding { to, epoch } => Decision::Forward { to: to.clone(), epoch: *epoch },
        Standing::Leaving { .. } if address.server_id.is_some() || !forward => AWAY,
        Standing::Leaving { active } => match other(active, own) {
            Some((to, epoch)) => Decision::Forward { to: to.clone(), epoch: *epoch },
            None => AWAY,
        },
        Standing::Standby { .. } if address.server_id.is_some() => AWAY,
        Standing::Starting | Standing::Standby { .. } if !forward => Decision::NotReady,
        Standing::Starting => Decision::Wait(InTheEnd::NotReady),
        Standing::Standby { active } => match other(active, own) {
            Some((to, epoch)) => Decision::Forward { to: to.clone(), epoch: *epoch },
            None => Decision::Wait(InTheEnd::NotReady),
        },
    }
}

/// The ACTIVE instance, unless it is this one, which then is about to learn that it won.
fn other(active: &Option<(Peer, Epoch)>, own: ServerId) -> Option<&(Peer, Epoch)> {
    active.as_ref().filter(|(peer, _)| peer.server_id != own)
}

/// Methods whose answer is about the instance that was asked, or the same everywhere.
fn tells_about_itself(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    match method {
        "GetComponentStates"
        | "GetTimeTickChannel"
        | "GetStatisticsChannel"
        | "GetSegmentInfoChannel"
        | "GetMetrics" => true,
        // Rootcoord's always answers the same; no other role has one.
        "ShowSegments" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: ServerId = ServerId(7);
    const ME: Epoch = Epoch(100);
    const DDL: &str = "/milvus.proto.rootcoord.RootCoord/CreateDatabase";
    const STATES: &str = "/milvus.proto.rootcoord.RootCoord/GetComponentStates";

    const SERVE: Decision = Decision::Serve;
    const NOT_READY: Decision = Decision::NotReady;
    const AWAY: Decision = Decision::PushAway(PushAway::NodeNotMatch);
    const WAIT: Decision = Decision::Wait(InTheEnd::NotReady);
    const WAIT_AWAY: Decision = Decision::Wait(InTheEnd::PushAway);

    fn peer() -> Peer {
        Peer { server_id: ServerId(9), address: "10.0.0.9:53100".to_owned() }
    }

    fn to_peer() -> Decision {
        Decision::Forward { to: peer(), epoch: Epoch(90) }
    }

    fn standings() -> Vec<Standing> {
        vec![
            Standing::Starting,
            Standing::Standby { active: None },
            Standing::Standby { active: Some((peer(), Epoch(90))) },
            Standing::Activating { epoch: ME },
            Standing::Active { epoch: ME },
            Standing::Suspended { epoch: ME },
            Standing::HandingOver { epoch: ME },
            Standing::Forwarding { to: peer(), epoch: Epoch(90) },
            Standing::Leaving { active: None },
            Standing::Leaving { active: Some((peer(), Epoch(90))) },
        ]
    }

    fn address(server_id: Option<i64>, forwarded: Option<i64>) -> Address {
        Address { foreign_cluster: None, server_id: server_id.map(ServerId), forwarded: forwarded.map(Epoch) }
    }

    #[track_caller]
    fn row(address: &Address, path: &str, forward: bool, expected: [Decision; 10]) {
        for (standing, expected) in standings().iter().zip(expected) {
            let decision = decide(standing, OWN, address, path, forward);
            assert_eq!(decision, expected, "{standing:?}");
        }
    }

    #[test]
    fn calls_for_the_own_id() {
        let own = address(Some(7), None);
        row(&own, DDL, true, [WAIT, AWAY, AWAY, WAIT, SERVE, WAIT, WAIT_AWAY, to_peer(), AWAY, AWAY]);
        row(&own, DDL, false, [NOT_READY, AWAY, AWAY, WAIT, SERVE, WAIT, WAIT_AWAY, to_peer(), AWAY, AWAY]);
        row(&own, STATES, true, [SERVE; 10]);
    }

    #[test]
    fn calls_without_an_id() {
        let none = address(None, None);
        row(
            &none,
            DDL,
            true,
            [WAIT, WAIT, to_peer(), WAIT, SERVE, WAIT, WAIT_AWAY, to_peer(), AWAY, to_peer()],
        );
        row(
            &none,
            DDL,
            false,
            [NOT_READY, NOT_READY, NOT_READY, WAIT, SERVE, WAIT, WAIT_AWAY, to_peer(), AWAY, AWAY],
        );
        row(&none, STATES, true, [SERVE; 10]);
    }

    #[test]
    fn calls_for_another_id_are_pushed_away() {
        for path in [DDL, STATES] {
            for forwarded in [None, Some(100)] {
                row(&address(Some(8), forwarded), path, true, [AWAY; 10]);
            }
        }
    }

    #[test]
    fn calls_for_another_cluster_are_pushed_away() {
        for (id, forwarded) in [(None, None), (Some(7), None), (Some(8), None), (Some(7), Some(100))] {
            let foreign = Address { foreign_cluster: Some("other".to_owned()), ..address(id, forwarded) };
            row(&foreign, STATES, true, [const { Decision::PushAway(PushAway::CrossCluster) }; 10]);
        }
    }

    #[test]
    fn a_forwarded_call_is_served_in_its_term_only_and_never_forwarded_again() {
        for id in [None, Some(7)] {
            let this_term = address(id, Some(100));
            row(
                &this_term,
                DDL,
                true,
                [AWAY, WAIT_AWAY, WAIT_AWAY, WAIT, SERVE, WAIT, WAIT_AWAY, AWAY, AWAY, AWAY],
            );
            let later = address(id, Some(101));
            row(&later, DDL, true, [AWAY, WAIT_AWAY, WAIT_AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY]);
            // The peer's term: ours can't be it.
            let earlier = address(id, Some(90));
            row(&earlier, DDL, true, [AWAY, WAIT_AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY]);
            let unreadable = address(id, Some(0));
            row(&unreadable, DDL, true, [AWAY, WAIT_AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY]);
        }
    }

    #[test]
    fn an_instance_that_is_about_to_learn_that_it_won_does_not_forward_to_itself() {
        let me = Peer { server_id: OWN, ..peer() };
        let standing = Standing::Standby { active: Some((me, ME)) };
        assert_eq!(decide(&standing, OWN, &address(None, None), DDL, true), WAIT);
        assert_eq!(decide(&standing, OWN, &address(Some(7), Some(100)), DDL, true), WAIT_AWAY);
    }

    /// Ids 1 to 4 and epochs 1 to 3, in any combination: what mirrors that lag behind
    /// each other, and processes that have not heard of their own end, may believe.
    fn any_standing() -> impl Strategy<Value = Standing> {
        let epoch = || (1..4_i64).prop_map(Epoch);
        let peer = || (1..5_i64).prop_map(|id| Peer { server_id: ServerId(id), address: format!("{id}:1") });
        prop_oneof![
            Just(Standing::Starting),
            Just(Standing::Standby { active: None }),
            (peer(), epoch()).prop_map(|active| Standing::Standby { active: Some(active) }),
            epoch().prop_map(|epoch| Standing::Activating { epoch }),
            epoch().prop_map(|epoch| Standing::Active { epoch }),
            epoch().prop_map(|epoch| Standing::Suspended { epoch }),
            epoch().prop_map(|epoch| Standing::HandingOver { epoch }),
            (peer(), epoch()).prop_map(|(to, epoch)| Standing::Forwarding { to, epoch }),
            Just(Standing::Leaving { active: None }),
            (peer(), epoch()).prop_map(|active| Standing::Leaving { active: Some(active) }),
        ]
    }

    proptest! {
        #[test]
        fn whatever_mirrors_show_a_call_goes_one_hop_at_most_and_runs_where_it_was_meant_to(
            standings in proptest::collection::vec(any_standing(), 4),
            entry in 1..5_usize,
            id in proptest::option::of(1..5_i64),
        ) {
            let at = |place: usize| (&standings[place - 1], ServerId(i64::try_from(place).unwrap()));
            let (standing, own) = at(entry);
            let asked = address(id, None);
            match decide(standing, own, &asked, DDL, true) {
                Decision::Serve => {
                    let active = matches!(standing, Standing::Active { .. });
                    prop_assert!(active && id.is_none_or(|id| ServerId(id) == own));
                }
                Decision::Forward { to, epoch } => {
                    prop_assert!(standing.own_epoch().is_none());
                    let (standing, own) = at(usize::try_from(to.server_id.0).unwrap());
                    let forwarded = address(Some(to.server_id.0), Some(epoch.0));
                    match decide(standing, own, &forwarded, DDL, true) {
                        Decision::Serve => prop_assert_eq!(standing, &Standing::Active { epoch }),
                        Decision::Forward { .. } => prop_assert!(false, "a second hop"),
                        Decision::NotReady | Decision::PushAway(_) | Decision::Wait(_) => {}
                    }
                }
                Decision::NotReady | Decision::PushAway(_) | Decision::Wait(_) => {}
            }
        }
    }

    #[test]
    fn what_an_instance_tells_about_itself() {
        for method in [
            "GetComponentStates",
            "GetTimeTickChannel",
            "GetStatisticsChannel",
            "GetSegmentInfoChannel",
            "ShowSegments",
            "GetMetrics",
        ] {
            assert!(tells_about_itself(&format!("/milvus.proto.data.DataCoord/{method}")));
        }
        for method in ["AllocTimestamp", "CheckHealth", "ShowConfigurations", "getcomponentstates", ""] {
            assert!(!tells_about_itself(&format!("/milvus.proto.data.DataCoord/{method}")));
        }
    }
}
