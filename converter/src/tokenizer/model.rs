//! Converts a tokenizer's model to tables: its vocabulary, with merges or scores.

use std::collections::HashMap;

use anyhow::{Result, bail};
use kinglet::tokenizer::section::{MergesSpec, ModelSpec};
use kinglet::tokenizer::vocabulary::{MAX_STRING, VocabularySpec};
use serde_json::Value;

use super::alias::{alias, unalias};
use super::builder::Builder;
use super::description::{contradictory, flag, malformed, unsupported};
use super::merges::Merges;

/// Strings and their ids, in the order of the file.
pub(super) type Strings = [(String, u32)];

/// The vocabulary of a model.
///
/// # Errors
/// When it does not have the form of the model's type.
pub(super) fn vocabulary(model: &Value) -> Result<Vec<(String, u32)>> {
    let bad = || malformed("model.vocab");
    match (kind(model), &model["vocab"]) {
        ("Unigram", Value::Array(list)) => {
            let string = |piece: &Value| piece[0].as_str().map(str::to_owned).ok_or_else(bad);
            list.iter().enumerate().map(|(id, piece)| Ok((string(piece)?, id as u32))).collect()
        }
        (kind, Value::Object(map)) if kind != "Unigram" => map
            .iter()
            .map(|(string, id)| {
                Ok((string.clone(), id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(bad)?))
            })
            .collect(),
        _ => Err(bad()),
    }
}

/// The model's type, which files of older versions do not name.
pub(super) fn kind(model: &Value) -> &str {
    match model["type"].as_str() {
        Some(kind) => kind,
        None if model["vocab"].is_array() => "Unigram",
        None if model["merges"].is_array() => "BPE",
        None if model["continuing_subword_prefix"].is_string() => "WordPiece",
        None => "WordLevel",
    }
}

/// The ids of the tokens `<0x00>` to `<0xFF>`; `u32::MAX` if one is missing.
pub(super) fn byte_tokens(ids: &HashMap<&str, u32>) -> Vec<u32> {
    (0..=255_u8).map(|byte| ids.get(&*format!("<0x{byte:02X}>")).copied().unwrap_or(u32::MAX)).collect()
}

