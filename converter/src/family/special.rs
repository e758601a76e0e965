//! Collects a checkpoint's special tokens from all files that name them.

use anyhow::Result;
use kinglet::format::blob::GenerationDefaults;
use serde_json::Value;

use super::generation::Generation;
use crate::checkpoint::Checkpoint;
use crate::refuse;

/// The special tokens of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The tokens that end a text.
    pub eos: Vec<u32>,
    /// The token that fills up a batch.
    pub pad: Option<u32>,
    /// The token that stands for one to be predicted.
    pub mask: Option<u32>,
    /// The token that begins an encoder's text.
    pub cls: Option<u32>,
    /// The token that ends an encoder's text.
    pub sep: Option<u32>,
    /// The token that an encoder-decoder's output begins with.
    pub decoder_start: Option<u32>,
    /// The token that is always generated first.
    pub forced_bos: Option<u32>,
    /// The token that is always generated last.
    pub forced_eos: Option<u32>,
    /// Tokens that are never generated.
    pub suppressed: Vec<u32>,
    /// Tokens that are never generated first.
    pub suppressed_first: Vec<u32>,
    /// Runs of tokens that are never generated.
    pub bad_words: Vec<Vec<u32>>,
    /// The defaults for generated text.
    pub generation: GenerationDefaults,
}

/// Reads the special tokens. Those that matter only to generated text are read where `transformers`
/// reads them; all others from `generation_config.json`, then `config.json`, then the tokenizer's
/// files.
///
/// # Errors
/// When a value is not a token id.
pub(super) fn read(checkpoint: &Checkpoint, generation: &Generation<'_>) -> Result<SpecialTokens> {
    let ids = |keys: &[&str]| {
        let generation = keys.iter().map(|key| &checkpoint.generation[*key]).find(|value| !value.is_null());
        // Both are looked up, so that the key of the configuration counts as read.
        let config = checkpoint.config.get(keys);
        generation.or(config).map_or(Ok(Vec::new()), |value| token_ids(keys[0], value))
    };
    let id = |keys: &[&str]| Ok::<_, anyhow::Error>(ids(keys)?.first().copied());
    let written = |key: &str| generation.find(key).map_or(Ok(Vec::new()), |value| token_ids(key, value));
    // If several tokens are forced to be the last, all are equally likely, and the lowest id is
    // chosen.
    let forced_eos = written("forced_eos_token_id")?.into_iter().min();
    let bos = id(&["bos_token_id", "bos_index"])?;
    let eos = if generation.is_said() { written("eos_token_id")? } else { ids(&["eos_token_id", "eos_index"])? };
    // A token that ends a text may be generated, even if it is a bad word.
    let (mut single, bad_words): (Vec<_>, Vec<_>) = generation
        .bad_words()?
        .into_iter()
        .filter(|word| !matches!(word[..], [id] if eos.contains(&id)))
        .partition(|word| word.len() == 1);
    single.push(written("suppress_tokens")?);
    let mut suppressed = single.concat();
    suppressed.sort_unstable();
    suppressed.dedup();
    let forced_bos = written("forced_bos_token_id")?.first().copied();
    // XLM's name for it. XLM's `mask_token_id` means something else.
    let mask_index = ids(&["mask_index"])?.first().copied();
    let mask_token_id = id(&["mask_token_id"])?;
    let named = NamedTokens::read(checkpoint)?;
    Ok(SpecialTokens {
        bos,
        eos,
        pad: id(&["pad_token_id", "pad_index"])?,
        mask: named.id("mask_token")?.or(mask_index).or(mask_token_id),
        cls: named.id("cls_token")?,
        sep: named.id("sep_token")?,
        decoder_start: id(&["decoder_start_token_id"])?,
        forced_bos: forced_bos.or(bos.filter(|_| generation.forces_bos())),
        forced_eos,
        suppressed,
        suppressed_first: written("begin_suppress_tokens")?,
        bad_words,
        generation: generation.defaults()?,
    })
}

/// Reads an id or a list of ids. Some files write -1 for "none".
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

/// The tokenizer's files. Each is read once, because a vocabulary may have many megabytes.
struct NamedTokens<'c> {
    checkpoint: &'c Checkpoint,
    tokenizer: Value,
    configuration: Value,
    map: Value,
}

impl<'c> NamedTokens<'c> {
    fn read(checkpoint: &'c Checkpoint) -> Result<Self> {
        Ok(Self {
            checkpoint,
            tokenizer: checkpoint.json("tokenizer.json")?,
            configuration: checkpoint.json("tokenizer_config.json")?,
            map: checkpoint.json("special_tokens_map.json")?,
        })
    }

    /// The id of a special token, by its text in the tokenizer's files, or without tokenizer.json
    /// by the tokenizer's class.
    fn id(&self, name: &str) -> Result<Option<u32>> {
        let Self { tokenizer, configuration, .. } = self;
        if tokenizer.is_null() && configuration["added_tokens_decoder"].is_null() {
            return crate::tokenizer::special_token(self.checkpoint.dir(), name);
        }
        let text = [configuration, &self.map].into_iter().find_map(|file| {
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
}
