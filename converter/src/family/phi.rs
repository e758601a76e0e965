//! Phi 1, 1.5 and 2 (arXiv 2306.11644, 2309.05463): attention and network in parallel under one
//! norm, partial rotary positions.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionPosition, QueryKeyNorm, Residual};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, Head, LAST_TOKEN_CLASSIFICATION, Output, TOKEN_CLASSIFICATION};
use super::parts::{Dimensions, activation_key, divide, even, layer_bits, rotated};
use super::rope::{Rope, rope};
use super::source::Names;

/// Phi.
pub(super) const FAMILY: Family = Family {
    model_types: &["phi"],
    heads: &[
        BASE,
        Head { output: Output::Vocabulary { weight: &["lm_head.weight"], bias: &["lm_head.bias"] }, ..CAUSAL_LM },
        LAST_TOKEN_CLASSIFICATION,
        Head { output: Output::Labels { module: "score", bias: true }, ..TOKEN_CLASSIFICATION },
    ],
    map,
};

const NAMES: Names = Names {
    prefixes: &["model."],
    stack: &[(StackPart::TokenEmbedding, "embed_tokens"), (StackPart::FinalNorm, "final_layernorm")],
    layer: "layers.{}.",
    block: &[
        (BlockPart::AttentionNorm, "input_layernorm"),
        (BlockPart::Query, "self_attn.q_proj"),
        (BlockPart::Key, "self_attn.k_proj"),
        (BlockPart::Value, "self_attn.v_proj"),
        (BlockPart::QueryNorm, "self_attn.q_layernorm"),
        (BlockPart::KeyNorm, "self_attn.k_layernorm"),
        (BlockPart::Output, "self_attn.dense"),
        (BlockPart::Up, "mlp.fc1"),
        (BlockPart::Down, "mlp.fc2"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let layers = config.size(&["num_hidden_layers"])?;
    let heads = config.size(&["num_attention_heads"])?;
    let head_dim = divide(hidden_size, heads, "hidden_size")?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers,
        heads,
        key_value_heads: config.optional_size(&["num_key_value_heads"])?.unwrap_or(heads),
        head_dim,
        intermediate_size: config.size(&["intermediate_size"])?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.size(&["max_position_embeddings"])?),
        norm,
        activation: activation_key(config, "hidden_act", "gelu_new")?,
    };
    let default = Rope::plain(10_000.0, 0.5);
    let rope = rope(context, None, "rope_theta", Some("partial_rotary_factor"), default)?;
    let mut stack = dimensions.stack()?;
    stack.final_norm = Some(norm.of(hidden_size));
    stack.block.residual = Residual::ParallelShared;
    if config.flag_or(&["qk_layernorm"], false)? {
        stack.block.attention.query_key_norm = QueryKeyNorm::EachHead(norm.of(head_dim));
    }
    stack.block.attention.position = AttentionPosition::Rotary {
        dims: even(rotated(head_dim, rope.partial)?)?,
        local: false,
        layers: layer_bits(layers, |_| true),
    };
    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), rope.table());
    Ok(draft)
}
