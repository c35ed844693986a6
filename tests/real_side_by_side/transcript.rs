//! What happened on one side, in a form that can be compared with the other side: sections
//! of fields, without what must differ.
//!
//! Ids and timestamps become names: after the section, and the place in it, where each comes
//! up for the first time. One that only one side has renames no others then. A number of
//! less than [`LONG`] digits stays.

use std::collections::{BTreeMap, HashMap};

use crate::fields::Field;

/// How many digits make a number an id or a time: milliseconds have 13, ids and hybrid
/// timestamps 18, nanoseconds 19.
const LONG: usize = 13;

/// What the hashes of passwords begin with: bcrypt of the least cost.
const HASH: &str = "$2a$04$";

/// An answer, a question to a peer, a key, a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section {
    /// Where new numbers come up: the call that the section is about, for instance.
    place: String,
    pub(crate) label: String,
    pub(crate) fields: Vec<Field>,
}

impl Section {
    pub(crate) fn new(label: impl Into<String>, fields: Vec<Field>) -> Self {
        Self { place: String::new(), label: label.into(), fields }
    }

    /// The same as part of that place.
    pub(crate) fn at(self, place: &str) -> Self {
        Self { place: place.to_owned(), ..self }
    }
}

/// Everything of one side, in a fixed order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) sections: Vec<Section>,
}

/// What numbers are called, and which texts stand for others.
#[derive(Debug, Default)]
pub(crate) struct Names {
    numbers: HashMap<String, String>,
    /// How many numbers were named after each place.
    counts: HashMap<String, u32>,
    /// Replaced before anything else: addresses, for instance.
    texts: Vec<(String, String)>,
}

impl Names {
    pub(crate) fn new(texts: Vec<(String, String)>) -> Self {
        Self { texts, ..Self::default() }
    }

    /// Gives a number a name, unless it has one.
    pub(crate) fn name(&mut self, number: &str, name: impl FnOnce() -> String) {
        if !self.numbers.contains_key(number) {
            self.numbers.insert(number.to_owned(), name());
        }
    }

    /// Whether that number has a name already.
    pub(crate) fn knows(&self, number: &str) -> bool {
        self.numbers.contains_key(number)
    }

    /// The text without long numbers. New ones are called after `place`.
    pub(crate) fn text(&mut self, place: &str, text: &str) -> String {
        if text.starts_with(HASH) {
            // Salted.
            return format!("{HASH} and {} letters", text.len() - HASH.len());
        }
        let mut text = text.to_owned();
        for (from, to) in &self.texts {
            text = text.replace(from, to);
        }
        let mut result = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
            let end = rest[start..].find(|letter: char| !letter.is_ascii_digit());
            let end = end.map_or(rest.len(), |end| start + end);
            result.push_str(&rest[..start]);
            let digits = &rest[start..end];
            if digits.len() < LONG {
                result.push_str(digits);
            } else {
                let name = self.numbers.entry(digits.to_owned()).or_insert_with(|| {
                    let count = self.counts.entry(place.to_owned()).or_default();
                    *count += 1;
                    format!("<{place}#{count}>")
                });
                result.push_str(name);
            }
            rest = &rest[end..];
        }
        result.push_str(rest);
        result
    }

    /// A section without long numbers.
    pub(crate) fn section(&mut self, section: &Section) -> Section {
        let Section { place, label, fields } = section;
        let label = self.text(if place.is_empty() { "unknown" } else { place }, label);
        let place = if place.is_empty() { &label } else { place };
        let mut named = Vec::with_capacity(fields.len());
        for (path, value) in fields {
            named.push((self.text(place, path), self.text(place, value)));
        }
        Section { place: place.clone(), label, fields: named }
    }
}

/// A place at which the two sides are not the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub(crate) section: String,
    /// Empty: the whole section is there on one side only.
    pub(crate) field: String,
    pub(crate) real: Option<String>,
    pub(crate) ours: Option<String>,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_owned());
        write!(
            f,
            "[{}] {}\n    real: {}\n    ours: {}",
            self.section,
            self.field,
            show(&self.real),
            show(&self.ours)
        )
    }
}

/// Everything in which the two differ.
///
/// # Panics
/// When two sections of one side have the same label.
pub(crate) fn compare(real: &Transcript, ours: &Transcript) -> Vec<Found> {
    let (real, ours) = (by_label(real), by_label(ours));
    let mut found = Vec::new();
    for (label, fields) in &real {
        let Some(others) = ours.get(label) else {
            found.push(whole(label, Some(fields), None));
            continue;
        };
        for (path, value) in fields {
            if others.get(path) != Some(value) {
                found.push(Found {
                    section: (*label).to_owned(),
                    field: (*path).to_owned(),
                    real: Some((*value).to_owned()),
                    ours: others.get(path).map(|value| (*value).to_owned()),
                });
            }
        }
        for (path, value) in others {
            if !fields.contains_key(path) {
                found.push(Found {
                    section: (*label).to_owned(),
                    field: (*path).to_owned(),
                    real: None,
                    ours: Some((*value).to_owned()),
                });
            }
        }
    }
    for (label, fields) in &ours {
        if !real.contains_key(label) {
            found.push(whole(label, None, Some(fields)));
        }
    }
    found
}

type Fields<'a> = BTreeMap<&'a str, &'a str>;

fn by_label(transcript: &Transcript) -> BTreeMap<&str, Fields<'_>> {
    let mut sections = BTreeMap::new();
    for section in &transcript.sections {
        let fields = section.fields.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        assert!(sections.insert(section.label.as_str(), fields).is_none(), "two sections {}", section.label);
    }
    sections
}

fn whole(label: &str, real: Option<&Fields<'_>>, ours: Option<&Fields<'_>>) -> Found {
    let show = |fields: &Fields<'_>| {
        let fields: Vec<String> = fields.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        fields.join("; ")
    };
    Found { section: label.to_owned(), field: String::new(), real: real.map(show), ours: ours.map(show) }
}
