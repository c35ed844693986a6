//! What values a key may have, and how its text is read.
//!
//! Milvus reads wrong text as zero or false without a word; here it is an error that
//! says what would be right. What Milvus reads, reads the same: `1 t T TRUE true True`
//! are true, integers are decimal, an empty text is zero, false or nothing, a duration
//! may have a fraction.

use std::time::Duration;

/// What one unit of a duration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// In words: `milliseconds`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Millis => "milliseconds",
            Self::Seconds => "seconds",
        }
    }

    fn seconds(self) -> f64 {
        match self {
            Self::Millis => 0.001,
            Self::Seconds => 1.0,
        }
    }

    fn whole(self, count: u64) -> Duration {
        match self {
            Self::Millis => Duration::from_millis(count),
            Self::Seconds => Duration::from_secs(count),
        }
    }
}

/// The values that a key may have.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// True or false.
    Flag,
    /// A whole number between two bounds, both allowed.
    Number {
        /// The smallest.
        least: i64,
        /// The greatest.
        most: i64,
    },
    /// A time between two bounds, both allowed, given in units; fractions are allowed.
    Time {
        /// What 1 means.
        unit: Unit,
        /// The shortest, in units.
        least: u32,
        /// The longest, in units.
        most: u32,
    },
    /// Any number that is not infinite.
    Decimal,
    /// A part of a whole: more than 0, at most 1.
    Share,
    /// Any text, or none.
    Text,
    /// Text that may not be empty.
    Name,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// Items separated by commas; blanks count. None, if the text is empty.
    List,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Flag(bool),
    Number(i64),
    Time(Duration),
    Decimal(f64),
    Text(String),
    List(Vec<String>),
}

impl Value {
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Self::Flag(_) => "a flag",
            Self::Number(_) => "a number",
            Self::Time(_) => "a time",
            Self::Decimal(_) => "a decimal number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
        }
    }
}

impl Kind {
    /// Reads `text`. The error says what would be right: `must be …`.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        match *self {
            Self::Flag => flag(text).map(Value::Flag).ok_or_else(|| "must be true or false".into()),
            Self::Number { least, most } => number(text, least, most).map(Value::Number),
            Self::Time { unit, least, most } => time(text, unit, least, most).map(Value::Time),
            Self::Decimal => decimal(text, |_| true).ok_or_else(|| "must be a number".into()),
            Self::Share => decimal(text, |number| number > 0.0 && number <= 1.0)
                .ok_or_else(|| "must be a number, more than 0 and at most 1".into()),
            Self::Text => Ok(Value::Text(text.into())),
            Self::Name if text.is_empty() => Err("must not be empty".into()),
            Self::Name => Ok(Value::Text(text.into())),
            Self::Choice(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text) || same_number(word, text))
                .map(|word| Value::Text((*word).into()))
                .ok_or_else(|| format!("must be one of {}", words.join(", "))),
            Self::List if text.is_empty() => Ok(Value::List(Vec::new())),
            Self::List => Ok(Value::List(text.split(',').map(Into::into).collect())),
        }
    }

    /// In words, for the comments of the sample file; empty where the value says it.
    pub(crate) fn describe(&self) -> String {
        match *self {
            Self::Number { least, most } if most == i64::MAX => format!("at least {least}"),
            Self::Number { least, most } => format!("{least} to {most}"),
            Self::Time { unit, least, most } => format!("{}, {least} to {most}", unit.name()),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::List => "separated by commas".into(),
            Self::Share => "more than 0, at most 1".into(),
            Self::Flag | Self::Decimal | Self::Text | Self::Name => String::new(),
        }
    }
}

/// A file's `1.0` arrives as `1`.
fn same_number(word: &str, text: &str) -> bool {
    matches!((word.parse::<f64>(), text.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" | "" => Some(false),
        _ => None,
    }
}

fn decimal(text: &str, is_right: impl Fn(f64) -> bool) -> Option<Value> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && is_right(*number))?;
    Some(Value::Decimal(number))
}

