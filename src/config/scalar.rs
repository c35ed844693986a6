//! YAML scalars as text. Milvus reads its files with a YAML 1.1 resolver (`yes` and
//! `on` are booleans, `0777` is octal) and then keeps every value as the shortest
//! text that means the same: `1.30` becomes `1.3`, `1e3` becomes `1000`.

/// The text of a plain (unquoted, untagged) scalar.
pub(crate) fn plain_text(raw: &str) -> String {
    match raw {
        "" | "~" | "null" | "Null" | "NULL" => String::new(),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => "true".into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            "false".into()
        }
        ".nan" | ".NaN" | ".NAN" => "NaN".into(),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => "+Inf".into(),
        "-.inf" | "-.Inf" | "-.INF" => "-Inf".into(),
        _ => number_text(raw).unwrap_or_else(|| raw.to_owned()),
    }
}

fn number_text(raw: &str) -> Option<String> {
    if !raw.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let digits = raw.replace('_', "");
    integer(&digits).map(|n| n.to_string()).or_else(|| fraction(&digits))
}

/// An integer of 64 bits, signed or not, in the base that its prefix names.
fn integer(text: &str) -> Option<i128> {
    let (negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, base) = match magnitude.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&magnitude[2..], 16),
        [b'0', b'o' | b'O', ..] => (&magnitude[2..], 8),
        [b'0', b'b' | b'B', ..] => (&magnitude[2..], 2),
        [b'0', _, ..] => (&magnitude[1..], 8),
        _ => (magnitude, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, base).ok()?);
    let value = if negative { -value } else { value };
    (value >= i128::from(i64::MIN)).then_some(value)
}

fn fraction(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let only_number_characters =
        unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if !only_number_characters || !unsigned.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::plain_text;

    #[test]
    fn plain_scalars_become_their_shortest_text() {
        for (raw, text) in [
            ("true", "true"),
            ("on", "true"),
            ("No", "false"),
            ("~", ""),
            ("null", ""),
            ("0.23", "0.23"),
            ("1.30", "1.3"),
            ("16.0", "16"),
            ("1e3", "1000"),
            (".5", "0.5"),
            ("-1", "-1"),
            ("+7", "7"),
            ("536870912", "536870912"),
            ("18446744073709551615", "18446744073709551615"),
            ("1_000", "1000"),
            ("0x1F", "31"),
            ("0777", "511"),
            ("0b101", "5"),
            ("08", "8"),
            ("00", "0"),
            ("-012", "-10"),
            ("0o17", "15"),
            ("-0x10", "-16"),
            ("0x1_F", "31"),
            ("99999999999999999999", "100000000000000000000"),
            ("-0", "0"),
            ("-0.0", "-0"),
            ("12e-7", "0.0000012"),
            ("1.", "1"),
            ("5.e1", "50"),
            ("+.5", "0.5"),
            ("4_2.5", "42.5"),
            ("09.5", "9.5"),
            ("1.0", "1"),
        ] {
            assert_eq!(plain_text(raw), text, "{raw}");
        }
    }

    #[test]
    fn what_only_resembles_a_number_stays_as_it_is() {
        for raw in [
            "1.2.3.4",
            "10.0.0.1:2379",
            "2026-11-21",
            "1e",
            "-",
            "+",
            ".",
            "0x",
            "0xZZ",
            "1-2",
            "nodes",
            "1e400",
            "1:30",
            "_1",
            "nan",
            "infinity",
            "0x1p4",
            ".e1",
            "é1",
        ] {
            assert_eq!(plain_text(raw), raw);
        }
    }
}
