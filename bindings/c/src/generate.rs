//! Text generation.

use core::ffi::{c_char, c_void};

use kinglet::task::{GenerateOptions, Generation, Grammar, Stop, TokenBuffer, TokenSlice};

use crate::engine::{call, kinglet_engine};
use crate::pointers::{read, slice, slice_mut, write};
use crate::sample::kinglet_sampling;
use crate::status::kinglet_status;

/// When to stop, and which tokens may be generated. kinglet_generate_options_default returns a
/// value to start from.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kinglet_generate_options {
    /// The maximum number of new tokens.
    pub max_new_tokens: usize,
    /// The minimum number of new tokens before a stop token.
    pub min_new_tokens: usize,
    /// No sequence of this length occurs twice in the text, including the given tokens; 0 for no
    /// limit.
    pub no_repeat_ngram_size: usize,
    /// Tokens that end the text.
    pub stop: *const u32,
    /// The number of stop tokens.
    pub stop_count: usize,
    /// Tokens that are never generated.
    pub suppressed: *const u32,
    /// The number of suppressed tokens.
    pub suppressed_count: usize,
    /// The grammar that the text follows: a table that `kinglet grammar` compiled for the model's
    /// tokenizer. Null for any text.
    pub grammar: *const u8,
    /// The bytes of the grammar.
    pub grammar_bytes: usize,
}

/// Why a text ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum kinglet_stop {
    /// A stop token was generated.
    KINGLET_STOP_TOKEN,
    /// `max_new_tokens` tokens were generated.
    KINGLET_STOP_LENGTH,
    /// The session or the array of tokens is full.
    KINGLET_STOP_FULL,
    /// The caller's function returned false.
    KINGLET_STOP_CALLER,
}

impl From<Stop> for kinglet_stop {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Token => Self::KINGLET_STOP_TOKEN,
            Stop::Length => Self::KINGLET_STOP_LENGTH,
            Stop::Full => Self::KINGLET_STOP_FULL,
            Stop::Caller => Self::KINGLET_STOP_CALLER,
        }
    }
}

/// Receives a generated token, and the text that it completes: `bytes` bytes, possibly none,
/// without a terminating zero. Returns whether to continue.
pub type kinglet_write_token =
    Option<unsafe extern "C" fn(context: *mut c_void, token: u32, text: *const c_char, bytes: usize) -> bool>;

/// The default options: at most `max_new_tokens` tokens, with the model's stop tokens and
/// suppressed tokens.
///
/// # Safety
/// The contract of kinglet_close for `engine`. The options point to the engine's tokens, and become
/// invalid when it is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_generate_options_default(
    engine: *mut kinglet_engine,
    max_new_tokens: usize,
) -> kinglet_generate_options {
    // SAFETY: guaranteed by the caller.
    let tokens = unsafe { kinglet_engine::of(engine) }.map(|engine| &engine.model().manifest().tokens);
    let (stop, suppressed): (&[u32], &[u32]) =
        tokens.map_or((&[], &[]), |tokens| (tokens.eos.as_slice(), tokens.suppressed.as_slice()));
    kinglet_generate_options {
        max_new_tokens,
        min_new_tokens: 0,
        no_repeat_ngram_size: 0,
        stop: stop.as_ptr(),
        stop_count: stop.len(),
        suppressed: suppressed.as_ptr(),
        suppressed_count: suppressed.len(),
        grammar: core::ptr::null(),
        grammar_bytes: 0,
    }
}

/// Continues the `*count` tokens in `text`. The session may already have read some of them, as in a
/// chat; it first reads the others. Each new token is appended to `text`, counted in `*count`, and
/// passed to `each` with the text that it completes; `each` may be null. The session does not read
/// the last new token.
///
/// For a model that reads backward the given tokens are in the order of the text. New tokens are
/// appended in the order of their generation; in reverse order, they precede the given text.
///
/// For an encoder-decoder `text` is the decoder's text; call kinglet_encode first.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `text` points to `capacity` ids, the first `*count`
/// of which are initialized; the arrays of the options have the lengths that they state; `each` can
/// be called with `context`, and does not use the engine; the other pointers point to values of
/// their types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_generate(
    engine: *mut kinglet_engine,
    text: *mut u32,
    capacity: usize,
    count: *mut usize,
    options: *const kinglet_generate_options,
    sampling: *mut kinglet_sampling,
    each: kinglet_write_token,
    context: *mut c_void,
    stop: *mut kinglet_stop,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (text, count, options) = (slice_mut(text, capacity)?, write(count)?, read(options)?);
            let why = write(stop)?;
            let mut sampler = read(sampling)?.sampler()?;
            let grammar = if options.grammar.is_null() {
                None
            } else {
                let table = slice(options.grammar, options.grammar_bytes)?;
                Some(Grammar::from_bytes(table, engine.model().tokenizer_section())?)
            };
            let options = GenerateOptions {
                min_new_tokens: options.min_new_tokens,
                no_repeat_ngram_size: options.no_repeat_ngram_size,
                stop: slice(options.stop, options.stop_count)?,
                suppressed: slice(options.suppressed, options.suppressed_count)?,
                grammar,
                ..GenerateOptions::new(options.max_new_tokens)
            };
            let mut text = TokenSlice::new(text, *count)?;
            let mut generation = Generation::new(options, text.tokens());
            let result = engine.with(|session, tokenizer| {
                let mut decoder = tokenizer.ok().map(|tokenizer| tokenizer.decoder(true));
                while let Some(token) = generation.next_token(session, &mut text, &mut sampler)? {
                    let mut wanted = true;
                    if let Some(each) = each {
                        let mut told = false;
                        if let Some(decoder) = decoder.as_mut() {
                            decoder.push(token, &mut |piece| {
                                wanted &= each(context, token, piece.as_ptr().cast(), piece.len());
                                told = true;
                            });
                        }
                        if !told {
                            wanted = each(context, token, c"".as_ptr(), 0);
                        }
                    }
                    if !wanted && generation.ended() != Some(Stop::Token) {
                        return Ok(Stop::Caller);
                    }
                }
                Ok(generation.ended().unwrap_or(Stop::Length))
            });
            *count = text.tokens().len();
            write(sampling)?.state = sampler.state();
            *why = result?.into();
            Ok(())
        })
    }
}
