//! Converts the tokenizer of a Hugging Face folder to the section that the runtime reads.
//!
//! `tokenizer.json` is turned into data, part by part; a part that the device cannot run is refused
//! by name. Unicode tables are made with the crates that `tokenizers` uses, because their Unicode
//! versions differ from part to part.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use kinglet::format::checksum::checksum;
use kinglet::tokenizer::Tokenizer;
use kinglet::tokenizer::section::{Header, MAGIC, PRELUDE, Piece, VERSION};
use kinglet::tokenizer::vocabulary::MAX_ID;
use serde_json::Value;

mod added;
mod alias;
mod beside;
mod builder;
mod classes;
mod decode;
mod describe;
mod description;
mod folder;
mod frame;
mod keep;
mod kept;
mod listed;
mod merges;
mod model;
mod normalize;
mod on_host;
mod pattern;
mod sentence_piece;
mod settings;
mod split;
mod tables;
mod unicode;
mod words;

pub use alias::alias;
pub use on_host::{decode, encode, spelling};

use builder::{Builder, Expansion};
use description::{bounded, contradictory, parts};
use frame::{marked, post_processor};
pub use keep::{Choice, Wanted, choose};
pub use kept::Kept;
use tables::Tables;

/// Builds the section of a folder's tokenizer; `None` if the folder has no tokenizer.
///
/// # Errors
/// When its files are malformed, or ask for something that the device cannot do; the message names
/// it.
pub fn build(folder: &Path) -> Result<Option<Vec<u8>>> {
    Ok(build_noted(folder)?.map(|(section, _)| section))
}

/// Describes a folder's tokenizer in the format of `tokenizer.json`, whatever files it comes in;
/// `None` if the folder has no tokenizer.
///
/// # Errors
/// When the files are malformed, or belong to a class that is not supported; the message names it.
pub fn describe(folder: &Path) -> Result<Option<Value>> {
    Ok(folder::read(folder)?.map(|description| description.value))
}

/// The id of a special token, such as `mask_token`, as the folder's files or the tokenizer's class
/// name it; `None` without a supported tokenizer, or without this token.
///
/// # Errors
/// When a file beside the vocabulary is malformed.
pub(crate) fn special_token(folder: &Path, key: &str) -> Result<Option<u32>> {
    Ok(folder::special_token(folder, key)?.and_then(|id| u32::try_from(id).ok()))
}

/// Like [`build`], with notes on decisions that a user may want to know.
///
/// # Errors
/// See [`build`].
pub fn build_noted(folder: &Path) -> Result<Option<(Vec<u8>, Vec<String>)>> {
    let Some(description) = folder::read(folder)? else { return Ok(None) };
    let section = section(&description.value);
    let section = section.with_context(|| format!("reading the tokenizer of {}", folder.display()))?;
    Ok(Some((section, description.notes)))
}

/// Builds the section of a tokenizer that is described in the format of `tokenizer.json`.
///
/// # Errors
/// See [`build`].
pub fn section(description: &Value) -> Result<Vec<u8>> {
    section_of(description, None)
}

/// Like [`section`], with only the `kept` tokens, under their new ids; with all tokens if `kept` is
/// `None`.
///
/// See [`build`].
pub fn section_of(description: &Value, kept: Option<&Kept>) -> Result<Vec<u8>> {
    let description = &marked(description);
    let mut builder = Builder { tables: Tables::new(PRELUDE), description, kept, expansion: Expansion::default() };
    let header = builder.header()?;
    let mut bytes = builder.tables.bytes;
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let header = postcard::to_allocvec(&header)?;
    bytes.extend_from_slice(&header);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
    bytes[8..12].copy_from_slice(&(header.len() as u32).to_le_bytes());
    let sum = checksum(&bytes[PRELUDE..]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    Tokenizer::from_bytes(&bytes)
        .map_err(|error| anyhow!("{error}: this is a mistake in Kinglet, please report it"))?;
    Ok(bytes)
}

/// Refuses ids that two tokens share, and ids far above the number of tokens, because tables are
/// indexed by id. `others` is the number of tokens that are not in the iterator.
fn check_ids<'t>(tokens: impl Iterator<Item = (&'t str, u32)>, others: usize) -> Result<()> {
    let mut by_id: Vec<(u32, &str)> = tokens.map(|(token, id)| (id, token)).collect();
    by_id.sort_unstable();
    if let Some(pair) = by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(contradictory(format_args!(
            "gives the id {} to {:?} and to {:?}",
            pair[0].0, pair[0].1, pair[1].1
        )));
    }
    let limit = MAX_ID.min((by_id.len() + others).saturating_add(MAX_HOLES) as u32);
    match by_id.last() {
        Some((id, token)) if *id > limit => {
            let count = by_id.len() + others;
            Err(contradictory(format_args!(
                "gives {token:?} the id {id}, and has {count} tokens: at most {limit} is supported"
            )))
        }
        _ => Ok(()),
    }
}

/// The most ids without a token below the largest id.
const MAX_HOLES: usize = 1 << 20;

impl Builder<'_> {
    fn header(&mut self) -> Result<Header> {
        let description = self.description;
        let byte_level =
            parts(&description["pre_tokenizer"], "pretokenizers").iter().any(|part| part["type"] == "ByteLevel")
                || parts(&description["decoder"], "decoders").iter().any(|part| part["type"] == "ByteLevel");
        let normalizer = self.normalizer()?;
        let pre_tokenizer = self.pre_tokenizer()?;
        let strings = model::vocabulary(&description["model"])?;
        let normalize = |text: &str| kinglet::tokenizer::normalized(&self.tables.bytes, &normalizer, text);
        let mut added = added::collect(description, &strings, &normalize)?;
        check_ids(strings.iter().map(|(string, id)| (string.as_str(), *id)), added.len())?;
        check_ids(added.iter().map(|token| (token.content.as_str(), token.id)), strings.len())?;
        let (model, vocabulary, per_byte) = self.model(&strings, byte_level)?;
        added.retain_mut(|token| self.new_id(token.id).map(|id| token.id = id).is_some());
        let added = self.added(&added, byte_level);
        let (mut single, mut pair, trim_offsets) = post_processor(description)?;
        for piece in single.iter_mut().chain(&mut pair) {
            if let Piece::Special { id, .. } = piece {
                *id = self.new_id(*id).unwrap_or(*id);
            }
        }
        let Expansion { chars, bytes } = self.expansion;
        Ok(Header {
            normalizer: bounded(normalizer, "normalizers")?,
            pre_tokenizer: bounded(pre_tokenizer, "pre-tokenizers")?,
            model,
            vocabulary,
            byte_level,
            added,
            single: bounded(single, "special tokens")?,
            pair: bounded(pair, "special tokens")?,
            trim_offsets,
            decoder: self.decoder()?,
            words_per_byte: (6 * chars).max(3 * chars + per_byte * bytes),
        })
    }
}
