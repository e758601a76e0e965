//! GPT-Neo (Black et al. 2021), also for TinyStories (arXiv 2305.07759): GPT-2 with unscaled scores
//! and local windows in some layers.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Stack, StackPart};
use kinglet::format::spec::PositionTable;
use serde_json::Value as Json;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::parts::{Dimensions, activation_key, divide, layer_bits, score_scale, set_window};
use super::source::Names;
use crate::config::Config;
use crate::refuse;

/// GPT-Neo.
pub(super) const FAMILY: Family = Family {
    model_types: &["gpt_neo"],
    heads: &[BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, TOKEN_CLASSIFICATION, QUESTION_ANSWERING],
    map,
};

const NAMES: Names = Names {
    prefixes: &["transformer."],
    stack: &[(StackPart::TokenEmbedding, "wte"), (StackPart::PositionEmbedding, "wpe"), (StackPart::FinalNorm, "ln_f")],
    layer: "h.{}.",
    block: &[
        (BlockPart::AttentionNorm, "ln_1"),
        (BlockPart::Query, "attn.attention.q_proj"),
        (BlockPart::Key, "attn.attention.k_proj"),
        (BlockPart::Value, "attn.attention.v_proj"),
        (BlockPart::Output, "attn.attention.out_proj"),
        (BlockPart::FeedForwardNorm, "ln_2"),
        (BlockPart::Up, "mlp.c_fc"),
        (BlockPart::Down, "mlp.c_proj"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let layers = config.size(&["num_layers", "num_hidden_layers"])?;
    let heads = config.size(&["num_heads", "num_attention_heads"])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_epsilon"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "hidden_size")?,
        intermediate_size: config.optional_size(&["intermediate_size"])?.unwrap_or(4 * hidden_size),
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.stored_positions(config.size(&["max_position_embeddings"])?)?,
        norm,
        activation: activation_key(config, "activation_function", "gelu_new")?,
    };
    let mut stack = dimensions.stack()?;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.final_norm = Some(norm.of(hidden_size));
    stack.block.attention.qkv_bias = false;
    stack.block.attention.scale = score_scale(1.0)?;
    let local = local_layers(config, layers)?;
    set_window(&mut stack, config.optional_size(&["window_size"])?.or(Some(256)), local)?;
    Ok(Draft::new(context, Stack::Decoder, stack, &NAMES, norm))
}

/// The bit set of local layers. `attention_layers` lists them; `attention_types` has groups that
/// repeat.
fn local_layers(config: &Config, layers: u32) -> Result<u64> {
    let groups = config.get(&["attention_types"]).and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let kinds: Vec<&Json> = match config.get(&["attention_layers"]).and_then(Json::as_array) {
        Some(list) => list.iter().collect(),
        None => groups.iter().flat_map(repeated).collect(),
    };
    let known = kinds.iter().all(|kind| matches!(kind.as_str(), Some("global" | "local")));
    if !known || kinds.len() != layers as usize {
        return Err(refuse(
            format_args!("config.json gives {} attention types, for {layers} layers", kinds.len()),
            "`attention_types` must say global or local for each layer: take config.json from the checkpoint's page again",
        ));
    }
    Ok(layer_bits(layers, |layer| kinds[layer as usize] == "local"))
}

/// `[["global", "local"], 3]`: the list, three times.
fn repeated(group: &Json) -> Vec<&Json> {
    let list = group[0].as_array().map_or(&[][..], Vec::as_slice);
    // A bound on the layers that a file can ask for.
    let times = group[1].as_u64().unwrap_or(0).min(1000);
    (0..times).flat_map(|_| list).collect()
}
