//! Numbers that options take: one that means nothing is refused where it is read.

use clap::builder::RangedU64ValueParser;
use kinglet::RunError;
use kinglet::sample::SamplerOptions;
use kinglet::task::BeamOptions;

/// The most threads that a command is given.
const MAX_THREADS: u64 = 256;

/// Of tokens, texts and runs there is at least one.
pub(super) fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=u32::MAX.into())
}

/// Threads.
pub(super) fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=MAX_THREADS)
}

/// Tokens that go through a layer together.
pub(super) fn tile() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=u16::MAX.into())
}

/// A temperature.
pub(super) fn temperature(text: &str) -> Result<f32, String> {
    checked(text, |temperature| SamplerOptions { temperature, ..SamplerOptions::GREEDY }.check())
}

/// The probability that is kept.
pub(super) fn top_p(text: &str) -> Result<f32, String> {
    checked(text, |top_p| SamplerOptions { top_p, ..SamplerOptions::GREEDY }.check())
}

/// The least fraction of the likeliest token's probability.
pub(super) fn min_p(text: &str) -> Result<f32, String> {
    checked(text, |min_p| SamplerOptions { min_p, ..SamplerOptions::GREEDY }.check())
}

/// A penalty on what was written already.
pub(super) fn repetition_penalty(text: &str) -> Result<f32, String> {
    checked(text, |repetition_penalty| SamplerOptions { repetition_penalty, ..SamplerOptions::GREEDY }.check())
}

/// The power of a text's length.
pub(super) fn length_penalty(text: &str) -> Result<f32, String> {
    checked(text, |length_penalty| BeamOptions { length_penalty, ..BeamOptions::new(1) }.check())
}

/// A number that the runtime takes.
fn checked(text: &str, check: impl Fn(f32) -> Result<(), RunError>) -> Result<f32, String> {
    let number = text.parse().map_err(|_| "it is not a number".to_owned())?;
    check(number).map_err(|error| error.to_string())?;
    Ok(number)
}
