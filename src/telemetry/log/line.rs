//! One line of the log, in Milvus's text form or as JSON.
//!
//! ```text
//! [2026/11/21 01:32:17.565 +00:00] [INFO] [dir/file.rs:12] [message] ["a key"=value] [empty=]
//! {"level":"INFO","time":"…","caller":"dir/file.rs:12","message":"message","a key":"value"}
//! ```
//!
//! Text is quoted if, and only if, it contains a byte up to 0x20 or one of `\ " [ ] =`.

use std::fmt::{self, Write};

use jiff::{Timestamp, tz::TimeZone};
use tracing::Level;

use crate::clock::UnixNanos;

/// How lines look: `log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Milvus's own.
    #[default]
    Text,
    /// One JSON object per line, with the same keys.
    Json,
}

/// What every line begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) at: UnixNanos,
    pub(super) level: Level,
    /// The path of the source file as the compiler knows it, and the line.
    pub(super) caller: Option<(&'a str, u32)>,
    pub(super) message: &'a str,
}

/// Turns what happened into bytes.
#[derive(Clone, Debug)]
pub(super) struct Formatter {
    pub(super) format: LogFormat,
    pub(super) zone: TimeZone,
}

impl Formatter {
    /// The whole line, its end included. `fields` have been rendered by [`Fields`] of the same format.
    pub(super) fn line(&self, head: Head<'_>, fields: [&str; 2]) -> String {
        let [first, rest] = fields;
        let mut out = String::with_capacity(96 + head.message.len() + first.len() + rest.len());
        match self.format {
            LogFormat::Text => {
                out.push('[');
                self.push_time(&mut out, head.at);
                out.push_str("] [");
                out.push_str(level_name(head.level));
                out.push(']');
                if let Some((path, line)) = head.caller {
                    out.push_str(" [");
                    push_rendered(&mut out, format_args!("{}:{line}", last_folder_and_file(path)));
                    out.push(']');
                }
                if !head.message.is_empty() {
                    out.push_str(" [");
                    push_text(&mut out, head.message);
                    out.push(']');
                }
                out.push_str(first);
                out.push_str(rest);
            }
            LogFormat::Json => {
                out.push_str(r#"{"level":""#);
                out.push_str(level_name(head.level));
                out.push_str(r#"","time":""#);
                self.push_time(&mut out, head.at);
                out.push('"');
                if let Some((path, line)) = head.caller {
                    out.push_str(r#","caller":"#);
                    push_string(&mut out, &format!("{}:{line}", last_folder_and_file(path)));
                }
                out.push_str(r#","message":"#);
                push_string(&mut out, head.message);
                out.push_str(first);
                out.push_str(rest);
                out.push('}');
            }
        }
        out.push('\n');
        out
    }

    fn push_time(&self, out: &mut String, at: UnixNanos) {
        let at = Timestamp::from_nanosecond(at.0.into()).unwrap_or(Timestamp::MAX);
        let offset = self.zone.to_offset(at);
        let local = offset.to_datetime(at);
        let (sign, ahead) =
            if offset.seconds() < 0 { ('-', -offset.seconds()) } else { ('+', offset.seconds()) };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "{:04}/{:02}/{:02} {:02}:{:02}:{:02}.{:03} {sign}{:02}:{:02}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second(),
            local.millisecond(),
            ahead / 3600,
            ahead / 60 % 60,
        );
    }
}

/// The fields of a line, rendered one after the other.
#[derive(Debug)]
pub(super) struct Fields {
    format: LogFormat,
    rendered: String,
}

impl Fields {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, rendered: String::new() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.rendered
    }

    /// Adds what another collection of the same format holds.
    pub(super) fn append(&mut self, other: &Self) {
        self.rendered.push_str(&other.rendered);
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        match self.format {
            LogFormat::Text => push_text(&mut self.rendered, value),
            LogFormat::Json => push_string(&mut self.rendered, value),
        }
        self.end();
    }

    pub(super) fn rendered(&mut self, key: &str, value: fmt::Arguments<'_>) {
        match self.format {
            LogFormat::Text => {
                self.key(key);
                push_rendered(&mut self.rendered, value);
                self.end();
            }
            LogFormat::Json => self.text(key, &value.to_string()),
        }
    }

    /// A number or a truth value: never quoted.
    pub(super) fn bare(&mut self, key: &str, value: fmt::Arguments<'_>) {
        self.key(key);
        let _ = self.rendered.write_fmt(value);
        self.end();
    }

    fn key(&mut self, key: &str) {
        match self.format {
            LogFormat::Text => {
                self.rendered.push_str(" [");
                push_text(&mut self.rendered, key);
                self.rendered.push('=');
            }
            LogFormat::Json => {
                self.rendered.push(',');
                push_string(&mut self.rendered, key);
                self.rendered.push(':');
            }
        }
    }

    fn end(&mut self) {
        if self.format == LogFormat::Text {
            self.rendered.push(']');
        }
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        // The original has nothing below.
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

fn last_folder_and_file(path: &str) -> &str {
    match path.rmatch_indices('/').nth(1) {
        Some((slash, _)) => &path[slash + 1..],
        None => path,
    }
}

fn needs_quotes(text: &str) -> bool {
    text.bytes().any(|byte| byte <= 0x20 || matches!(byte, b'\\' | b'"' | b'[' | b']' | b'='))
}

/// Text in the text form: quoted where it must be.
fn push_text(out: &mut String, text: &str) {
    if needs_quotes(text) {
        push_string(out, text);
    } else {
        out.push_str(text);
    }
}

/// The same for what is yet to be rendered; a second copy is made only to quote it.
fn push_rendered(out: &mut String, value: fmt::Arguments<'_>) {
    let start = out.len();
    // A `Display` that fails leaves what it has written so far.
    let _ = out.write_fmt(value);
    if needs_quotes(&out[start..]) {
        let raw = out.split_off(start);
        push_string(out, &raw);
    }
}

/// Text between quotes, escaped so that it is a JSON string.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'\\' && byte != b'"' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'\\' => out.push_str(r"\\"),
            b'"' => out.push_str("\\\""),
            b'\n' => out.push_str(r"\n"),
            b'\r' => out.push_str(r"\r"),
            b'\t' => out.push_str(r"\t"),
            control => {
                let _ = write!(out, r"\u{control:04x}");
            }
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_shanghai(format: LogFormat) -> Formatter {
        Formatter { format, zone: TimeZone::fixed(jiff::tz::offset(8)) }
    }

    // 2022/09/21 11:58:33.855 +08:00
    const AT: UnixNanos = UnixNanos(1_663_732_713_855_999_999);

    fn head<'a>(message: &'a str) -> Head<'a> {
        Head { at: AT, level: Level::INFO, caller: Some(("src/election/life.rs", 690)), message }
    }

    #[test]
    fn a_line_of_the_guide() {
        let mut fields = Fields::new(LogFormat::Text);
        fields.bare("ServerID", format_args!("19"));
        let line = in_shanghai(LogFormat::Text)
            .line(head("register ACTIVE service successfully"), ["", fields.as_str()]);
        assert_eq!(
            line,
            "[2022/09/21 11:58:33.855 +08:00] [INFO] [election/life.rs:690] \
             [\"register ACTIVE service successfully\"] [ServerID=19]\n"
        );
    }

    #[test]
    fn the_time_is_local_and_cut_to_milliseconds() {
        for (zone, at, expected) in [
            (TimeZone::UTC, AT, "2022/09/21 03:58:33.855 +00:00"),
            (
                TimeZone::fixed(jiff::tz::Offset::from_seconds(-12_600).unwrap()),
                AT,
                "2022/09/21 00:28:33.855 -03:30",
            ),
            (TimeZone::UTC, UnixNanos(0), "1970/01/01 00:00:00.000 +00:00"),
            (TimeZone::UTC, UnixNanos(u64::MAX), "2554/07/21 23:34:33.709 +00:00"),
        ] {
            let mut out = String::new();
            Formatter { format: LogFormat::Text, zone }.push_time(&mut out, at);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn quoting() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("by-dev/meta/session/rootcoord", "by-dev/meta/session/rootcoord"),
            ("127.0.0.1:53100", "127.0.0.1:53100"),
            ("{1,2}", "{1,2}"),
            ("two words", r#""two words""#),
            ("a=b", r#""a=b""#),
            ("[1 2]", r#""[1 2]""#),
            ("]", r#""]""#),
            (r#"{"k":"v"}"#, r#""{\"k\":\"v\"}""#),
            (r"C:\x", r#""C:\\x""#),
            ("line\nbreak\r\ttab", r#""line\nbreak\r\ttab""#),
            ("\0\x1b[31m\x1f", r#""\u0000\u001b[31m\u001f""#),
            ("\x7f", "\x7f"),
            ("协调器", "协调器"),
            ("协 调", "\"协 调\""),
            ("\u{2028}", "\u{2028}"),
        ] {
            let mut whole = String::new();
            push_text(&mut whole, text);
            assert_eq!(whole, expected, "{text:?}");

            let mut rendered = String::from("[=");
            push_rendered(&mut rendered, format_args!("{text}"));
            assert_eq!(rendered, format!("[={expected}"), "{text:?} rendered");
        }
    }

    #[test]
    fn fields_in_order_with_quoted_keys_and_empty_values() {
        let mut fields = Fields::new(LogFormat::Text);
        fields.bare("Server Id", format_args!("3"));
        fields.text("path", "");
        fields.rendered("took", format_args!("{:?}", std::time::Duration::from_millis(1500)));
        assert_eq!(fields.as_str(), r#" ["Server Id"=3] [path=] [took=1.5s]"#);
    }

    #[test]
    fn a_long_value_is_kept_whole() {
        let long = "x".repeat(300_000);
        let mut fields = Fields::new(LogFormat::Text);
        fields.text("long", &long);
        let line = in_shanghai(LogFormat::Text).line(head("m"), ["", fields.as_str()]);
        assert!(line.ends_with(&format!("[m] [long={long}]\n")));
    }

    #[test]
    fn what_is_unknown_or_empty_is_left_out() {
        let line = in_shanghai(LogFormat::Text)
            .line(Head { caller: None, level: Level::TRACE, ..head("") }, [" [a=1]", ""]);
        assert_eq!(line, "[2022/09/21 11:58:33.855 +08:00] [DEBUG] [a=1]\n");
    }

    #[test]
    fn callers() {
        for (path, expected) in [
            ("src/main.rs", "src/main.rs"),
            ("src/telemetry/log/line.rs", "log/line.rs"),
            ("/root/.cargo/h2-0.4/src/codec/read.rs", "codec/read.rs"),
            ("main.rs", "main.rs"),
        ] {
            assert_eq!(last_folder_and_file(path), expected);
        }
    }

    #[test]
    fn json_is_json() {
        let mut fields = Fields::new(LogFormat::Json);
        fields.text("key \"1\"", "a\u{1}\n\"\\协");
        fields.bare("n", format_args!("-7"));
        fields.rendered("took", format_args!("1.5s"));
        let line = in_shanghai(LogFormat::Json).line(head("[x]"), ["", fields.as_str()]);
        assert!(line.ends_with("}\n"));
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            parsed,
            serde_json::json!({
                "level": "INFO",
                "time": "2022/09/21 11:58:33.855 +08:00",
                "caller": "election/life.rs:690",
                "message": "[x]",
                "key \"1\"": "a\u{1}\n\"\\协",
                "n": -7,
                "took": "1.5s",
            })
        );
    }

    proptest::proptest! {
        /// Whatever stands in a key or a value, it stays on its line and can be read back.
        #[test]
        fn nothing_escapes_from_its_quotes(key: String, value: String) {
            for format in [LogFormat::Text, LogFormat::Json] {
                let mut fields = Fields::new(format);
                fields.text(&key, &value);
                let line = in_shanghai(format).line(head(&value), [fields.as_str(), ""]);
                assert!(line.bytes().rev().skip(1).all(|byte| byte >= 0x20), "{line:?}");
                if format == LogFormat::Json {
                    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
                    assert!(parsed[&key] == value.as_str() || ["level", "time", "caller", "message"].contains(&key.as_str()));
                }
            }
            let mut text = String::new();
            push_text(&mut text, &value);
            let read = match text.strip_prefix('"') {
                Some(_) => serde_json::from_str(&text).unwrap(),
                None => text,
            };
            assert_eq!(read, value);
        }
    }
}
