//! Text to tokens and back.

use anyhow::{Result, anyhow};
use kinglet::RunError;
use kinglet::tokenizer::{EncodeOptions, Token, Tokenizer};
use kinglet_convert::tokenizer;

/// The tokens of a text or of a pair.
pub(crate) fn encode(
    tokenizer: Option<&Tokenizer<'_>>,
    text: &str,
    pair: Option<&str>,
    options: &EncodeOptions,
) -> Result<Vec<Token>> {
    // Memory grows as needed, so an unknown character is the only possible error.
    tokenizer::encode(known(tokenizer)?, text, pair, options).map_err(|_| RunError::NoUnknownToken.into())
}

/// The tokenizer, or an error if the model has none.
pub(crate) fn known<'t, 'm>(tokenizer: Option<&'t Tokenizer<'m>>) -> Result<&'t Tokenizer<'m>> {
    tokenizer.ok_or_else(|| {
        anyhow!("the model has no tokenizer\ngive token ids, or convert a folder with tokenizer.json in it")
    })
}

/// The offsets of tokens in characters, not bytes; special tokens have the offsets (0, 0).
pub(crate) fn offsets(tokens: &[Token], text: &str, pair: Option<&str>) -> Vec<(usize, usize)> {
    let (first, second) = (characters(text), characters(pair.unwrap_or_default()));
    let of = |token: &Token| {
        let table = if token.text == Some(1) { &second } else { &first };
        let at = |byte: u32| table.get(byte as usize).copied().unwrap_or(0);
        if token.text.is_some() { (at(token.start), at(token.end)) } else { (0, 0) }
    };
    tokens.iter().map(of).collect()
}

/// For each byte of a text, the number of characters before it.
fn characters(text: &str) -> Vec<usize> {
    let bytes = text.chars().enumerate().flat_map(|(index, c)| core::iter::repeat_n(index, c.len_utf8()));
    bytes.chain([text.chars().count()]).collect()
}
