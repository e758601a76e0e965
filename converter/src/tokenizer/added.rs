//! Converts added tokens, which are found in a text before it is normalized and split.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use kinglet::RunError;
use kinglet::tokenizer::MAX_ADDED;
use kinglet::tokenizer::section::{AddedSpec, LSTRIP, RSTRIP, SINGLE_WORD, SPECIAL};
use serde_json::Value;

use super::alias::unalias;
use super::builder::Builder;
use super::description::{contradictory, flag, malformed, text, unsupported};
use super::model::Strings;

/// An added token.
#[derive(Debug)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    /// The string to find, in the text or, if `normalized`, in the normalized text.
    wanted: String,
    normalized: bool,
    flags: u32,
}

/// The added tokens of a description, by id. `normalize` applies the normalizer.
///
/// `tokenizers` ignores the ids in the file, and so does this function: a token gets the id that
/// its string has earlier in the list or in the vocabulary, else the next free id after the
/// vocabulary. If a token is listed twice, its last entry counts, but it is special if any entry
/// says so. Empty tokens are skipped.
///
/// # Errors
/// When an entry is malformed, or the device could not find its token.
pub(super) fn collect(
    description: &Value,
    strings: &Strings,
    normalize: &dyn Fn(&str) -> Result<String, RunError>,
) -> Result<Vec<AddedToken>> {
    let list = description["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
    let model: HashMap<&str, u32> = strings.iter().map(|(string, id)| (string.as_str(), *id)).collect();
    let mut next = strings.len() as u32;
    let (mut ids, mut special) = (HashMap::new(), HashSet::new());
    let mut tokens: BTreeMap<u32, AddedToken> = BTreeMap::new();
    for (index, token) in list.iter().enumerate() {
        let place = format!("added_tokens[{index}]");
        let content = text(token, "content", &place)?;
        token["id"].as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| malformed(&place))?;
        if content.is_empty() {
            continue;
        }
        let id = *ids.entry(content).or_insert_with(|| {
            model.get(content).copied().unwrap_or_else(|| {
                next += 1;
                next - 1
            })
        });
        let normalized = flag(token, "normalized", false);
        let wanted = if normalized { normalize(content) } else { Ok(content.to_owned()) };
        let wanted = wanted.map_err(|_| unsupported("added token", token))?;
        if wanted.is_empty() || wanted.len() > MAX_ADDED {
            return Err(unsupported("added token", token));
        }
        if flag(token, "special", false) {
            special.insert(content);
        }
        let bit = |key, bit| if flag(token, key, false) { bit } else { 0 };
        let flags = if special.contains(content) { SPECIAL } else { 0 }
            | bit("lstrip", LSTRIP)
            | bit("rstrip", RSTRIP)
            | bit("single_word", SINGLE_WORD);
        tokens.insert(id, AddedToken { id, content: content.to_owned(), wanted, normalized, flags });
    }
    let mut wanted = HashMap::new();
    for token in tokens.values() {
        if let Some(other) = wanted.insert((token.normalized, token.wanted.as_str()), &token.content) {
            return Err(contradictory(format_args!(
                "adds the tokens {other:?} and {:?}, which are both {:?} once they are normalized",
                token.content, token.wanted
            )));
        }
    }
    Ok(tokens.into_values().collect())
}

impl Builder<'_> {
    pub(super) fn added(&mut self, tokens: &[AddedToken], byte_level: bool) -> AddedSpec {
        let wanted = |normalized: bool| {
            let tokens = tokens.iter().filter(|token| token.normalized == normalized);
            tokens.map(|token| (token.wanted.clone().into_bytes(), token.id)).collect()
        };
        let decoded =
            |token: &AddedToken| if byte_level { unalias(&token.wanted) } else { token.wanted.clone().into_bytes() };
        let tables = &mut self.tables;
        AddedSpec {
            raw: tables.vocabulary(wanted(false), false, false),
            normalized: tables.vocabulary(wanted(true), false, false),
            flags: tables.words(tokens.iter().map(|token| token.id << 8 | token.flags)),
            decoded: tables.vocabulary(tokens.iter().map(|token| (decoded(token), token.id)).collect(), true, false),
            spaces: tables.spaces(),
            words: tables.word_characters(),
        }
    }
}
