//! Scenarios that stage one interleaving each: the one against which a rule was made.
//!
//! With all rules a scenario passes; without the rule that it belongs to, its violation
//! must be found. What stays the same from run to run is what the scenario asks for, not
//! when it happens: each step waits for what it builds on.

mod director;
mod plays;

use std::time::Duration;

use milvus_coord::election::rules::{Rule, Rules};

pub(super) use self::director::Director;
use super::{
    fault::Extent,
    stage::{Cast, Preference, StageSettings},
};
use crate::check::Violation;

/// One of them.
pub struct Directed {
    /// What happens in it.
    pub name: &'static str,
    /// Without which rule it goes wrong.
    pub rule: Rule,
    /// And how: a part of the violation's text.
    pub violation: &'static str,
    instances: usize,
    play: fn(&mut Director<'_>) -> Result<(), Violation>,
}

impl std::fmt::Debug for Directed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Directed").field(&self.name).finish()
    }
}

/// All of them, one or more for each rule.
pub static ALL: [Directed; 10] = [
    Directed {
        name: "late-write-of-a-frozen-one",
        rule: Rule::Fence,
        violation: "root-coord/database/db-info",
        instances: 2,
        play: plays::late_write_of_a_frozen_one,
    },
    Directed {
        name: "deposed-and-deaf",
        rule: Rule::Proof,
        violation: "Timestamps: went back",
        instances: 2,
        play: plays::deposed_and_deaf,
    },
    Directed {
        name: "deposed-with-a-young-proof",
        rule: Rule::QuietPoint,
        violation: "Timestamps: went back",
        instances: 2,
        play: plays::deposed_with_a_young_proof,
    },
    Directed {
        name: "revoked-while-excused",
        rule: Rule::QuietPoint,
        violation: "Timestamps: went back",
        instances: 2,
        play: plays::revoked_while_excused,
    },
    Directed {
        name: "told-while-excused",
        rule: Rule::Pledges,
        violation: "Timestamps: went back",
        instances: 3,
        play: plays::told_while_excused,
    },
    Directed {
        name: "window-extended-unseen",
        rule: Rule::WindowCompare,
        violation: "gid/idTimestamp went back",
        instances: 2,
        play: plays::window_extended_unseen,
    },
    Directed {
        name: "create-after-an-unanswered-create",
        rule: Rule::Settling,
        violation: "database a is not linearizable",
        instances: 2,
        play: plays::create_after_an_unanswered_create,
    },
    Directed {
        name: "late-revoke",
        rule: Rule::FreshLease,
        violation: "revoked the lease of",
        instances: 2,
        play: plays::late_revoke,
    },
    Directed {
        name: "news-of-an-earlier-victim",
        rule: Rule::VictimCompare,
        violation: "a new term without a cause",
        instances: 3,
        play: plays::news_of_an_earlier_victim,
    },
    Directed {
        name: "two-creations-of-one-name",
        rule: Rule::NameLocks,
        violation: "the schema is not linearizable",
        instances: 2,
        play: plays::two_creations_of_one_name,
    },
];

impl Directed {
    /// The one of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|directed| directed.name == name)
    }

    pub(super) fn stage(&self, rules: Rules) -> StageSettings {
        StageSettings {
            seed: 1,
            extent: Extent { instances: self.instances, machines: self.instances, members: 1 },
            rules,
            tick: Duration::from_millis(1),
            latency: Duration::from_millis(1),
            skew: 0,
            progress_overtakes: false,
            strict: false,
            cast: Cast::Ordered,
            preference: Preference::None,
        }
    }

    pub(super) fn play(&self, director: &mut Director<'_>) -> Result<(), Violation> {
        (self.play)(director)?;
        director.close()
    }
}
