//! Tokens and text in memory that grows, for callers that have a heap.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{EncodeOptions, Token, Tokenizer};
use crate::error::{Buffer, RunError};

impl Tokenizer<'_> {
    /// As [`encode`](Self::encode), in memory that grows with the text.
    ///
    /// # Errors
    /// [`RunError::NoUnknownToken`] when the text has something unknown, and the vocabulary no
    /// token for such.
    ///
    /// ```
    /// use kinglet::RunError;
    /// use kinglet::tokenizer::{EncodeOptions, Tokenizer};
    ///
    /// /// How many tokens a text has.
    /// fn count(tokenizer: &Tokenizer, text: &str) -> Result<usize, RunError> {
    ///     Ok(tokenizer.encode_to_vec(text, None, &EncodeOptions::default())?.len())
    /// }
    /// # let _ = count;
    /// ```
    pub fn encode_to_vec(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &EncodeOptions,
    ) -> Result<Vec<Token>, RunError> {
        let longest = text.len().max(pair.map_or(0, str::len));
        let mut scratch = vec![0; self.scratch_words(longest)];
        let mut tokens = vec![Token::default(); 32 + longest];
        loop {
            match self.encode(text, pair, options, &mut scratch, &mut tokens) {
                Ok(count) => {
                    tokens.truncate(count);
                    return Ok(tokens);
                }
                Err(RunError::BufferTooSmall { buffer: Buffer::Tokens, needed, .. }) => {
                    tokens.resize(needed, Token::default())
                }
                Err(RunError::BufferTooSmall { buffer: Buffer::Scratch, needed, .. }) => scratch.resize(needed, 0),
                Err(error) => return Err(error),
            }
        }
    }

    /// The whole text that tokens stand for, which [`decode`](Self::decode) gives piece by piece.
    ///
    /// ```
    /// use kinglet::tokenizer::Tokenizer;
    ///
    /// /// What a model has written.
    /// fn written(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    ///     tokenizer.decode_to_string(ids, true)
    /// }
    /// # let _ = written;
    /// ```
    pub fn decode_to_string(&self, ids: &[u32], skip_special_tokens: bool) -> String {
        let mut text = String::new();
        self.decode(ids, skip_special_tokens, &mut |piece| text.push_str(piece));
        text
    }
}
