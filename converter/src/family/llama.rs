//! Llama and the families that share its block: RMS norm, rotary positions, grouped queries, a gated network.
//!
//! Llama (arXiv 2302.13971).

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::AttentionPosition;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::head::{Head, Output};
use super::parts::{Dimensions, Rope, activation_key, divide, layer_bits, rope};
use super::source::{Names, Value};

/// Llama.
pub(super) const FAMILY: Family = Family { model_types: &["llama"], heads: HEADS, map };

pub(super) const HEADS: &[Head] = &[
    BASE,
    CAUSAL_LM,
    LAST_TOKEN_CLASSIFICATION,
    Head { output: Output::Labels { module: "score", bias: true }, ..TOKEN_CLASSIFICATION },
    QUESTION_ANSWERING,
];

pub(super) const NAMES: Names = Names {
    prefixes: &["model.", "transformer."],
    stack: &[(StackPart::TokenEmbedding, "embed_tokens"), (StackPart::FinalNorm, "norm")],
    layer: "layers.{}.",
    block: &[
        (BlockPart::AttentionNorm, "input_layernorm"),
        (BlockPart::Query, "self_attn.q_proj"),
        (BlockPart::Key, "self_attn.k_proj"),
        (BlockPart::Value, "self_attn.v_proj"),
        (BlockPart::QueryNorm, "self_attn.q_norm"),
        (BlockPart::KeyNorm, "self_attn.k_norm"),
        (BlockPart::Output, "self_attn.o_proj"),
        (BlockPart::FeedForwardNorm, "post_attention_layernorm"),
        (BlockPart::Gate, "mlp.gate_proj"),
        (BlockPart::Up, "mlp.up_proj"),
        (BlockPart::Down, "mlp.down_proj"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let layers = config.size(&["num_hidden_layers"])?;
    let heads = config.size(&["num_attention_heads"])?;
    let head_dim = match config.optional_size(&["head_dim"])? {
        Some(dim) => dim,
        None => divide(hidden_size, heads, "hidden_size")?,
    };
    let norm = Norm::rms(config.real_or(&["rms_norm_eps"], 1e-6)?);
    let rope = rope(config, None, &["rope_theta"], &[], Rope { theta: 10_000.0, partial: 1.0 })?;
    let dimensions = Dimensions {
        hidden_size,
        layers,
        heads,
        key_value_heads: config.optional_size(&["num_key_value_heads"])?.unwrap_or(heads),
        head_dim,
        intermediate_size: config.size(&["intermediate_size"])?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.optional_size(&["max_position_embeddings"])?.unwrap_or(2048)),
        norm,
        activation: activation_key(config, &["hidden_act"], "silu")?,
    };
    let mut stack = dimensions.stack()?;
    stack.final_norm = Some(norm.of(hidden_size));
    stack.block.feed_forward.gated = true;
    stack.block.feed_forward.bias = config.flag_or(&["mlp_bias"], false)?;
    let attention = &mut stack.block.attention;
    attention.qkv_bias = config.flag_or(&["attention_bias"], false)?;
    attention.output_bias = attention.qkv_bias;
    attention.position =
        AttentionPosition::Rotary { dims: attention.head_dim, local: false, layers: layer_bits(layers, |_| true) };
    let mut draft = Draft::new(Stack::Decoder, stack, &NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), Value::Rotary { theta: rope.theta }.into());
    Ok(draft)
}
