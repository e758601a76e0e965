//! Parses the numbers of options, and refuses numbers without a meaning.

use clap::builder::RangedU64ValueParser;
use kinglet::RunError;
use kinglet::sample::SamplerOptions;
use kinglet::task::BeamOptions;

/// The most threads that a command takes.
const MAX_THREADS: u64 = 256;

/// A number of tokens, texts or runs.
pub(super) fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=u32::MAX.into())
}

/// A number of threads.
pub(super) fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=MAX_THREADS)
}

/// A tile: the number of tokens that go through a layer together.
pub(super) fn tile() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=u16::MAX.into())
}

/// A size in bytes: a number, with K for 1024 bytes or M for 1024 K.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let said = text.trim_end_matches(['b', 'B']).trim_end_matches('i');
    let (digits, unit) = match said.char_indices().last() {
        Some((at, 'k' | 'K')) => (&said[..at], 1024.0),
        Some((at, 'm' | 'M')) => (&said[..at], 1024.0 * 1024.0),
        _ => (said, 1.0),
    };
    let number: f64 = digits.trim().parse().map_err(|_| "it is not a size such as 512K or 16.6M".to_owned())?;
    if number > 0.0 && number.is_finite() {
        Ok((number * unit) as u64)
    } else {
        Err("it must be larger than 0".to_owned())
    }
}

/// A finite number above 0.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err("it must be larger than 0".to_owned()) }
}

/// A sampling temperature.
pub(super) fn temperature(text: &str) -> Result<f32, String> {
    checked(text, |temperature| SamplerOptions { temperature, ..SamplerOptions::GREEDY }.check())
}

/// The probability that top-p sampling keeps.
pub(super) fn top_p(text: &str) -> Result<f32, String> {
    checked(text, |top_p| SamplerOptions { top_p, ..SamplerOptions::GREEDY }.check())
}

/// The least probability that min-p sampling keeps, as a fraction of the likeliest token's.
pub(super) fn min_p(text: &str) -> Result<f32, String> {
    checked(text, |min_p| SamplerOptions { min_p, ..SamplerOptions::GREEDY }.check())
}

/// A penalty on repeated tokens.
pub(super) fn repetition_penalty(text: &str) -> Result<f32, String> {
    checked(text, |repetition_penalty| SamplerOptions { repetition_penalty, ..SamplerOptions::GREEDY }.check())
}

/// The power of the length that divides a beam's score.
pub(super) fn length_penalty(text: &str) -> Result<f32, String> {
    checked(text, |length_penalty| BeamOptions { length_penalty, ..BeamOptions::new(1) }.check())
}

/// Parses a number and applies the runtime's own check to it.
fn checked(text: &str, check: impl Fn(f32) -> Result<(), RunError>) -> Result<f32, String> {
    let number = text.parse().map_err(|_| "it is not a number".to_owned())?;
    check(number).map_err(|error| error.to_string())?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, bytes) in [
            ("1", 1),
            ("512K", 524_288),
            ("4M", 4_194_304),
            ("16.6M", 17_406_361),
            ("256KiB", 262_144),
            ("2 MB", 2_097_152),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1K", "0", "4G", "1e400", "nan"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(positive("64"), Ok(64.0));
        assert!(["0", "-3", "inf", "x"].iter().all(|text| positive(text).is_err()));
    }
}
