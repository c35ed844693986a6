//! Values in error texts as Go's `%v` prints them.

use std::fmt;

/// A list: `[1 2 3]`.
#[derive(Clone, Copy, Debug)]
pub struct List<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if i == 0 { "" } else { " " })?;
        }
        f.write_str("]")
    }
}

/// A number with a fraction: the shortest digits that read back the same, with an
/// exponent below 1e-4 and from 1e21 on.
#[derive(Clone, Copy, Debug)]
pub struct Float<T>(pub T);

macro_rules! float {
    ($type:ty) => {
        impl fmt::Display for Float<$type> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = self.0;
                if value.is_nan() {
                    return f.write_str("NaN");
                }
                if value.is_infinite() {
                    return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
                }
                let size = value.abs();
                if size == 0.0 || (1e-4..1e21).contains(&size) {
                    return write!(f, "{value}");
                }
                let text = format!("{value:e}");
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, exponent) = match exponent.strip_prefix('-') {
                    Some(exponent) => ('-', exponent),
                    None => ('+', exponent),
                };
                write!(f, "{digits}e{sign}{exponent:0>2}")
            }
        }
    };
}

float!(f32);
float!(f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_in_go() {
        assert_eq!(List(&[1, 2, 3]).to_string(), "[1 2 3]");
        assert_eq!(List::<i64>(&[]).to_string(), "[]");
        let table: [(f64, &str); 12] = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.5, "0.5"),
            (100_000_000.0, "100000000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in table {
            assert_eq!(Float(value).to_string(), text);
        }
        assert_eq!(Float(0.1_f32).to_string(), "0.1");
    }
}
