//! Between text and tokens.

use core::ffi::{c_char, c_void};
use core::mem::size_of;

use kinglet::tokenizer::{EncodeOptions, Token};

use crate::engine::{call, kinglet_engine, number};
use crate::pointers::{optional_mut, slice, slice_mut, text, write};
use crate::status::kinglet_status;

/// Words of scratch memory that kinglet_tokenize takes for each token that there is room for.
pub const KINGLET_TOKEN_WORDS: usize = 5;

const _: () = assert!(size_of::<Token>() <= 4 * KINGLET_TOKEN_WORDS && align_of::<Token>() <= 4);

/// Where the tokens of a text go: arrays of `capacity` elements each. Only `ids` must not be null.
#[repr(C)]
pub struct kinglet_tokens {
    /// Which tokens.
    pub ids: *mut u32,
    /// The segment that each is in: what an encoder calls token types.
    pub token_types: *mut u8,
    /// The first byte of the text that each stands for.
    pub starts: *mut u32,
    /// One after the last.
    pub ends: *mut u32,
    /// Elements of each array.
    pub capacity: usize,
    /// How many tokens there are: kinglet_tokenize writes it.
    pub count: usize,
}

/// Takes a piece of text, which no zero ends, of `bytes` bytes.
pub type kinglet_write_text = Option<unsafe extern "C" fn(context: *mut c_void, text: *const c_char, bytes: usize)>;

/// Words of scratch memory that are enough for kinglet_tokenize of a text of `text_bytes` bytes
/// with room for `capacity` tokens; 0 where the blob has no tokenizer.
///
/// # Safety
/// As of every function with an engine: see kinglet_close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_scratch_words(
    engine: *mut kinglet_engine,
    text_bytes: usize,
    capacity: usize,
) -> usize {
    // SAFETY: the caller's.
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

/// Makes tokens of a text, or of two, as the model was trained: with the tokens around them that
/// it expects. `pair` is null for one text. `scratch` is lent for the call: kinglet_scratch_words
/// says how much is enough, mostly far less is needed.
///
/// # Safety
/// As of every function with an engine; the texts point to as many bytes as is said, `scratch` to
/// `scratch_words` words, `tokens` to arrays as it says.
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
    // SAFETY: the caller's.
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
                // SAFETY: a token is no longer than these words, and needs their boundary.
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

/// Writes a field of each token, where it is asked for.
fn put<T>(out: Option<&mut [T]>, tokens: &[Token], field: impl Fn(&Token) -> T) {
    let out = out.unwrap_or(&mut []);
    out.iter_mut().zip(tokens).for_each(|(out, token)| *out = field(token));
}

/// Makes text of tokens, and hands it to `write_text` in pieces. `skip_special_tokens` leaves out
/// what is not part of a text.
///
/// # Safety
/// As of every function with an engine; `ids` points to `count` ids, and `write_text` can be called
/// with `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_decode(
    engine: *mut kinglet_engine,
    ids: *const u32,
    count: usize,
    skip_special_tokens: bool,
    write_text: kinglet_write_text,
    context: *mut c_void,
) -> kinglet_status {
    // SAFETY: the caller's.
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
