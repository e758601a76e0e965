//! Maps `config.json` to a specification, and each role to the tensors that it is built from.
//!
//! A family is a row of [`FAMILIES`]: the `model_type`s that it serves, the heads that it may have,
//! and a function that fills in the stacks. Families do not compute: the sources of a role are data
//! ([`Source`]), and [`weights`](crate::weights) executes them.

use std::collections::BTreeMap;

use anyhow::Result;
use kinglet::format::layout::{Role, roles};
use kinglet::format::spec::{HeadSpec, ModelSpec, NumericsSpec, PackedSpec, Task};
use serde_json::Value as Json;

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::refuse;

mod albert;
mod bart;
mod bert;
mod bert_generation;
mod big_bird;
mod bloom;
mod build;
mod cohere;
mod convbert;
mod ctrl;
mod deberta;
mod direction;
mod distilbert;
mod draft;
mod electra;
mod embedding;
mod encoder_decoder;
mod esm;
mod eurobert;
mod gemma;
mod generation;
mod generation_keys;
mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod gptj;
mod granite;
mod gte;
mod head;
mod jina_bert;
mod keys;
mod lfm2;
mod llama;
mod mobilebert;
mod modernbert;
mod mpnet;
mod nomic_bert;
mod olmo;
mod openai_gpt;
mod opt;
mod options;
mod parts;
mod phi;
mod rembert;
mod roberta;
mod roformer;
mod rope;
mod smollm3;
mod source;
mod special;
mod squeezebert;
mod starcoder2;
mod static_embedding;
mod t5;
mod xglm;
mod xlm;
mod xlnet;
mod xmod;

pub(crate) use direction::direction_name;
pub use draft::Family;
pub use options::Options;
pub use source::{Pick, PositionProjection, Source, Value};
pub use special::SpecialTokens;

use draft::{Context, Draft};
use generation::Generation;

/// A checkpoint's architecture and the sources of its tensors.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// `model_type` of the configuration.
    pub model_type: String,
    /// The architecture.
    pub spec: ModelSpec,
    /// The source of each tensor: one entry for every role of the specification.
    pub sources: BTreeMap<Role, Source>,
    /// The names of the labels, in order; empty if the head has none.
    pub labels: Vec<String>,
    /// The special tokens.
    pub special: SpecialTokens,
    /// Notes on choices that a user should know about.
    pub notes: Vec<String>,
}

/// Every family, each in a file of its own.
pub const FAMILIES: &[&Family] = &[
    // Decoders.
    &bloom::FAMILY,
    &bloom::BIGCODE,
    &bloom::FALCON,
    &bloom::MPT,
    &cohere::FAMILY,
    &ctrl::FAMILY,
    &gemma::FAMILY,
    &gemma::FAMILY_2,
    &gemma::FAMILY_3,
    &gpt2::FAMILY,
    &gpt_neo::FAMILY,
    &gpt_neox::FAMILY,
    &gptj::FAMILY,
    &gptj::CODEGEN,
    &granite::FAMILY,
    &lfm2::FAMILY,
    &llama::FAMILY,
    &modernbert::DECODER,
    &olmo::FAMILY,
    &olmo::FAMILY_2,
    &openai_gpt::FAMILY,
    &opt::FAMILY,
    &phi::FAMILY,
    &smollm3::FAMILY,
    &starcoder2::FAMILY,
    &starcoder2::STABLELM,
    &xglm::FAMILY,
    &xglm::BIOGPT,
    // Encoders.
    &albert::FAMILY,
    &bert::FAMILY,
    &bert::MEGATRON,
    &bert_generation::FAMILY,
    &big_bird::FAMILY,
    &convbert::FAMILY,
    &deberta::FAMILY,
    &deberta::FAMILY_2,
    &distilbert::FAMILY,
    &electra::FAMILY,
    &esm::FAMILY,
    &eurobert::FAMILY,
    &gte::FAMILY,
    &mobilebert::FAMILY,
    &modernbert::FAMILY,
    &mpnet::FAMILY,
    &nomic_bert::FAMILY,
    &rembert::FAMILY,
    &roberta::FAMILY,
    &roberta::PRE_NORM,
    &roformer::FAMILY,
    &squeezebert::FAMILY,
    &static_embedding::FAMILY,
    &xlm::FAMILY,
    &xlnet::FAMILY,
    &xmod::FAMILY,
    // Encoder-decoders.
    &bart::FAMILY,
    &encoder_decoder::FAMILY,
    &t5::FAMILY,
];

/// A family whose checkpoints come with code of their own, and have the `model_type` of another
/// family.
pub struct Guise {
    /// The family.
    pub family: &'static Family,
    /// The key of `config.json` that distinguishes its checkpoints from the other family's.
    pub key: &'static str,
    /// The value of the key in its checkpoints.
    pub value: &'static str,
}

/// All such families.
pub const GUISES: &[Guise] = &[Guise { family: &jina_bert::FAMILY, key: "position_embedding_type", value: "alibi" }];

impl Guise {
    /// Whether a configuration is of this family. `get` looks up its keys.
    pub fn is<'a>(&self, get: impl Fn(&str) -> Option<&'a Json>) -> bool {
        let says = |key: &str| get(key).and_then(Json::as_str);
        says("model_type").is_some_and(|of| self.family.model_types.contains(&of)) && says(self.key) == Some(self.value)
    }
}

