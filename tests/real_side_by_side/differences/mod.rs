//! Where ours differs from the real one, and why it shall.

mod answers;
mod outage;
mod rereading;
mod stored;

pub(crate) use self::{
    answers::{answers, standby},
    outage::outage,
    rereading::{ours_after_real, real_after_ours},
    stored::{keys, messages, peers},
};
use crate::transcript::Found;

/// A difference that is meant. In each text `*` stands for anything.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// The sections: calls, keys, messages.
    section: String,
    /// The fields in them. Empty: the whole section, which is there on one side only.
    field: String,
    /// What the real one has there; `None`: nothing.
    real: Option<String>,
    /// What ours has there; `None`: nothing.
    ours: Option<String>,
    why: &'static str,
}

impl Difference {
    fn covers(&self, found: &Found) -> bool {
        let side = |pattern: &Option<String>, value: &Option<String>| match (pattern, value) {
            (Some(pattern), Some(value)) => matches(pattern, value),
            (pattern, value) => pattern.is_none() && value.is_none(),
        };
        matches(&self.section, &found.section)
            && matches(&self.field, &found.field)
            && side(&self.real, &found.real)
            && side(&self.ours, &found.ours)
    }
}

/// What differs for one reason.
struct Because(&'static str, Vec<Difference>);

impl Because {
    fn new(why: &'static str) -> Self {
        Self(why, Vec::new())
    }

    fn row(mut self, section: &str, field: &str, real: Option<&str>, ours: Option<&str>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        self.1.push(Difference {
            section: section.to_owned(),
            field: field.to_owned(),
            real: owned(real),
            ours: owned(ours),
            why: self.0,
        });
        self
    }

    /// Another value.
    fn other(self, section: &str, field: &str, real: &str, ours: &str) -> Self {
        self.row(section, field, Some(real), Some(ours))
    }

    /// Fields that only the real one has.
    fn real(self, section: &str, field: &str, value: &str) -> Self {
        self.row(section, field, Some(value), None)
    }

    /// Fields that only ours has.
    fn ours(self, section: &str, field: &str, value: &str) -> Self {
        self.row(section, field, None, Some(value))
    }

    /// Whole sections that only the real one has.
    fn real_alone(self, section: &str) -> Self {
        self.real(section, "", "*")
    }

    /// Whole sections that only ours has.
    fn ours_alone(self, section: &str) -> Self {
        self.ours(section, "", "*")
    }
}

fn all(reasons: impl IntoIterator<Item = Because>) -> Vec<Difference> {
    reasons.into_iter().flat_map(|because| because.1).collect()
}

/// Whether `text` is what `pattern` says.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| matches(rest, &text[at..]))
}

/// Every difference that was found is listed, and every one that is listed was found.
///
/// # Panics
/// When that is not so.
#[track_caller]
pub(crate) fn check(listed: &[Difference], found: &[Found]) {
    let is_listed = |found: &&Found| listed.iter().any(|difference| difference.covers(found));
    let unlisted: Vec<String> = found.iter().filter(|it| !is_listed(it)).map(Found::to_string).collect();
    let was_found = |difference: &&Difference| found.iter().any(|found| difference.covers(found));
    let gone: Vec<String> = listed
        .iter()
        .filter(|it| !was_found(it))
        .map(|it| {
            format!(
                "[{}] {}\n    real: {:?}\n    ours: {:?}\n    {}",
                it.section, it.field, it.real, it.ours, it.why
            )
        })
        .collect();
    assert!(
        unlisted.is_empty() && gone.is_empty(),
        "{} differences that are not meant:\n{}\n\n{} that are listed and are none:\n{}",
        unlisted.len(),
        unlisted.join("\n"),
        gone.len(),
        gone.join("\n")
    );
}

#[test]
fn a_star_stands_for_anything() {
    for (pattern, text) in [("a", "a"), ("*", ""), ("a*c", "abc"), ("a*c*", "abcd"), ("*b*", "aßb")] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [("a", "ab"), ("", "a"), ("a*c", "abd"), ("*bb*", "abc")] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}
