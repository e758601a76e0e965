//! Writing on, one token after the other.

use core::ffi::{c_char, c_void};

use kinglet::task::{GenerateOptions, Generation, Stop, TokenBuffer, TokenSlice};

use crate::engine::{call, kinglet_engine};
use crate::pointers::{read, slice, slice_mut, write};
use crate::sample::kinglet_sampling;
use crate::status::kinglet_status;

/// When to stop, and what may be written. kinglet_generate_options_default makes one that can be
/// changed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kinglet_generate_options {
    /// The most tokens that are written.
    pub max_new_tokens: usize,
    /// The least number of tokens before a stop token.
    pub min_new_tokens: usize,
    /// No run of this number of tokens comes twice, those given included; 0 allows all.
    pub no_repeat_ngram_size: usize,
    /// Any of these tokens ends the text.
    pub stop: *const u32,
    /// How many they are.
    pub stop_count: usize,
    /// Tokens that are never written.
    pub suppressed: *const u32,
    /// How many they are.
    pub suppressed_count: usize,
}

/// Why a text ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum kinglet_stop {
    /// A stop token was written.
    KINGLET_STOP_TOKEN,
    /// As many tokens were written as were asked for.
    KINGLET_STOP_LENGTH,
    /// The session, or the array of tokens, holds no more.
    KINGLET_STOP_FULL,
    /// The caller had enough.
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

/// Takes a token that was written, with the text that it completes: `bytes` bytes, which no zero
/// ends, and which may be none. Says whether to go on.
pub type kinglet_write_token =
    Option<unsafe extern "C" fn(context: *mut c_void, token: u32, text: *const c_char, bytes: usize) -> bool>;

/// At most `max_new_tokens` tokens. The text ends where the model ends it.
///
/// # Safety
/// As of every function with an engine: see kinglet_close. The options name the engine's own stop
/// tokens, and are no longer valid when it is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_generate_options_default(
    engine: *mut kinglet_engine,
    max_new_tokens: usize,
) -> kinglet_generate_options {
    // SAFETY: the caller's.
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
    }
}

/// Writes on from the `*count` tokens in `text`, of which the session may have read the beginning:
/// what it has not read is read first, so a chat goes on in one session. Each new token is added
/// to `text`, counted in `*count`, and handed to `each` with the text that it completes; `each`
/// may be null. The last token that is written is unread.
///
/// A model that reads backward is given tokens in the order of the text, and adds tokens that come
/// before them: what it adds is to be read from the end.
///
/// An encoder-decoder's text is what its decoder reads; kinglet_encode comes before.
///
/// # Safety
/// As of every function with an engine; `text` points to `capacity` ids, of which `*count` are
/// given, the options to arrays as they say, `each` can be called with `context`, and the others
/// point to what their types say. `each` must not use the engine.
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
    // SAFETY: the caller's.
    unsafe {
        call(engine, |engine| {
            let (text, count, options) = (slice_mut(text, capacity)?, write(count)?, read(options)?);
            let why = write(stop)?;
            let mut sampler = read(sampling)?.sampler()?;
            let options = GenerateOptions {
                min_new_tokens: options.min_new_tokens,
                no_repeat_ngram_size: options.no_repeat_ngram_size,
                stop: slice(options.stop, options.stop_count)?,
                suppressed: slice(options.suppressed, options.suppressed_count)?,
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
