//! Where ours differs from the real one, and why it shall.

use crate::transcript::Found;

/// A difference that is meant. In each text `*` stands for anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    /// The sections: calls, keys, messages.
    section: &'static str,
    /// The fields in them. Empty: the whole section is on one side only.
    field: &'static str,
    /// What the real one has there; `None`: nothing.
    real: Option<&'static str>,
    /// What ours has there; `None`: nothing.
    ours: Option<&'static str>,
    #[expect(dead_code, reason = "for the reader, and shown with a listed difference that is none")]
    why: &'static str,
}

impl Difference {
    fn covers(&self, found: &Found) -> bool {
        let side = |pattern: Option<&str>, value: &Option<String>| match (pattern, value) {
            (Some(pattern), Some(value)) => matches(pattern, value),
            (pattern, value) => pattern.is_none() && value.is_none(),
        };
        matches(self.section, &found.section)
            && matches(self.field, &found.field)
            && side(self.real, &found.real)
            && side(self.ours, &found.ours)
    }
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
    let unlisted: Vec<String> = found
        .iter()
        .filter(|found| !listed.iter().any(|difference| difference.covers(found)))
        .map(Found::to_string)
        .collect();
    let gone: Vec<String> = listed
        .iter()
        .filter(|difference| !found.iter().any(|found| difference.covers(found)))
        .map(|difference| format!("{difference:?}"))
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

pub(crate) fn answers() -> Vec<Difference> {
    vec![]
}

pub(crate) fn peers() -> Vec<Difference> {
    vec![]
}

pub(crate) fn keys() -> Vec<Difference> {
    vec![]
}

pub(crate) fn messages() -> Vec<Difference> {
    vec![]
}

pub(crate) fn standby() -> Vec<Difference> {
    vec![]
}

pub(crate) fn real_after_ours() -> Vec<Difference> {
    vec![]
}

pub(crate) fn ours_after_real() -> Vec<Difference> {
    vec![]
}
