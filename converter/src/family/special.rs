//! Tokens with a meaning of their own, wherever a checkpoint names them.

use anyhow::Result;
use kinglet::format::blob::{EarlyStopping, GenerationDefaults};
use kinglet::task::MAX_BEAMS;
use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::fixed::round_half_even;
use crate::refuse;

/// Tokens with a meaning of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Any of these ends a text.
    pub eos: Vec<u32>,
    /// Fills up a batch; separates nothing.
    pub pad: Option<u32>,
    /// Stands for a token to be filled in.
    pub mask: Option<u32>,
    /// Begins a text that an encoder reads.
    pub cls: Option<u32>,
    /// Ends one.
    pub sep: Option<u32>,
    /// What an encoder-decoder's output begins with.
    pub decoder_start: Option<u32>,
    /// Forced to be the first token generated.
    pub forced_bos: Option<u32>,
    /// Forced to be the last token generated.
    pub forced_eos: Vec<u32>,
    /// Never generated.
    pub suppressed: Vec<u32>,
    /// Never generated first.
    pub suppressed_first: Vec<u32>,
    /// How to generate unless the caller says otherwise.
    pub generation: GenerationDefaults,
}

/// Reads them from `generation_config.json`, then `config.json`, then the tokenizer's files.
pub(super) fn read(checkpoint: &Checkpoint) -> Result<SpecialTokens> {
    let ids = |keys: &[&str]| {
        let generation = keys.iter().map(|key| &checkpoint.generation[*key]).find(|value| !value.is_null());
        // Read from both, so that the configuration's counts as known.
        let config = checkpoint.config.get(keys);
        generation.or(config).map_or(Ok(Vec::new()), |value| token_ids(keys[0], value))
    };
    let id = |keys: &[&str]| Ok::<_, anyhow::Error>(ids(keys)?.first().copied());
    let mut suppressed = ids(&["suppress_tokens"])?;
    suppressed.extend(single_bad_words(&checkpoint.generation["bad_words_ids"]));
    suppressed.extend(checkpoint.config.get(&["bad_words_ids"]).into_iter().flat_map(single_bad_words));
    suppressed.sort_unstable();
    suppressed.dedup();
    // XLM calls it an index. Its `mask_token_id` means something else.
    let mask_index = ids(&["mask_index"])?.first().copied();
    let mask_token_id = id(&["mask_token_id"])?;
    Ok(SpecialTokens {
        bos: id(&["bos_token_id", "bos_index"])?,
        eos: ids(&["eos_token_id", "eos_index"])?,
        pad: id(&["pad_token_id", "pad_index"])?,
        mask: named_token(checkpoint, "mask_token")?.or(mask_index).or(mask_token_id),
        cls: named_token(checkpoint, "cls_token")?,
        sep: named_token(checkpoint, "sep_token")?,
        decoder_start: id(&["decoder_start_token_id"])?,
        forced_bos: id(&["forced_bos_token_id"])?,
        forced_eos: ids(&["forced_eos_token_id"])?,
        suppressed,
        suppressed_first: ids(&["begin_suppress_tokens"])?,
        generation: generation(checkpoint)?,
    })
}

