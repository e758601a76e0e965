//! Chooses a smaller vocabulary, with which texts can still be encoded and decoded.
//!
//! The tokens of given texts are kept, with the tokens that they are merged from. So are all tokens
//! that the tokenizer falls back to, such as single characters and bytes: other texts become more
//! tokens, and are decoded without a loss.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;
use kinglet::tokenizer::section::{DecoderSpec, Piece};
use kinglet::tokenizer::{EncodeOptions, Tokenizer};
use serde_json::Value;

use super::alias::unalias;
use super::description::flag;
use super::kept::Kept;
use super::merges::{Merges, derivation};
use super::model::{byte_tokens, kind, vocabulary};
use super::on_host::encode;
use crate::refuse;

/// The requirements on a smaller vocabulary.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// How often each token is used, by id.
    pub used: BTreeMap<u32, u64>,
    /// Tokens that have a meaning to the model.
    pub special: BTreeSet<u32>,
    /// The number of tokens; `None` for the used tokens and the tokens that they are merged from.
    pub size: Option<usize>,
}

/// A chosen vocabulary.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The tokens.
    pub kept: Kept,
    /// The number of used tokens that do not fit.
    pub left_out: usize,
    /// Why tokens are kept that no text uses, if that is surprising.
    pub note: Option<String>,
}

/// Chooses the tokens of a smaller vocabulary. `full` is the tokenizer that `description`
/// describes.
///
/// With a size, tokens are taken by how often they are used, and then in the order of the
/// vocabulary, which trainers sort by frequency.
///
/// # Errors
/// When the description is malformed, or the size is too small for the tokens that must be kept.
pub fn choose(description: &Value, full: &Tokenizer<'_>, wanted: &Wanted) -> Result<Choice> {
    let model = Model::new(description, full)?;
    let mut kept = model.base(full);
    kept.extend(&wanted.special);
    let mut by_use: Vec<(u32, u64)> = wanted.used.iter().map(|(&id, &count)| (id, count)).collect();
    by_use.sort_by_key(|&(id, count)| (core::cmp::Reverse(count), id));
    let Some(size) = wanted.size else {
        kept.extend(by_use.iter().flat_map(|&(id, _)| model.needs(id)));
        return Ok(Choice { kept: kept.into_iter().collect(), left_out: 0, note: model.note(full) });
    };
    if kept.len() > size {
        return Err(refuse(
            format_args!(
                "a vocabulary of {size} tokens was asked for, and {} are needed for single characters, bytes and special tokens",
                kept.len()
            ),
            format_args!("give --vocabulary-size {} or more", kept.len()),
        ));
    }
    let mut left_out = 0;
    for &(id, _) in &by_use {
        left_out += usize::from(!add(&mut kept, &model.needs(id), size));
    }
    for id in 0..full.vocab_size() {
        if kept.len() == size {
            break;
        }
        if !kept.contains(&id) && full.is_known(id) && model.is_met(id, full) {
            add(&mut kept, &model.needs(id), size);
        }
    }
    Ok(Choice { kept: kept.into_iter().collect(), left_out, note: model.note(full) })
}

/// Adds a token and the tokens that it needs, if all of them fit.
fn add(kept: &mut BTreeSet<u32>, needs: &BTreeSet<u32>, size: usize) -> bool {
    let fits = kept.union(needs).count() <= size;
    if fits {
        kept.extend(needs);
    }
    fits
}

/// The parts of a tokenizer that decide which tokens need which.
struct Model<'d> {
    description: &'d Value,
    kind: Kind,
    /// The bytes that each token stands for, by id.
    strings: BTreeMap<u32, Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
    /// The tokens for the single bytes of an unknown character.
    bytes: Vec<u32>,
    merges: Merges,
    byte_level: bool,
    /// The prefix of a string that does not begin a word.
    prefix: Vec<u8>,
    /// The suffix of a string that ends a word.
    suffix: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Words,
    WordPiece,
    Bpe,
    Unigram,
}

impl<'d> Model<'d> {
    fn new(description: &'d Value, full: &Tokenizer<'_>) -> Result<Self> {
        let model = &description["model"];
        let names = vocabulary(model)?;
        let by_name: HashMap<&str, u32> = names.iter().map(|(string, id)| (string.as_str(), *id)).collect();
        let kind = match kind(model) {
            "WordPiece" => Kind::WordPiece,
            "BPE" => Kind::Bpe,
            "Unigram" => Kind::Unigram,
            _ => Kind::Words,
        };
        let byte_level = full.header().byte_level;
        let raw = |string: &str| if byte_level { unalias(string) } else { string.as_bytes().to_vec() };
        let fallback = kind != Kind::WordPiece && flag(model, "byte_fallback", false);
        let bytes = if fallback { byte_tokens(&by_name) } else { Vec::new() };
        let merges = if kind == Kind::Bpe { Merges::read(model, &by_name)? } else { Merges::default() };
        let text = |key: &str, default: &str| model[key].as_str().unwrap_or(default).as_bytes().to_vec();
        let prefix = if kind == Kind::WordPiece { "##" } else { "" };
        Ok(Self {
            description,
            kind,
            strings: names.iter().map(|(string, id)| (*id, raw(string))).collect(),
            ids: names.iter().map(|(string, id)| (raw(string), *id)).collect(),
            bytes,
            merges,
            byte_level,
            prefix: text("continuing_subword_prefix", prefix),
            suffix: text("end_of_word_suffix", ""),
        })
    }