impl Builder<'_> {
    /// Converts the model. Returns it with its vocabulary, and the words of memory that it needs
    /// per byte of a split.
    pub(super) fn model(&mut self, strings: &Strings, byte_level: bool) -> Result<(ModelSpec, VocabularySpec, u16)> {
        let model = &self.description["model"];
        // The last of equal strings counts.
        let ids: HashMap<&str, u32> = strings.iter().map(|(string, id)| (string.as_str(), *id)).collect();
        let raw = |string: &str| if byte_level { unalias(string) } else { string.as_bytes().to_vec() };
        let mut entries: Vec<(Vec<u8>, u32)> = strings.iter().map(|(string, id)| (raw(string), *id)).collect();
        if let Some((long, _)) = entries.iter().find(|(string, _)| string.len() > MAX_STRING) {
            bail!("the vocabulary has a string of {} bytes\nat most {MAX_STRING} are supported", long.len());
        }
        let unknown = model["unk_token"].as_str().and_then(|token| self.new_id(*ids.get(token)?));
        if kind(model) == "Unigram" {
            return self.unigram(model, entries, &ids);
        }
        self.renumber(&mut entries);
        match kind(model) {
            "WordLevel" => {
                let spec = ModelSpec::WordLevel { unknown };
                Ok((spec, self.tables.vocabulary(entries, true, false), 1))
            }
            "WordPiece" => {
                let prefix = model["continuing_subword_prefix"].as_str().unwrap_or("##");
                let spec = ModelSpec::WordPiece {
                    unknown: unknown.ok_or_else(|| malformed("model.unk_token"))?,
                    prefix: self.tables.add(prefix.as_bytes()),
                    max_input_chars: model["max_input_chars_per_word"].as_u64().unwrap_or(100).min(65_535) as u16,
                };
                Ok((spec, self.tables.vocabulary(entries, true, false), 3))
            }
            "BPE" => {
                if model["dropout"].as_f64().is_some_and(|dropout| dropout > 0.0) {
                    return Err(unsupported("model's dropout", &model["dropout"]));
                }
                let part = |key: &str| model[key].as_str().unwrap_or_default().as_bytes();
                let merges = self.merges(model, &ids)?;
                let byte = |byte: u8| ids.get(&*alias(byte).to_string()).copied().unwrap_or(u32::MAX);
                let bytes = match byte_level {
                    true => (0..=255).map(byte).collect(),
                    false if flag(model, "byte_fallback", false) => byte_tokens(&ids),
                    false => Vec::new(),
                };
                let bytes: Vec<u32> = bytes.into_iter().map(|id| self.new_id(id).unwrap_or(u32::MAX)).collect();
                let spec = ModelSpec::Bpe {
                    merges,
                    unknown,
                    fuse_unknown: flag(model, "fuse_unk", false),
                    ignore_merges: flag(model, "ignore_merges", false),
                    suffix: self.tables.add(part("end_of_word_suffix")),
                    prefix: self.tables.add(part("continuing_subword_prefix")),
                    bytes: self.tables.words(bytes),
                };
                Ok((spec, self.tables.vocabulary(entries, true, false), 11))
            }
            _ => Err(unsupported("model", &model["type"])),
        }
    }

    fn unigram(
        &mut self,
        model: &Value,
        mut entries: Vec<(Vec<u8>, u32)>,
        ids: &HashMap<&str, u32>,
    ) -> Result<(ModelSpec, VocabularySpec, u16)> {
        let list = model["vocab"].as_array().ok_or_else(|| malformed("model.vocab"))?;
        let scores = list.iter().map(|piece| piece[1].as_f64()).collect::<Option<Vec<f64>>>();
        let scores = scores.ok_or_else(|| malformed("model.vocab"))?;
        let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let unknown = model["unk_id"].as_u64();
        if let Some(id) = unknown.filter(|&id| id >= list.len() as u64) {
            return Err(contradictory(format_args!("has {} pieces, and the unk_id {id}", list.len())));
        }
        entries.retain(|(string, _)| !string.is_empty());
        if let Some((long, _)) = entries.iter().find(|(string, _)| string.len() > 255) {
            bail!("the vocabulary has a string of {} bytes\nat most 255 are supported for Unigram", long.len());
        }
        // The order of the table, in which the last of equal strings is found.
        entries.sort();
        entries.retain(|(_, id)| self.new_id(*id).is_some());
        let by_entry: Vec<u8> = entries.iter().flat_map(|(_, id)| scores[*id as usize].to_le_bytes()).collect();
        self.renumber(&mut entries);
        let bytes = if flag(model, "byte_fallback", false) { byte_tokens(ids) } else { Vec::new() };
        let bytes: Vec<u32> = bytes.into_iter().map(|id| self.new_id(id).unwrap_or(u32::MAX)).collect();
        let spec = ModelSpec::Unigram {
            scores: self.tables.add(&by_entry),
            unknown_score: (least - 10.0).to_bits(),
            unknown: unknown.and_then(|id| self.new_id(id as u32)),
            bytes: self.tables.words(bytes),
        };
        Ok((spec, self.tables.vocabulary(entries, true, true), 5))
    }

    fn merges(&mut self, model: &Value, ids: &HashMap<&str, u32>) -> Result<MergesSpec> {
        let merges = Merges::read(model, ids)?.renumbered(|id| self.new_id(id));
        let mut by_order: Vec<(u32, u32)> = merges.values().map(|&(merged, order)| (order, merged)).collect();
        by_order.sort_unstable();
        let ordered = by_order.windows(2).all(|pair| pair[0].1 < pair[1].1);
        let most = merges.iter().flat_map(|(pair, (merged, _))| [pair.0, pair.1, *merged]).max().unwrap_or(0);
        let lefts: Vec<u32> = merges.keys().map(|(left, _)| *left).collect();
        let begins = (0..=lefts.last().map_or(0, |last| last + 1))
            .map(|left| lefts.partition_point(|&other| other < left) as u32);
        let width: u8 = if most < 1 << 16 { 2 } else { 3 };
        let narrow = |ids: Vec<u32>| -> Vec<u8> {
            ids.into_iter().flat_map(|id| id.to_le_bytes().into_iter().take(width.into())).collect()
        };
        let order = if ordered { Vec::new() } else { merges.values().map(|&(_, order)| order).collect() };
        Ok(MergesSpec {
            lefts: self.tables.words(begins),
            width,
            rights: self.tables.add(&narrow(merges.keys().map(|&(_, right)| right).collect())),
            merged: self.tables.add(&narrow(merges.values().map(|&(merged, _)| merged).collect())),
            order: self.tables.words(order),
        })
    }
}
