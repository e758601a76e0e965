//! The merges of byte pair encoding (arXiv 1508.07909), read from `tokenizer.json`.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use serde_json::Value;

use super::description::{contradictory, malformed};

/// Merges by their two parts: the merged token, and the index in the file.
#[derive(Debug, Default)]
pub(super) struct Merges(BTreeMap<(u32, u32), (u32, u32)>);

impl Merges {
    /// Reads a model's merges. `ids` are those of its strings. The last of equal pairs counts.
    ///
    /// # Errors
    /// When a merge is malformed, or one of its strings is not a token; the message names it.
    pub(super) fn read(model: &Value, ids: &HashMap<&str, u32>) -> Result<Self> {
        let list = model["merges"].as_array().ok_or_else(|| malformed("model.merges"))?;
        let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default().len();
        let mut merges = BTreeMap::new();
        for (order, merge) in list.iter().enumerate() {
            let place = || malformed(&format!("model.merges[{order}]"));
            let pair = match merge {
                Value::String(pair) => pair.split_once(' ').filter(|(_, right)| !right.contains(' ')),
                pair => pair[0].as_str().zip(pair[1].as_str()),
            };
            let (left, right) = pair.ok_or_else(place)?;
            let merged = format!("{left}{}", right.get(prefix..).ok_or_else(place)?);
            let id = |string: &str| {
                let unknown = || {
                    contradictory(format_args!(
                        "merges {left:?} and {right:?}, and {string:?} is not a token (model.merges[{order}])"
                    ))
                };
                ids.get(string).copied().ok_or_else(unknown)
            };
            merges.insert((id(left)?, id(right)?), (id(&merged)?, order as u32));
        }
        Ok(Self(merges))
    }

    /// The merges of tokens that all have a new id, sorted by their parts.
    pub(super) fn renumbered(self, new_id: impl Fn(u32) -> Option<u32>) -> BTreeMap<(u32, u32), (u32, u32)> {
        let merges = self.0.into_iter().filter_map(|((left, right), (merged, order))| {
            Some(((new_id(left)?, new_id(right)?), (new_id(merged)?, order)))
        });
        merges.collect()
    }
}

/// All tokens in the merging of `symbols` to the single token `to`; `None` if the merges give
/// others.
pub(super) fn derivation(merges: &Merges, mut symbols: Vec<u32>, to: u32) -> Option<Vec<u32>> {
    let mut met = symbols.clone();
    loop {
        let pairs = symbols.windows(2).enumerate();
        let found = pairs.filter_map(|(at, pair)| {
            let &(merged, order) = merges.0.get(&(pair[0], pair[1]))?;
            Some((order, at, merged))
        });
        let Some((_, at, merged)) = found.min() else { break };
        symbols.splice(at..at + 2, [merged]);
        met.push(merged);
    }
    (symbols == [to]).then_some(met)
}
