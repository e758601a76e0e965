//! Writing on: one token after the other.

use heapless::VecView;

use crate::format::error::Error;
use crate::format::spec::Direction;
use crate::sample::Sampler;
use crate::session::Session;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct GenerateOptions<'o> {
    /// Write at most so many tokens.
    pub max_new_tokens: usize,
    /// Any of these ends the text; it is written too.
    pub stop: &'o [u32],
    /// Never write these.
    pub suppressed: &'o [u32],
    /// The first token that is written, whatever the model says.
    pub forced_bos: Option<u32>,
    /// The last one, where the length runs out.
    pub forced_eos: Option<u32>,
}

impl GenerateOptions<'_> {
    /// At most so many tokens, with no token treated differently from the others.
    pub const fn new(max_new_tokens: usize) -> Self {
        Self { max_new_tokens, stop: &[], suppressed: &[], forced_bos: None, forced_eos: None }
    }
}

/// Why the text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stop {
    /// A stop token was written.
    Token,
    /// As many tokens were written as were asked for.
    Length,
    /// The session, or the buffer, holds no more.
    Full,
    /// The caller had enough.
    Caller,
}

/// Writes on from the tokens in `text`, in reading order, and adds each new token to it in the order of writing.
///
/// A model that reads backward reads `text` from its end and writes what comes before it: what it adds is to be
/// read from the end. `each` sees every new token and says whether to go on.
///
/// # Errors
/// As [`Session::prefill`]; [`Error::NoTokens`] when there is no text to begin with.
///
/// ```
/// use kinglet::sample::{Sampler, SamplerOptions};
/// use kinglet::task::{GenerateOptions, Stop, generate};
/// use kinglet::{Error, Session};
///
/// /// Twenty tokens after the first, the likeliest each time.
/// fn tell(session: &mut Session, bos: u32) -> Result<Stop, Error> {
///     let mut text = heapless::Vec::<u32, 21>::from_array([bos]);
///     let options = GenerateOptions { stop: &[2], ..GenerateOptions::new(20) };
///     generate(session, &mut text, &options, &mut Sampler::new(SamplerOptions::GREEDY), |_| true)
/// }
/// # let _ = tell;
/// ```
pub fn generate(
    session: &mut Session<'_, '_>,
    text: &mut VecView<u32>,
    options: &GenerateOptions<'_>,
    sampler: &mut Sampler,
    mut each: impl FnMut(u32) -> bool,
) -> Result<Stop, Error> {
    session.reset();
    let spec = session.model().spec();
    let bits = spec.numerics.fraction_bits;
    if spec.direction == Direction::Backward {
        text.reverse();
    }
    let read = session.prefill(text);
    if spec.direction == Direction::Backward {
        text.reverse();
    }
    read?;
    for written in 0..options.max_new_tokens {
        let forced = match written {
            0 if options.forced_bos.is_some() => options.forced_bos,
            _ if written + 1 == options.max_new_tokens => options.forced_eos,
            _ => None,
        };
        let logits = session.logits_mut()?;
        for &token in options.suppressed {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = i32::MIN;
            }
        }
        let token = forced.unwrap_or_else(|| sampler.sample(logits, bits, text));
        if text.push(token).is_err() {
            return Ok(Stop::Full);
        }
        if options.stop.contains(&token) {
            return Ok(Stop::Token);
        }
        if !each(token) {
            return Ok(Stop::Caller);
        }
        if session.remaining() == 0 {
            return Ok(Stop::Full);
        }
        session.prefill(&[token])?;
    }
    Ok(Stop::Length)
}
