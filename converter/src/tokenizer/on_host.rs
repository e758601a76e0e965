//! Runs the device's tokenizer on the host, in memory that grows with the text.

use anyhow::{Result, anyhow};
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};

use super::alias::alias;

/// Encodes a text, or a pair of texts.
///
/// # Errors
/// When the text has a character that the vocabulary lacks, and there is no unknown token.
pub fn encode(
    tokenizer: &Tokenizer<'_>,
    text: &str,
    pair: Option<&str>,
    options: &EncodeOptions,
) -> Result<Vec<Token>> {
    let tokens = tokenizer.encode_to_vec(text, pair, options);
    tokens.map_err(|error| anyhow!("{error}\nconvert the checkpoint again, or give token ids with --ids"))
}

/// Decodes tokens to a text.
pub fn decode(tokenizer: &Tokenizer<'_>, ids: &[u32], skip_special_tokens: bool) -> String {
    tokenizer.decode_to_string(ids, skip_special_tokens)
}

/// The spelling of a token in the vocabulary. Byte-level tokens are spelt with the printable
/// characters that stand for bytes.
pub fn spelling(tokenizer: &Tokenizer<'_>, id: u32) -> String {
    let mut bytes = Vec::new();
    tokenizer.pieces(id, &mut |piece| bytes.extend_from_slice(piece));
    match String::from_utf8(bytes) {
        Ok(text) if !tokenizer.header().byte_level || tokenizer.is_added(id) => text,
        text => text.map_or_else(|error| error.into_bytes(), String::into_bytes).into_iter().map(alias).collect(),
    }
}
