//! Encodes to a `Vec` and decodes to a `String`, for callers with a heap.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{EncodeOptions, Token, Tokenizer};
use crate::error::{Buffer, RunError};

impl Tokenizer<'_> {
    /// [`encode`](Self::encode) with heap memory for scratch and result.
    ///
    /// # Errors
    /// [`RunError::NoUnknownToken`] when the text has an unknown word or character and the
    /// vocabulary has no unknown token.
    ///
    /// ```
    /// use kinglet::RunError;
    /// use kinglet::tokenizer::{EncodeOptions, Tokenizer};
    ///
    /// /// The number of tokens of a text.
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

    /// [`decode`](Self::decode) to a `String`.
    ///
    /// ```
    /// use kinglet::tokenizer::Tokenizer;
    ///
    /// /// A model's output without special tokens.
    /// fn output(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    ///     tokenizer.decode_to_string(ids, true)
    /// }
    /// # let _ = output;
    /// ```
    pub fn decode_to_string(&self, ids: &[u32], skip_special_tokens: bool) -> String {
        let mut text = String::new();
        self.decode(ids, skip_special_tokens, &mut |piece| text.push_str(piece));
        text
    }
}
