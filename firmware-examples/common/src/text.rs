//! Between text and tokens.

use bytemuck::try_cast_slice_mut;
use heapless::Vec;
use kinglet::RunError;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};

/// The longest text of the examples, in tokens.
pub const MAX_TOKENS: usize = 64;

/// A text's tokens, with their places in it. They go to the caller's memory: it is a kilobyte, and
/// stacks are small.
///
/// Takes the arena for the tokenizer, as long as no session uses it.
pub fn tokens<'t>(
    tokenizer: &Tokenizer<'_>,
    text: &str,
    arena: &mut [u8],
    tokens: &'t mut [Token; MAX_TOKENS],
) -> Result<&'t [Token], RunError> {
    let scratch = try_cast_slice_mut(arena).map_err(|_| RunError::ArenaMisaligned)?;
    let count = tokenizer.encode(text, None, &EncodeOptions::default(), scratch, tokens)?;
    Ok(tokens.get(..count).unwrap_or(&[]))
}

/// The ids of tokens.
pub fn ids_of(tokens: &[Token]) -> Vec<u32, MAX_TOKENS> {
    let mut ids = Vec::new();
    for token in tokens {
        // There is room for as many ids as tokens.
        _ = ids.push(token.id);
    }
    ids
}

/// The ids of a text's tokens. The tokens themselves are gone before a session begins.
#[inline(never)]
pub fn ids(tokenizer: &Tokenizer<'_>, text: &str, arena: &mut [u8]) -> Result<Vec<u32, MAX_TOKENS>, RunError> {
    tokens(tokenizer, text, arena, &mut [Token::default(); MAX_TOKENS]).map(ids_of)
}
