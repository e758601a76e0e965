//! A smaller vocabulary: which tokens have to stay so that texts still become tokens, and tokens
//! the texts they were.
//!
//! The tokens that some texts use stay, with the tokens that the tokenizer builds them from. So do
//! all that it falls back to, such as single characters and bytes: any other text becomes more
//! tokens than before, and they stand for the text that fewer tokens stood for.

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

/// What a smaller vocabulary is to have.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// How often each token is used, by id.
    pub used: BTreeMap<u32, u64>,
    /// Tokens that have a meaning to the model.
    pub special: BTreeSet<u32>,
    /// How many tokens it has; where `None`, the used tokens and what they need.
    pub size: Option<usize>,
}

/// A vocabulary that was chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The tokens.
    pub kept: Kept,
    /// How many used tokens found no room.
    pub left_out: usize,
    /// Why tokens were kept that are not used, where a person would not expect it.
    pub note: Option<String>,
}

/// Chooses the tokens of a smaller vocabulary. `full` is the tokenizer that `description`
/// describes.
///
/// With a size, tokens come in the order of their use, then in that of the vocabulary, which
/// trainers sort by use.
///
/// # Errors
/// When the description is not what it should be, or the size is too small for what must be kept.
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

/// Adds a token with what it needs, where there is room for all of it.
fn add(kept: &mut BTreeSet<u32>, needs: &BTreeSet<u32>, size: usize) -> bool {
    let fits = kept.union(needs).count() <= size;
    if fits {
        kept.extend(needs);
    }
    fits
}

/// A tokenizer's model, as far as it matters to which tokens need which.
struct Model<'d> {
    description: &'d Value,
    kind: Kind,
    /// The bytes that each token stands for, by id.
    strings: BTreeMap<u32, Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
    /// Tokens that stand for one byte of an unknown character each.
    bytes: Vec<u32>,
    merges: Merges,
    byte_level: bool,
    /// What stands before a string that does not begin a word.
    prefix: Vec<u8>,
    /// What ends a word.
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

    /// What stays whatever the texts: special and added tokens, and all that the tokenizer falls
    /// back to.
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

    /// Whether a string cannot be put together from others that stay, or would not be the same text
    /// then.
    fn is_base(&self, string: &[u8], decoder: DecoderSpec) -> bool {
        let parts = self.symbols(string);
        let whole = |symbols: &[Vec<u8>]| symbols.iter().all(|symbol| self.ids.contains_key(symbol));
        // A first token loses all the spaces that it has.
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

    /// Whether an unknown character becomes its bytes.
    fn has_bytes(&self) -> bool {
        !self.bytes.is_empty() && !self.bytes.contains(&u32::MAX)
    }

    /// Whether decoding takes a space away before or inside of a token, by rules that look at one
    /// token.
    fn is_cleaned(&self, string: &[u8]) -> bool {
        let begins: [&[u8]; 6] = [b".", b"?", b"!", b",", b"'", b"n't"];
        let inside = string.contains(&b' ');
        !string.starts_with(&self.prefix) && (inside || begins.iter().any(|begin| string.starts_with(begin)))
    }

    /// The rows of symbols that a string may be put together from: where it may or may not begin a
    /// word there are two.
    fn symbols(&self, string: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let ended = !self.suffix.is_empty() && string.ends_with(&self.suffix);
        let body = &string[..string.len() - if ended { self.suffix.len() } else { 0 }];
        let goes_on = !self.prefix.is_empty() && body.len() > self.prefix.len() && body.starts_with(&self.prefix);
        let within = goes_on.then(|| (&body[self.prefix.len()..], true));
        // A word that begins with the prefix itself is not known to `WordPiece`.
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

    /// The bytes of a string of a byte-level model, the characters of another.
    fn units<'s>(&self, string: &'s [u8]) -> Vec<&'s [u8]> {
        match core::str::from_utf8(string) {
            Ok(text) if !self.byte_level => text.char_indices().map(|(at, c)| &string[at..at + c.len_utf8()]).collect(),
            _ => string.chunks(1).collect(),
        }
    }

    /// A token, and the tokens that it is merged from on the way.
    fn needs(&self, id: u32) -> BTreeSet<u32> {
        let mut needs = BTreeSet::from([id]);
        let Some(string) = self.strings.get(&id).filter(|_| self.kind == Kind::Bpe) else { return needs };
        for symbols in self.symbols(string) {
            let ids: Option<Vec<u32>> = symbols.iter().map(|symbol| self.ids.get(symbol).copied()).collect();
            needs.extend(ids.and_then(|ids| derivation(&self.merges, ids, id)).into_iter().flatten());
        }
        needs
    }

    /// Whether a text may have the token: vocabularies of BERT's kind have rows to spare that no
    /// text has.
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
                &"the tokenizer has no decoder and puts spaces between tokens: of texts that are not in the file there are more"
            }
            _ => return None,
        };
        Some(note.to_string())
    }
}