fn number(text: &str, least: i64, most: i64) -> Result<i64, String> {
    let value = if text.is_empty() { Ok(0) } else { text.parse() };
    match value {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ if most == i64::MAX => Err(format!("must be a whole number, at least {least}")),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

fn time(text: &str, unit: Unit, least: u32, most: u32) -> Result<Duration, String> {
    let value = match text {
        "" => Some(Duration::ZERO),
        _ => match text.parse::<u64>() {
            Ok(count) if count <= u64::from(most) => Some(unit.whole(count)),
            Ok(_) => None,
            Err(_) => {
                text.parse::<f64>().ok().and_then(|n| Duration::try_from_secs_f64(n * unit.seconds()).ok())
            }
        },
    };
    let allowed = unit.whole(least.into())..=unit.whole(most.into());
    value
        .filter(|value| allowed.contains(value))
        .ok_or_else(|| format!("must be a time in {}, from {least} to {most}", unit.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(kind: Kind, text: &str, value: Value) {
        assert_eq!(kind.read(text), Ok(value), "{text:?}");
    }

    #[track_caller]
    fn bad(kind: Kind, text: &str, what: &str) {
        assert_eq!(kind.read(text), Err(what.into()), "{text:?}");
    }

    #[test]
    fn flags_are_what_go_reads_and_nothing_else() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            good(Kind::Flag, text, Value::Flag(true));
        }
        for text in ["0", "f", "F", "FALSE", "false", "False", ""] {
            good(Kind::Flag, text, Value::Flag(false));
        }
        for text in ["yes", "tRUE", "on", "2", " true"] {
            bad(Kind::Flag, text, "must be true or false");
        }
    }

    #[test]
    fn numbers_keep_their_bounds_and_empty_is_zero() {
        let port = Kind::Number { least: 0, most: 65535 };
        good(port, "53100", Value::Number(53100));
        good(port, "+1", Value::Number(1));
        good(port, "", Value::Number(0));
        for text in ["-1", "65536", "1.0", "0x10", "1_000", " 1", "99999999999999999999"] {
            bad(port, text, "must be a whole number from 0 to 65535");
        }
        let count = Kind::Number { least: 1, most: i64::MAX };
        bad(count, "", "must be a whole number, at least 1");
        good(count, "9223372036854775807", Value::Number(i64::MAX));
    }

    #[test]
    fn times_have_units_and_may_have_fractions() {
        let backoff = Kind::Time { unit: Unit::Seconds, least: 0, most: 60 };
        good(backoff, "10", Value::Time(Duration::from_secs(10)));
        good(backoff, "0.2", Value::Time(Duration::from_millis(200)));
        good(backoff, "", Value::Time(Duration::ZERO));
        for text in ["-1", "61", "60.5", "NaN", "inf", "1s", "1e300", "18446744073709551615"] {
            bad(backoff, text, "must be a time in seconds, from 0 to 60");
        }
        let timeout = Kind::Time { unit: Unit::Millis, least: 1, most: 5000 };
        good(timeout, "1500", Value::Time(Duration::from_millis(1500)));
        good(timeout, "1.5", Value::Time(Duration::from_micros(1500)));
        bad(timeout, "0", "must be a time in milliseconds, from 1 to 5000");
    }

    #[test]
    fn numbers_with_fractions() {
        good(Kind::Decimal, "-1", Value::Decimal(-1.0));
        good(Kind::Decimal, "1e3", Value::Decimal(1000.0));
        for text in ["", "much", "NaN", "inf", "1e400", "1 MB"] {
            bad(Kind::Decimal, text, "must be a number");
        }
        good(Kind::Share, "0.85", Value::Decimal(0.85));
        good(Kind::Share, "1", Value::Decimal(1.0));
        for text in ["0", "1.01", "-0.5", "85%"] {
            bad(Kind::Share, text, "must be a number, more than 0 and at most 1");
        }
    }

    #[test]
    fn words_and_lists() {
        good(Kind::Text, "", Value::Text(String::new()));
        bad(Kind::Name, "", "must not be empty");
        good(Kind::Choice(&["text", "json"]), "JSON", Value::Text("json".into()));
        good(Kind::Choice(&["1.0", "1.1"]), "1", Value::Text("1.0".into()));
        bad(Kind::Choice(&["text", "json"]), "xml", "must be one of text, json");
        good(Kind::List, "a, b,", Value::List(vec!["a".into(), " b".into(), String::new()]));
        good(Kind::List, "", Value::List(vec![]));
    }
}
