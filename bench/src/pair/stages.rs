//! The stages of a takeover, from the line in which the new ACTIVE one tells them.

use std::time::Duration;

use milvus_coord_bench::duration::parse;

/// What the line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Takeover {
    /// How the death was known: `certain`, `hint`, …
    pub(crate) verdict: String,
    /// Each stage with its duration, in the order of the line.
    pub(crate) stages: Vec<(String, Duration)>,
}

/// Reads `… ["takeover done"] [verdict=certain] [epoch=168] [detected=300µs] …`.
pub(crate) fn stages(line: &str) -> Takeover {
    let mut takeover = Takeover::default();
    for field in line.split('[').filter_map(|part| part.split_once(']')).map(|(field, _)| field) {
        match field.split_once('=') {
            Some(("verdict", verdict)) => takeover.verdict = verdict.to_owned(),
            Some((stage, took)) => {
                if let Some(took) = parse(took) {
                    takeover.stages.push((stage.to_owned(), took));
                }
            }
            None => {}
        }
    }
    takeover
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_come_in_order_and_other_fields_are_none() {
        let line = r#"[2026/11/21 01:32:17.565 +00:00] [INFO] [election/driver.rs:7] ["takeover done"] [verdict=certain] [epoch=168] [detected=300µs] [won=1.1ms] [serving=0s] [total=2ms]"#;
        let micros = Duration::from_micros;
        let expected = [
            ("detected", micros(300)),
            ("won", micros(1100)),
            ("serving", micros(0)),
            ("total", micros(2000)),
        ];
        assert_eq!(
            stages(line),
            Takeover {
                verdict: "certain".to_owned(),
                stages: expected.map(|(stage, took)| (stage.to_owned(), took)).to_vec(),
            }
        );
    }
}