    /// The tokens to keep for any texts: special tokens, added tokens, and the tokenizer's fallback
    /// tokens.
    fn base(&self, full: &Tokenizer<'_>) -> BTreeSet<u32> {
        let header = full.header();
        let around = header.single.iter().chain(&header.pair).filter_map(|piece| match piece {
            Piece::Special { id, .. } => Some(*id),
            _ => None,
        });
        let model = &self.description["model"];
        let unknown = model["unk_id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let unknown = unknown.or_else(|| self.ids.get(model["unk_token"].as_str()?.as_bytes()).copied());
        let added = (0..full.vocab_size()).filter(|&id| full.is_added(id));
        let bytes = self.bytes.iter().copied().filter(|&id| id != u32::MAX);
        let needed = self.strings.iter().filter(|(_, string)| self.is_base(string, header.decoder));
        added.chain(around).chain(unknown).chain(bytes).chain(needed.flat_map(|(&id, _)| self.needs(id))).collect()
    }

    /// Whether a string cannot be composed of other kept strings, or would be decoded differently.
    fn is_base(&self, string: &[u8], decoder: DecoderSpec) -> bool {
        let parts = self.symbols(string);
        let whole = |symbols: &[Vec<u8>]| symbols.iter().all(|symbol| self.ids.contains_key(symbol));
        // The first token of a text loses all its leading spaces.
        let spaces = |mark: char| String::from_utf8_lossy(string).chars().filter(|&c| c == mark).count() > 1;
        let loses = matches!(decoder, DecoderSpec::Metaspace { replacement, drop_first: true } if spaces(replacement));
        match self.kind {
            Kind::Words => true,
            _ if loses || parts.iter().any(|symbols| symbols.len() == 1) => true,
            Kind::WordPiece => !parts.iter().all(|symbols| whole(symbols)) || self.is_cleaned(string),
            Kind::Unigram => !self.has_bytes() && !parts.iter().all(|symbols| whole(symbols)),
            Kind::Bpe => {
                let merged_or_not = flag(&self.description["model"], "ignore_merges", false);
                merged_or_not && !parts.iter().any(|symbols| whole(symbols))
            }
        }
    }

    /// Whether an unknown character becomes byte tokens.
    fn has_bytes(&self) -> bool {
        !self.bytes.is_empty() && !self.bytes.contains(&u32::MAX)
    }

    /// Whether decoding removes a space before or inside a token, by rules that look at one token.
    fn is_cleaned(&self, string: &[u8]) -> bool {
        let begins: [&[u8]; 6] = [b".", b"?", b"!", b",", b"'", b"n't"];
        let inside = string.contains(&b' ');
        !string.starts_with(&self.prefix) && (inside || begins.iter().any(|begin| string.starts_with(begin)))
    }

    /// The rows of symbols that a string may be composed of. There are two if the string may or may
    /// not begin a word.
    fn symbols(&self, string: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let ended = !self.suffix.is_empty() && string.ends_with(&self.suffix);
        let body = &string[..string.len() - if ended { self.suffix.len() } else { 0 }];
        let goes_on = !self.prefix.is_empty() && body.len() > self.prefix.len() && body.starts_with(&self.prefix);
        let within = goes_on.then(|| (&body[self.prefix.len()..], true));
        // WordPiece cannot match a word that begins with the prefix itself.
        let begins = (!goes_on || self.kind != Kind::WordPiece).then_some((body, false));
        let rows = [begins, within].into_iter().flatten();
        rows.map(|(body, goes_on)| {
            let units = self.units(body);
            let count = units.len();
            let symbol = |(place, unit): (usize, &[u8])| {
                let prefix = if place > 0 || goes_on { &self.prefix[..] } else { &[] };
                let suffix = if ended && place + 1 == count { &self.suffix[..] } else { &[] };
                [prefix, unit, suffix].concat()
            };
            units.into_iter().enumerate().map(symbol).collect()
        })
        .collect()
    }

    /// The bytes of a string in a byte-level model, or its characters in another.
    fn units<'s>(&self, string: &'s [u8]) -> Vec<&'s [u8]> {
        match core::str::from_utf8(string) {
            Ok(text) if !self.byte_level => text.char_indices().map(|(at, c)| &string[at..at + c.len_utf8()]).collect(),
            _ => string.chunks(1).collect(),
        }
    }

    /// A token, and the tokens that it is merged from.
    fn needs(&self, id: u32) -> BTreeSet<u32> {
        let mut needs = BTreeSet::from([id]);
        let Some(string) = self.strings.get(&id).filter(|_| self.kind == Kind::Bpe) else { return needs };
        for symbols in self.symbols(string) {
            let ids: Option<Vec<u32>> = symbols.iter().map(|symbol| self.ids.get(symbol).copied()).collect();
            needs.extend(ids.and_then(|ids| derivation(&self.merges, ids, id)).into_iter().flatten());
        }
        needs
    }

    /// Whether some text has the token: BERT's vocabularies have unused tokens.
    fn is_met(&self, id: u32, full: &Tokenizer<'_>) -> bool {
        let text = self.strings.get(&id).and_then(|string| core::str::from_utf8(string).ok());
        match text {
            Some(text) if self.kind == Kind::WordPiece && !text.as_bytes().starts_with(&self.prefix) => {
                let options = EncodeOptions { add_special_tokens: false, ..EncodeOptions::default() };
                encode(full, text, None, &options).is_ok_and(|tokens| tokens.iter().any(|token| token.id == id))
            }
            _ => true,
        }
    }

    fn note(&self, full: &Tokenizer<'_>) -> Option<String> {
        let separate = full.header().decoder == DecoderSpec::Spaces;
        let note: &dyn fmt::Display = match self.kind {
            Kind::Words => &"the tokenizer knows whole words and has no pieces to fall back to: all of them were kept",
            _ if separate => {
                &"the tokenizer has no decoder and puts spaces between tokens: texts that are not in the file get more spaces"
            }
            _ => return None,
        };
        Some(note.to_string())
    }
}
