//! Reads the defaults of generation: `generation_config.json`, or without it `config.json`.
//!
//! Every key that `generate` of `transformers` reads is in the table of `generation_keys.rs`: it is
//! kept in the blob, or refused by name, or has no effect on texts. Keys that it does not read are
//! named in a note.

use anyhow::Result;
use kinglet::format::blob::{EarlyStopping, GenerationDefaults};
use kinglet::task::{BeamOptions, MAX_BEAMS};
use serde_json::Value;

use super::generation_keys::{KEYS, Use};
use crate::checkpoint::Checkpoint;
use crate::fixed::round_half_even;
use crate::refuse;

/// The source of a checkpoint's generation defaults.
#[derive(Clone, Copy)]
pub(super) struct Generation<'c> {
    checkpoint: &'c Checkpoint,
    /// Whether the model generates text.
    writes: bool,
    /// Keys that the caller says may be ignored.
    ignored: &'c [String],
}

impl<'c> Generation<'c> {
    /// Checks the keys of generation, if the model generates text. Adds notes about choices that a
    /// user should know about.
    ///
    /// # Errors
    /// When a key changes the generated text and is not implemented; the message names it.
    pub(super) fn read(
        checkpoint: &'c Checkpoint,
        writes: bool,
        ignored: &'c [String],
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let found = Self { checkpoint, writes, ignored };
        // Old configurations have these keys, whether or not they are used.
        KEYS.iter().for_each(|(key, _)| _ = checkpoint.config.get(&[key]));
        for (key, usage) in KEYS {
            let Use::Refused(neutral) = *usage else { continue };
            let is_neutral = |value: &Value| !says_something(value) || (neutral.is_some() && value.as_f64() == neutral);
            if let Some(value) = found.find(key).filter(|value| !is_neutral(value)) {
                return Err(found.refuse(key, value, "is not implemented"));
            }
        }
        if found.find("do_sample") == Some(&Value::Bool(true)) {
            let random = KEYS.iter().filter(|(_, usage)| *usage == Use::Random);
            let said: Vec<String> =
                random.filter_map(|(key, _)| Some(format!("`{key}` = {}", found.find(key)?))).collect();
            notes.push(format!(
                "{} asks for random texts ({}): the caller decides that, with --temperature and similar options",
                found.file(),
                said.join(", ")
            ));
        }
        let known = |key: &str| found.ignores(key) || KEYS.iter().any(|(name, _)| *name == key);
        for (key, value) in checkpoint.generation.as_object().into_iter().flatten().filter(|_| writes) {
            if !known(key) {
                notes.push(format!("generation_config.json says `{key}` = {value}, which is not read"));
            }
        }
        let eos = checkpoint.config.peek("eos_token_id").filter(|_| found.is_said());
        if let (Some(eos), None) = (eos, found.find("eos_token_id")) {
            notes.push(format!(
                "generation_config.json names no `eos_token_id`, so that no token ends a text (config.json says {eos})"
            ));
        }
        Ok(found)
    }

    /// Whether `generation_config.json` decides how the model generates; `config.json` is then
    /// ignored.
    pub(super) fn is_said(&self) -> bool {
        self.writes && !self.checkpoint.generation.is_null()
    }

    fn ignores(&self, key: &str) -> bool {
        self.ignored.iter().any(|name| name == key)
    }

