//! Tokens with offsets in UTF-16 units, as JavaScript counts them.

use kinglet::tokenizer::Token;
use serde_json::{Value, json};

pub(crate) fn ids(tokens: &[Token]) -> Vec<u32> {
    tokens.iter().map(|token| token.id).collect()
}

pub(crate) fn types(tokens: &[Token]) -> Vec<u8> {
    tokens.iter().map(|token| token.type_id).collect()
}

/// Converts byte offsets in a text and in its pair to UTF-16 offsets.
pub(crate) struct Places([Vec<usize>; 2]);

impl Places {
    pub(crate) fn new(text: &str, pair: Option<&str>) -> Self {
        Self([units(text), units(pair.unwrap_or_default())])
    }

    /// The UTF-16 offsets of a token; (0, 0) for a special token.
    pub(crate) fn of(&self, token: &Token) -> (usize, usize) {
        let Some(units) = token.text.and_then(|text| self.0.get(usize::from(text))) else { return (0, 0) };
        let at = |byte: u32| units.get(byte as usize).copied().unwrap_or(0);
        (at(token.start), at(token.end))
    }

    pub(crate) fn json(&self, token: &Token) -> Value {
        let (start, end) = self.of(token);
        json!({
            "id": token.id, "type": token.type_id, "text": token.text,
            "start": start, "end": end, "continues": token.continues,
        })
    }
}

/// The number of UTF-16 units before each byte of a text, and before its end.
fn units(text: &str) -> Vec<usize> {
    let mut units = Vec::with_capacity(text.len() + 1);
    let mut before = 0;
    for character in text.chars() {
        units.extend(core::iter::repeat_n(before, character.len_utf8()));
        before += character.len_utf16();
    }
    units.push(before);
    units
}
