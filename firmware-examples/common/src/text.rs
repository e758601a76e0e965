//! Between text and tokens.

use bytemuck::try_cast_slice_mut;
use heapless::Vec;
use kinglet::Error;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};

/// The longest text of the examples, in tokens.
pub const MAX_TOKENS: usize = 64;

/// A text's tokens.
pub struct Text {
    pub tokens: Vec<Token, MAX_TOKENS>,
}

impl Text {
    /// Takes the arena for the tokenizer, as long as no session uses it.
    #[inline(never)]
    pub fn new(tokenizer: &Tokenizer<'_>, text: &str, arena: &mut [u8]) -> Result<Self, Error> {
        let scratch = try_cast_slice_mut(arena).map_err(|_| Error::ArenaMisaligned)?;
        let mut tokens = Vec::from_array([Token::default(); MAX_TOKENS]);
        let count = tokenizer.encode(text, None, &EncodeOptions::default(), scratch, &mut tokens)?;
        tokens.truncate(count);
        Ok(Self { tokens })
    }

    pub fn ids(&self) -> Vec<u32, MAX_TOKENS> {
        let mut ids = Vec::new();
        for token in &self.tokens {
            // There is room for as many ids as tokens.
            _ = ids.push(token.id);
        }
        ids
    }
}