    fn file(&self) -> &'static str {
        if self.is_said() { "generation_config.json" } else { "config.json" }
    }

    /// The value of a generation key, unless it is null. Without `generation_config.json` a missing
    /// key has the default of the configuration's class.
    pub(super) fn find(&self, key: &str) -> Option<&'c Value> {
        let checkpoint = self.checkpoint;
        let value = if self.is_said() { checkpoint.generation.get(key) } else { checkpoint.config.get(&[key]) };
        value.filter(|value| self.writes && !value.is_null() && !self.ignores(key))
    }

    fn refuse(&self, key: &str, value: &Value, what: &str) -> anyhow::Error {
        let file = self.file();
        refuse(
            format_args!("{file} says `{key}` = {value}, which {what}"),
            format_args!("remove it from {file}, or add --ignore-key {key}, if the text may come out otherwise"),
        )
    }

    /// Whether BART's old key forces the first token to be `bos`.
    pub(super) fn forces_bos(&self) -> bool {
        let from_config = !self.is_said() || self.checkpoint.generation["_from_model_config"] == true;
        from_config && self.find("force_bos_token_to_be_generated") == Some(&Value::Bool(true))
    }

    /// The runs of tokens that must not be generated, without duplicates.
    ///
    /// # Errors
    /// When they are not lists of token ids.
    pub(super) fn bad_words(&self) -> Result<Vec<Vec<u32>>> {
        let Some(value) = self.find("bad_words_ids").filter(|value| says_something(value)) else {
            return Ok(Vec::new());
        };
        let words: Option<Vec<Vec<u32>>> = serde_json::from_value(value.clone()).ok();
        let mut words = words
            .filter(|words| words.iter().all(|word| !word.is_empty()))
            .ok_or_else(|| self.refuse("bad_words_ids", value, "is not a list of lists of token ids"))?;
        words.sort();
        words.dedup();
        Ok(words)
    }

    /// A number from `least` to `most`, or `default` if the key is missing.
    fn number(&self, key: &str, default: f64, least: f64, most: f64) -> Result<f64> {
        let Some(value) = self.find(key) else { return Ok(default) };
        let number = value.as_f64().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| self.refuse(key, value, &format!("is not a number from {least} to {most}")))
    }

    /// A whole number from `least` to `most`; `None` if the key is missing.
    fn count(&self, key: &str, least: u32, most: u32) -> Result<Option<u32>> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i64);
        let number =
            number.and_then(|number| u32::try_from(number).ok()).filter(|number| (least..=most).contains(number));
        number
            .map(Some)
            .ok_or_else(|| self.refuse(key, value, &format!("is not a whole number from {least} to {most}")))
    }

    /// The generation defaults of the blob.
    ///
    /// # Errors
    /// When a value is out of range.
    pub(super) fn defaults(&self) -> Result<GenerationDefaults> {
        let q16 = |number: f64| round_half_even(number * 65_536.0);
        let early_stopping = match self.find("early_stopping") {
            None | Some(Value::Bool(false)) => EarlyStopping::Heuristic,
            Some(Value::Bool(true)) => EarlyStopping::Always,
            Some(Value::String(when)) if when == "never" => EarlyStopping::Never,
            Some(other) => return Err(self.refuse("early_stopping", other, "is not true, false or \"never\"")),
        };
        let renormalize_logits = match self.find("renormalize_logits") {
            None => false,
            Some(value) => {
                value.as_bool().ok_or_else(|| self.refuse("renormalize_logits", value, "is not true or false"))?
            }
        };
        let (longest, ngram) = (u32::MAX, u16::MAX.into());
        let defaults = GenerationDefaults {
            num_beams: self.count("num_beams", 1, MAX_BEAMS as u32)?.unwrap_or(1) as u8,
            length_penalty: q16(self.number("length_penalty", 1.0, -10.0, 10.0)?) as i32,
            early_stopping,
            renormalize_logits,
            no_repeat_ngram_size: self.count("no_repeat_ngram_size", 0, ngram)?.unwrap_or(0) as u16,
            min_length: self.count("min_length", 0, longest)?.unwrap_or(0),
            min_new_tokens: self.count("min_new_tokens", 0, longest)?,
            max_length: self.count("max_length", 1, longest)?,
            max_new_tokens: self.count("max_new_tokens", 1, longest)?,
            repetition_penalty: q16(self.number("repetition_penalty", 1.0, 0.01, 100.0)?) as u32,
        };
        // Rounding may move the smallest penalty out of the runtime's range.
        BeamOptions::from(defaults)
            .check()
            .map_err(|error| refuse(format_args!("{}: {error}", self.file()), "change it"))?;
        Ok(defaults)
    }
}

/// Whether a value is something other than null, false or empty.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}
