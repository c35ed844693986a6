//! The rules that carry the safety, by name, so that a simulation can take one away
//! and see that it was needed. In every other build they are fixed.

/// A rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Every metadata transaction compares the ACTIVE key's mod revision.
    Fence,
    /// Nothing goes out without a young proof.
    Proof,
    /// A successor answers nothing before its predecessor surely can't.
    QuietPoint,
    /// The campaign compares the timestamp and id windows that it takes over.
    WindowCompare,
    /// A write without an answer is settled before anything builds on it.
    Settling,
    /// A lease serves one candidacy.
    FreshLease,
    /// A verdict deposes the term that it was about, and no other.
    VictimCompare,
    /// Requests about the same name are carried out one after the other.
    NameLocks,
    /// Who promised not to depose a term by a hint, or was told of it while it lives on such
    /// promises, keeps to it.
    Pledges,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Fence,
        Self::Proof,
        Self::QuietPoint,
        Self::WindowCompare,
        Self::Settling,
        Self::FreshLease,
        Self::VictimCompare,
        Self::NameLocks,
        Self::Pledges,
    ];

    #[cfg(feature = "rule-switches")]
    fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// Which rules hold: all, unless a simulation says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// One bit per rule that does not hold.
    #[cfg(feature = "rule-switches")]
    off: u16,
}

impl Rules {
    /// Whether `rule` is in force.
    #[cfg(not(feature = "rule-switches"))]
    pub const fn hold(self, _rule: Rule) -> bool {
        true
    }

    /// Whether `rule` is in force.
    #[cfg(feature = "rule-switches")]
    pub fn hold(self, rule: Rule) -> bool {
        self.off & rule.bit() == 0
    }

    /// The same without this one, too.
    #[cfg(feature = "rule-switches")]
    #[must_use]
    pub fn without(self, rule: Rule) -> Self {
        Self { off: self.off | rule.bit() }
    }
}