/// The family of a configuration.
fn find(config: &Config) -> Result<&'static Family> {
    if let Some(guise) = GUISES.iter().find(|guise| guise.is(|key| config.peek(key))) {
        config.get(&[guise.key]);
        return Ok(guise.family);
    }
    let model_type = config.peek("model_type").and_then(Json::as_str).unwrap_or_default();
    FAMILIES.iter().find(|family| family.model_types.contains(&model_type)).copied().ok_or_else(|| {
        let mut known: Vec<&str> = FAMILIES.iter().flat_map(|family| family.model_types).copied().collect();
        known.sort_unstable();
        refuse(
            format_args!("config.json says `model_type` = \"{model_type}\", which is not a family that Kinglet knows"),
            format_args!("it knows {}", known.join(", ")),
        )
    })
}

/// Maps a checkpoint to a specification.
///
/// # Errors
/// When the architecture, a key of the configuration or a value is not implemented; the message
/// names it.
pub fn map(checkpoint: &Checkpoint, options: &Options) -> Result<Mapping> {
    let config = &checkpoint.config;
    let family = find(config)?;
    let model_type = config.get(&["model_type"]).and_then(Json::as_str).unwrap_or_default();
    refuse_quantized(checkpoint)?;
    // Every configuration has this key, and only heads on the vocabulary read it.
    config.get(&["tie_word_embeddings"]);
    let (head, embedding) = build::choose(checkpoint, family.heads, options)?;
    let context = Context { checkpoint, config, options, model_type, head, embedding, crosses: false, find };
    let mut draft = (family.map)(&context)?;
    let (head, labels) = build::build(&context, family.heads, &mut draft)?;
    let mut mapping = assemble(&context, draft, head, labels)?;
    if !checkpoint.wrapper.is_empty() {
        mapping.notes.push(format!("the name of every tensor begins with `{}`, which is left out", checkpoint.wrapper));
    }
    let unread = config.check(keys::HARMLESS, &options.ignored_keys)?;
    if !unread.is_empty() {
        let names = unread.join("`, `");
        mapping.notes.push(format!("config.json has keys that change nothing in a {model_type} model: `{names}`"));
    }
    Ok(mapping)
}

/// Refuses weights that another program has quantized.
fn refuse_quantized(checkpoint: &Checkpoint) -> Result<()> {
    // The suffixes of tensors that GPTQ, AWQ and bitsandbytes store beside or instead of `weight`;
    // older files of GPTQ have no other mark.
    const PACKED: [&str; 4] = [".qweight", ".SCB", ".weight.absmax", ".weight.quant_state.bitsandbytes__nf4"];
    let action = "convert the checkpoint that it was made from: Kinglet quantizes real numbers itself";
    if let Some(said) = checkpoint.config.get(&["quantization_config"]) {
        let method = said["quant_method"].as_str().unwrap_or("bitsandbytes");
        return Err(refuse(
            format_args!("config.json has a `quantization_config`: the weights were quantized by {method} already"),
            action,
        ));
    }
    let packed = checkpoint.names().find(|name| PACKED.iter().any(|end| name.ends_with(end)));
    packed.map_or(Ok(()), |name| {
        Err(refuse(
            format_args!("the checkpoint has tensor `{name}`: its weights were quantized by another program"),
            action,
        ))
    })
}

fn assemble(context: &Context<'_>, mut draft: Draft, head: HeadSpec, labels: Vec<String>) -> Result<Mapping> {
    let options = context.options;
    let numerics = NumericsSpec {
        fraction_bits: 16,
        activations: options.activations,
        keys: options.keys,
        weights: options.weights,
        packed: PackedSpec::NONE,
        tile: options.tile.unwrap_or(if draft.encoder.is_some() { 8 } else { 1 }),
    };
    let direction = direction::read(context.checkpoint, options.direction)?;
    let mut spec = ModelSpec { numerics, direction, encoder: draft.encoder, decoder: draft.decoder, head };
    spec.check().map_err(|error| {
        refuse(
            format_args!("this model exceeds a limit of the runtime: {error}"),
            "use a smaller model, or --max-tokens",
        )
    })?;
    options.widths.apply(&mut spec)?;
    for (role, _) in roles(&spec) {
        if !draft.sources.contains_key(&role) {
            return Err(refuse(
                format_args!("the mapping of {} has no source for {role:?}", context.model_type),
                "this is a mistake in Kinglet: please report it with the config.json",
            ));
        }
    }
    let writes = spec.decoder.is_some() && spec.head.task == Task::CausalLm;
    let generation = Generation::read(context.checkpoint, writes, &options.ignored_keys, &mut draft.notes)?;
    let mut special = special::read(context.checkpoint, &generation)?;
    if draft.starts_with_last && spec.head.task != Task::CausalLm {
        special.decoder_start = None;
    }
    Ok(Mapping {
        model_type: context.model_type.to_owned(),
        special,
        spec,
        sources: draft.sources,
        labels,
        notes: draft.notes,
    })
}

#[cfg(test)]
mod tests;
