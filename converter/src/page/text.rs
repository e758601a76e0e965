//! Formats numbers and text for a page.

use core::fmt::{self, Display};

/// Text with HTML's special characters escaped.
pub(super) struct Escaped<'t>(pub(super) &'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            letter => write!(f, "{letter}"),
        })
    }
}

/// A number of bytes with a binary unit.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.2} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A number with thousands separators.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|part| str::from_utf8(part).ok()).collect();
    parts.join(",")
}

/// A number with two digits and a power of ten.
pub(super) fn scientific(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let written = format!("{number:.1e}");
    let (digits, power) = written.split_once('e').unwrap_or((&written, "0"));
    let raised = power.chars().map(|letter| match letter.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    });
    format!("{digits}·10{}", raised.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_people_read_them() {
        assert_eq!((grouped(0), grouped(999), grouped(22_713_216)), ("0".into(), "999".into(), "22,713,216".into()));
        assert_eq!((size(512), size(2048), size(3 << 20)), ("512 B".into(), "2.0 KiB".into(), "3.00 MiB".into()));
        assert_eq!((scientific(0.0), scientific(6.94e-12)), ("0".into(), "6.9·10⁻¹²".into()));
        assert_eq!(Escaped("<a & \"b\">").to_string(), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
