//! Tokenization with the arena as scratch memory.

use bytemuck::try_cast_slice_mut;
use heapless::Vec;
use kinglet::RunError;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};

/// The maximum number of tokens of a text in the examples.
pub const MAX_TOKENS: usize = 64;

/// The tokens of a text, with their offsets, in memory of the caller, which is about a kilobyte.
///
/// The arena is the tokenizer's scratch memory; no session may use it at that time.
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
        // `tokens` has at most MAX_TOKENS elements.
        _ = ids.push(token.id);
    }
    ids
}

/// The ids of a text. Not inlined, so that the tokens leave the stack before a session runs.
#[inline(never)]
pub fn ids(tokenizer: &Tokenizer<'_>, text: &str, arena: &mut [u8]) -> Result<Vec<u32, MAX_TOKENS>, RunError> {
    tokens(tokenizer, text, arena, &mut [Token::default(); MAX_TOKENS]).map(ids_of)
}
