//! Converts the pre-tokenizer, which splits a text before the model encodes the parts.

use anyhow::Result;
use kinglet::tokenizer::pattern::Behavior;
use kinglet::tokenizer::section::{Prepend, SplitStep};
use serde_json::Value;

use super::builder::Builder;
use super::description::{character, few, flag, parts, unsupported};
use super::tables::Tables;

/// The expression by which byte-level families split texts, unless they have their own.
const BYTE_LEVEL: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

impl Builder<'_> {
    pub(super) fn pre_tokenizer(&mut self) -> Result<Vec<SplitStep>> {
        let mut steps = Vec::new();
        let tables = &mut self.tables;
        let split = |pattern, behavior| SplitStep::Split { pattern, behavior, invert: false };
        for part in few(parts(&self.description["pre_tokenizer"], "pretokenizers"), 8, "pre-tokenizers")? {
            // If a text may be split at any character, a prefix before each split may double it.
            let scattered = steps
                .iter()
                .any(|step| matches!(step, SplitStep::Split { behavior, .. } if *behavior != Behavior::Removed));
            match part["type"].as_str().unwrap_or_default() {
                "BertPreTokenizer" => {
                    steps.push(split(tables.one_of(Tables::spaces), Behavior::Removed));
                    steps.push(split(tables.one_of(Tables::punctuation), Behavior::Isolated));
                }
                "WhitespaceSplit" => steps.push(split(tables.one_of(Tables::spaces), Behavior::Removed)),
                "Whitespace" => {
                    let pattern = tables.words_and_signs();
                    steps.push(SplitStep::Split { pattern, behavior: Behavior::Removed, invert: true });
                }
                "Punctuation" => {
                    steps.push(split(tables.one_of(Tables::punctuation), behavior(part, Behavior::Isolated)?));
                }
                "Digits" => {
                    let behavior =
                        if flag(part, "individual_digits", false) { Behavior::Isolated } else { Behavior::Contiguous };
                    steps.push(split(tables.one_of(Tables::numerals), behavior));
                }
                "CharDelimiterSplit" => {
                    let delimiter = character(part, "delimiter", ' ')?;
                    steps.push(split(tables.literal(delimiter.encode_utf8(&mut [0; 4])), Behavior::Removed));
                }
                "Split" => steps.push(SplitStep::Split {
                    pattern: tables.any_pattern(&part["pattern"])?.0,
                    behavior: behavior(part, Behavior::Isolated)?,
                    invert: flag(part, "invert", false),
                }),
                "ByteLevel" => {
                    if flag(part, "add_prefix_space", true) {
                        self.expansion.times(1 + usize::from(scattered), 1 + usize::from(scattered))?;
                        steps.push(SplitStep::PrefixSpace);
                    }
                    if flag(part, "use_regex", true) {
                        let pattern = tables.pattern(BYTE_LEVEL)?;
                        steps.push(split(pattern, Behavior::Isolated));
                    }
                }
                "Metaspace" => {
                    let never = part["add_prefix_space"] == false;
                    let prepend = match part["prepend_scheme"].as_str() {
                        _ if never => Prepend::Never,
                        None | Some("always") => Prepend::Always,
                        Some("first") => Prepend::First,
                        Some("never") => Prepend::Never,
                        Some(_) => return Err(unsupported("pre-tokenizer", part)),
                    };
                    self.expansion.at_least(1, 3);
                    if scattered && prepend != Prepend::Never {
                        self.expansion.times(2, 2)?;
                    }
                    steps.push(SplitStep::Metaspace {
                        replacement: character(part, "replacement", '▁')?,
                        prepend,
                        split: flag(part, "split", true),
                    });
                }
                _ => return Err(unsupported("pre-tokenizer", part)),
            }
        }
        Ok(steps)
    }
}

fn behavior(part: &Value, default: Behavior) -> Result<Behavior> {
    Ok(match part["behavior"].as_str() {
        None => default,
        Some("Removed") => Behavior::Removed,
        Some("Isolated") => Behavior::Isolated,
        Some("MergedWithPrevious") => Behavior::MergedWithPrevious,
        Some("MergedWithNext") => Behavior::MergedWithNext,
        Some("Contiguous") => Behavior::Contiguous,
        Some(_) => return Err(unsupported("pre-tokenizer", part)),
    })
}
