//! Converts the frame of a text: special tokens, and the mark that SentencePiece puts before it.

use std::borrow::Cow;

use anyhow::Result;
use kinglet::tokenizer::section::Piece;
use serde_json::{Value, json};

use super::description::{flag, malformed, parts, unsupported};
use super::sentence_piece::MARK_AT_BEGIN;

/// Merges the two parts by which `transformers` puts a mark before every text into one step of the
/// device. A normalizer adds the mark if the text begins with one, and the pre-tokenizer if it does
/// not.
pub(super) fn marked(description: &Value) -> Cow<'_, Value> {
    let adds = |part: &Value| part["pattern"]["Regex"] == MARK_AT_BEGIN && part["content"] == "▁▁";
    let always =
        |part: &Value| part["type"] == "Metaspace" && part["prepend_scheme"] == "always" && part["split"] == false;
    let mut steps: Vec<Value> = parts(&description["normalizer"], "normalizers").into_iter().cloned().collect();
    let mut splits: Vec<Value> = parts(&description["pre_tokenizer"], "pretokenizers").into_iter().cloned().collect();
    let (Some(step), Some(split)) =
        (steps.iter_mut().find(|part| adds(part)), splits.iter_mut().find(|part| always(part)))
    else {
        return Cow::Borrowed(description);
    };
    *step = json!({ "type": "Prepend", "prepend": "▁" });
    split["prepend_scheme"] = "never".into();
    let mut description = description.clone();
    description["normalizer"] = json!({ "type": "Sequence", "normalizers": steps });
    description["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": splits });
    Cow::Owned(description)
}

/// The pieces around one text, and around two, and whether token ranges are trimmed.
pub(super) fn post_processor(description: &Value) -> Result<(Vec<Piece>, Vec<Piece>, Option<bool>)> {
    let mut single = vec![Piece::First { type_id: 0 }];
    let mut pair = vec![Piece::First { type_id: 0 }, Piece::Second { type_id: 1 }];
    let mut trim = None;
    for part in parts(&description["post_processor"], "processors") {
        match part["type"].as_str().unwrap_or_default() {
            "TemplateProcessing" => {
                single = template(part, "single")?;
                pair = template(part, "pair")?;
            }
            kind @ ("BertProcessing" | "RobertaProcessing") => {
                let id = |key: &str| {
                    let id = part[key][1].as_u64().and_then(|id| u32::try_from(id).ok());
                    id.ok_or_else(|| malformed(&format!("post_processor.{key}")))
                };
                let (cls, sep) = (id("cls")?, id("sep")?);
                let roberta = kind == "RobertaProcessing";
                let second = u8::from(!roberta);
                let special = |id, type_id| Piece::Special { id, type_id };
                single = vec![special(cls, 0), Piece::First { type_id: 0 }, special(sep, 0)];
                pair = single.clone();
                if roberta {
                    pair.push(special(sep, 0));
                    if flag(part, "trim_offsets", true) {
                        trim = Some(flag(part, "add_prefix_space", true));
                    }
                }
                pair.extend([Piece::Second { type_id: second }, special(sep, second)]);
            }
            "ByteLevel" if flag(part, "trim_offsets", true) => trim = Some(flag(part, "add_prefix_space", true)),
            "ByteLevel" => {}
            _ => return Err(unsupported("post-processor", part)),
        }
    }
    Ok((single, pair, trim))
}

fn template(part: &Value, key: &str) -> Result<Vec<Piece>> {
    let place = || malformed(&format!("post_processor.{key}"));
    let mut pieces = Vec::new();
    for piece in part[key].as_array().ok_or_else(place)? {
        let (kind, inside) = piece.as_object().and_then(|map| map.iter().next()).ok_or_else(place)?;
        let type_id = inside["type_id"].as_u64().and_then(|id| u8::try_from(id).ok()).ok_or_else(place)?;
        let id = inside["id"].as_str().ok_or_else(place)?;
        match (kind.as_str(), id) {
            ("Sequence", "A") => pieces.push(Piece::First { type_id }),
            ("Sequence", "B") => pieces.push(Piece::Second { type_id }),
            ("SpecialToken", name) => {
                let ids = part["special_tokens"][name]["ids"].as_array().ok_or_else(place)?;
                for id in ids {
                    let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(place)?;
                    pieces.push(Piece::Special { id, type_id });
                }
            }
            _ => return Err(place()),
        }
    }
    Ok(pieces)
}