/// How to generate, from `generation_config.json` and then `config.json`. What changes the text and is not implemented is
/// refused by name.
fn generation(checkpoint: &Checkpoint) -> Result<GenerationDefaults> {
    let find = |key: &str| {
        let generation = Some(&checkpoint.generation[key]).filter(|value| !value.is_null());
        let config = checkpoint.config.get(&[key]).filter(|value| !value.is_null());
        generation.or(config)
    };
    for (key, harmless) in UNUSED_GENERATION {
        if let Some(value) = find(key).filter(|value| value.as_f64() != *harmless && **value != Value::Bool(false)) {
            return Err(refuse(
                format_args!("generation_config.json says `{key}` = {value}, which is not implemented"),
                "remove it from generation_config.json if the text may come out otherwise",
            ));
        }
    }
    let number = |key: &str, default: f64| match find(key) {
        None => Ok(default),
        Some(value) => value
            .as_f64()
            .filter(|number| number.abs() < 32_768.0)
            .ok_or_else(|| refuse(format_args!("`{key}` is {value}"), "it must be a number")),
    };
    let q16 = |number: f64| round_half_even(number * 65_536.0);
    Ok(GenerationDefaults {
        num_beams: number("num_beams", 1.0)?.clamp(1.0, MAX_BEAMS as f64) as u8,
        length_penalty: q16(number("length_penalty", 1.0)?) as i32,
        early_stopping: match find("early_stopping") {
            Some(Value::Bool(true)) => EarlyStopping::Always,
            Some(Value::String(when)) if when == "never" => EarlyStopping::Never,
            _ => EarlyStopping::Heuristic,
        },
        no_repeat_ngram_size: number("no_repeat_ngram_size", 0.0)?.max(0.0) as u16,
        min_length: number("min_length", 0.0)?.max(0.0) as u32,
        repetition_penalty: q16(number("repetition_penalty", 1.0)?).max(1.0) as u32,
    })
}

/// Keys that change what is written and are not implemented, with the value that changes nothing.
const UNUSED_GENERATION: &[(&str, Option<f64>)] = &[
    ("num_beam_groups", Some(1.0)),
    ("diversity_penalty", Some(0.0)),
    ("encoder_no_repeat_ngram_size", Some(0.0)),
    ("encoder_repetition_penalty", Some(1.0)),
    ("penalty_alpha", Some(0.0)),
    ("exponential_decay_length_penalty", None),
    ("sequence_bias", None),
    ("force_words_ids", None),
    ("constraints", None),
    ("guidance_scale", Some(1.0)),
];

/// An id or a list of them. `-1` has meant "none" in some files.
fn token_ids(key: &str, value: &Value) -> Result<Vec<u32>> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => core::slice::from_ref(one),
    };
    let ids = list.iter().filter(|id| id.as_i64() != Some(-1));
    ids.map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()))
        .collect::<Option<_>>()
        .ok_or_else(|| refuse(format_args!("`{key}` is {value}"), "it must be a token id, or a list of them"))
}

/// Bad words of one token.
fn single_bad_words(words: &Value) -> Vec<u32> {
    let words = words.as_array().map_or(&[][..], Vec::as_slice);
    let single = words.iter().filter_map(|word| match word.as_array()?.as_slice() {
        [id] => u32::try_from(id.as_u64()?).ok(),
        _ => None,
    });
    single.collect()
}

/// The id of a special token, by its text in the tokenizer's files; where there is no tokenizer.json, by its class.
fn named_token(checkpoint: &Checkpoint, name: &str) -> Result<Option<u32>> {
    let tokenizer = checkpoint.json("tokenizer.json")?;
    let configuration = checkpoint.json("tokenizer_config.json")?;
    if tokenizer.is_null() && configuration["added_tokens_decoder"].is_null() {
        return crate::tokenizer::special_token(checkpoint.dir(), name);
    }
    let map = checkpoint.json("special_tokens_map.json")?;
    let text = [&configuration, &map].into_iter().find_map(|file| {
        let token = &file[name];
        token.as_str().or_else(|| token["content"].as_str())
    });
    let Some(text) = text else { return Ok(None) };
    let added = tokenizer["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
    let added = added.iter().find(|token| token["content"] == text).and_then(|token| token["id"].as_u64());
    let decoder = configuration["added_tokens_decoder"].as_object().into_iter().flatten();
    let decoder =
        || decoder.into_iter().find(|(_, token)| token["content"] == text).and_then(|(id, _)| id.parse().ok());
    let vocabulary = || tokenizer["model"]["vocab"][text].as_u64();
    Ok(added.or_else(decoder).or_else(vocabulary).and_then(|id| u32::try_from(id).ok()))
}
