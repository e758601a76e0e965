//! Writing on: one token after the other.

use heapless::VecView;

use crate::format::error::Error;
use crate::format::spec::Direction;
use crate::sample::Sampler;
use crate::session::Session;

use super::Choices;

/// When to stop, and what may be written.
#[derive(Clone, Copy, Debug)]
pub struct GenerateOptions<'o> {
    /// Write at most so many tokens.
    pub max_new_tokens: usize,
    /// Any of these ends the text; it is written too.
    pub stop: &'o [u32],
    /// Any of these sequences of tokens ends the text; it is written too.
    pub stop_sequences: &'o [&'o [u32]],
    /// Do not write a stop token before so many others.
    pub min_new_tokens: usize,
    /// Never write these.
    pub suppressed: &'o [u32],
    /// Do not begin with these; where the first token is forced, do not write them second.
    pub suppressed_first: &'o [u32],
    /// Never write the last token of one of these where the text, what was given included, ends with those before it.
    pub bad_words: &'o [&'o [u32]],
    /// No run of so many tokens comes twice, what was given included; 0 allows all.
    pub no_repeat_ngram_size: usize,
    /// Write one of these, and nothing else. A stop token ends one that begins others.
    pub choices: Option<Choices<'o>>,
    /// What is written after a text of one token, whatever the model says. A longer text has its beginning already.
    pub forced_bos: Option<u32>,
    /// The last one, where the length runs out.
    pub forced_eos: Option<u32>,
}

impl GenerateOptions<'_> {
    /// At most so many tokens, with no token treated differently from the others.
    pub const fn new(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            stop: &[],
            stop_sequences: &[],
            min_new_tokens: 0,
            suppressed: &[],
            suppressed_first: &[],
            bad_words: &[],
            no_repeat_ngram_size: 0,
            choices: None,
            forced_bos: None,
            forced_eos: None,
        }
    }
}

/// Why the text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stop {
    /// A stop token, a stop sequence or one of the choices was written.
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
/// read from the end.
///
/// `each` is called once for every token that is added, in order: for the one that ends the text, too, be it a stop token or the
/// last of a stop sequence or of a choice. It says whether to go on; where the text has ended already, that is
/// [`Stop::Token`] whatever it says. A token that `text` has no room for is not chosen.
///
/// The last token that is added may be unread: the session then holds all of `text` but that.
///
/// # Errors
/// As [`Session::prefill`]; [`Error::NoTokens`] when there is no text to begin with; [`Error::AllSuppressed`] when the options let
/// nothing follow, with what was written until then in `text`.
///
/// ```
/// use kinglet::sample::Sampler;
/// use kinglet::task::{GenerateOptions, Stop, generate};
/// use kinglet::{Error, Session};
///
/// /// Twenty tokens after the first, the likeliest each time.
/// fn tell(session: &mut Session, bos: u32) -> Result<Stop, Error> {
///     let mut text = heapless::Vec::<u32, 21>::from_array([bos]);
///     let options = GenerateOptions { stop: &[2], ..GenerateOptions::new(20) };
///     generate(session, &mut text, &options, &mut Sampler::greedy(), |_| true)
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
    let begun = text.len();
    for _ in 0..options.max_new_tokens {
        if text.is_full() {
            return Ok(Stop::Full);
        }
        let logits = session.logits_mut()?;
        let token = match options.forced(text, begun) {
            Some(token) => token,
            None => {
                options.suppress(text, begun, logits);
                sampler.sample(logits, bits, text)?
            }
        };
        // There is room: it was asked for.
        let _ = text.push(token);
        let going_on = each(token);
        if options.is_done(text, begun) {
            return Ok(Stop::Token);
        }
        if !going_on {
            return Ok(Stop::Caller);
        }
        if session.remaining() == 0 {
            return Ok(Stop::Full);
        }
        session.prefill(&[token])?;
    }
    Ok(Stop::Length)
}
