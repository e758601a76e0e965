//! Text to tokens and back.

use core::ffi::{c_char, c_void};
use core::mem::size_of;

use kinglet::tokenizer::{EncodeOptions, Token};

use crate::engine::{call, kinglet_engine, number};
use crate::pointers::{optional_mut, slice, slice_mut, text, write};
use crate::status::kinglet_status;

/// Words of scratch memory that kinglet_tokenize uses per element of `capacity`.
pub const KINGLET_TOKEN_WORDS: usize = 5;

const _: () = assert!(size_of::<Token>() <= 4 * KINGLET_TOKEN_WORDS && align_of::<Token>() <= 4);

/// The arrays that receive the tokens of a text, with `capacity` elements each. All but `ids` may
/// be null.
#[repr(C)]
pub struct kinglet_tokens {
    /// Token ids.
    pub ids: *mut u32,
    /// The segment of each token, which encoders call its token type.
    pub token_types: *mut u8,
    /// The offset of each token's first byte in its text.
    pub starts: *mut u32,
    /// The offset after each token's last byte.
    pub ends: *mut u32,
    /// Elements of each array.
    pub capacity: usize,
    /// The number of tokens, written by kinglet_tokenize.
    pub count: usize,
}

/// Receives a piece of text of `bytes` bytes, without a terminating zero.
pub type kinglet_write_text = Option<unsafe extern "C" fn(context: *mut c_void, text: *const c_char, bytes: usize)>;

/// An upper bound of the scratch memory, in words, that kinglet_tokenize needs for a text of
/// `text_bytes` bytes and `capacity` tokens; 0 if the blob has no tokenizer.
///
/// # Safety
/// The contract of kinglet_close for `engine`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_scratch_words(
    engine: *mut kinglet_engine,
    text_bytes: usize,
    capacity: usize,
) -> usize {
    // SAFETY: guaranteed by the caller.
    unsafe {
        number(engine, |engine| match engine.tokenizer() {
            Ok(tokenizer) => {
                let tokens = capacity.saturating_mul(KINGLET_TOKEN_WORDS);
                tokenizer.scratch_words(text_bytes).saturating_add(tokens)
            }
            Err(_) => 0,
        })
    }
}

/// Splits a text, or a pair of texts, into tokens, and adds the special tokens that the model
/// expects. `pair` is null for a single text. kinglet_scratch_words returns a sufficient number of
/// words for `scratch`; most texts need far less.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `first` and `pair` point to `first_bytes` and
/// `pair_bytes` bytes, `scratch` to `scratch_words` words, and the arrays of `tokens` have
/// `capacity` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_tokenize(
    engine: *mut kinglet_engine,
    first: *const c_char,
    first_bytes: usize,
    pair: *const c_char,
    pair_bytes: usize,
    scratch: *mut u32,
    scratch_words: usize,
    tokens: *mut kinglet_tokens,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let tokens = write(tokens)?;
            tokens.count = 0;
            let first = text(first, first_bytes)?;
            let pair = if pair.is_null() { None } else { Some(text(pair, pair_bytes)?) };
            let ids = slice_mut(tokens.ids, tokens.capacity)?;
            let types = optional_mut(tokens.token_types, tokens.capacity)?;
            let starts = optional_mut(tokens.starts, tokens.capacity)?;
            let ends = optional_mut(tokens.ends, tokens.capacity)?;
            let scratch = slice_mut(scratch, scratch_words)?;
            let room = tokens.capacity.min(scratch.len() / KINGLET_TOKEN_WORDS);
            let (place, scratch) = scratch.split_at_mut_checked(room * KINGLET_TOKEN_WORDS).unwrap_or_default();
            let place = place.as_mut_ptr().cast::<Token>();
            for index in 0..room {
                // SAFETY: a token fits KINGLET_TOKEN_WORDS words, and is aligned like a word.
                place.add(index).write(Token::default());
            }
            let found = slice_mut(place, room)?;
            let count = engine.tokenizer()?.encode(first, pair, &EncodeOptions::default(), scratch, found)?;
            let found = found.get(..count).unwrap_or(&[]);
            put(Some(ids), found, |token| token.id);
            put(types, found, |token| token.type_id);
            put(starts, found, |token| token.start);
            put(ends, found, |token| token.end);
            tokens.count = count;
            Ok(())
        })
    }
}

/// Writes a field of each token to `out`, if there is one.
fn put<T>(out: Option<&mut [T]>, tokens: &[Token], field: impl Fn(&Token) -> T) {
    let out = out.unwrap_or(&mut []);
    out.iter_mut().zip(tokens).for_each(|(out, token)| *out = field(token));
}

/// Decodes tokens, and passes the text to `write_text` in pieces. `skip_special_tokens` omits
/// special tokens.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `ids` points to `count` ids, and `write_text` can be
/// called with `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_decode(
    engine: *mut kinglet_engine,
    ids: *const u32,
    count: usize,
    skip_special_tokens: bool,
    write_text: kinglet_write_text,
    context: *mut c_void,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let ids = slice(ids, count)?;
            engine.tokenizer()?.decode(ids, skip_special_tokens, &mut |piece| {
                if let Some(write_text) = write_text {
                    write_text(context, piece.as_ptr().cast(), piece.len());
                }
            });
            Ok(())
        })
    }
}
