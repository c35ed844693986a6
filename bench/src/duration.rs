//! Durations as Go writes them, and as a table shows them.

use std::time::Duration;

/// `1m2.5s`, `1.1ms`, `300µs`, `0s`; nothing else: a bare number is no duration.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut whole = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "μs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        rest = &rest[unit..];
        // Through whole nanoseconds: 1.1 ms is to be 1,100 µs exactly.
        whole += Duration::from_nanos((number * seconds * 1e9).round() as u64);
    }
    (!text.is_empty()).then_some(whole)
}

/// Three digits that matter: `24.5 s`, `9.87 ms`, `300 µs`.
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (number, unit) = if seconds >= 1.0 {
        (seconds, "s")
    } else if seconds >= 1e-3 {
        (seconds * 1e3, "ms")
    } else {
        (seconds * 1e6, "µs")
    };
    let decimals = if number >= 100.0 {
        0
    } else if number >= 10.0 {
        1
    } else {
        2
    };
    format!("{number:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, nanos) in
            [("0s", 0), ("300µs", 300_000), ("1.1ms", 1_100_000), ("1m2.5s", 62_500_000_000), ("168ns", 168)]
        {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "168", "certain", "5 s", "s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn three_digits_are_shown() {
        for (micros, text) in
            [(24_512_345, "24.5 s"), (9_871, "9.87 ms"), (300, "300 µs"), (123_456, "123 ms")]
        {
            assert_eq!(show(Duration::from_micros(micros)), text);
        }
    }
}
