//! Llama and the families that share its block: RMS norm, rotary positions, grouped queries, a gated network.
//!
//! Llama (arXiv 2302.13971).

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{
    AttentionPosition, AttentionSpec, BlockSpec, EmbeddingProjection, EmbeddingSpec, FeedForwardSpec, Residual,
    StackSpec,
};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::head::{Head, Output};
use super::parts::{Rope, activation_key, divide, layer_bits, rope, short, usual_scale};
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
    prefix: "model.",
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
    let key_value_heads = config.optional_size(&["num_key_value_heads"])?.unwrap_or(heads);
    let head_dim = match config.optional_size(&["head_dim"])? {
        Some(dim) => dim,
        None => divide(hidden_size, heads, "hidden_size")?,
    };
    let vocab_size = config.size(&["vocab_size"])?;
    let norm = Norm::rms(config.real_or(&["rms_norm_eps"], 1e-6)?);
    let rope = rope(config, None, &["rope_theta"], &[], Rope { theta: 10_000.0, partial: 1.0 })?;
    let attention_bias = config.flag_or(&["attention_bias"], false)?;
    let stack = StackSpec {
        hidden_size,
        num_hidden_layers: short(layers, "num_hidden_layers")?,
        num_hidden_groups: short(layers, "num_hidden_layers")?,
        inner_group_num: 1,
        max_positions: context.computed_positions(config.optional_size(&["max_position_embeddings"])?.unwrap_or(2048)),
        embedding: EmbeddingSpec {
            vocab_size,
            embedding_size: hidden_size,
            shared: false,
            scale: None,
            positions: false,
            token_types: 0,
            projection: EmbeddingProjection::None,
            projection_bias: false,
            norm: None,
        },
        block: BlockSpec {
            norm: norm.of(hidden_size),
            residual: Residual::PreNorm,
            skip_first_norm: false,
            attention: AttentionSpec {
                num_attention_heads: short(heads, "num_attention_heads")?,
                num_key_value_heads: short(key_value_heads, "num_key_value_heads")?,
                head_dim: short(head_dim, "head_dim")?,
                qkv_bias: attention_bias,
                output_bias: attention_bias,
                scale: usual_scale(head_dim)?,
                query_key_norm: None,
                position: AttentionPosition::Rotary {
                    dims: short(head_dim, "head_dim")?,
                    local: false,
                    layers: layer_bits(layers, |_| true),
                },
                window: 0,
                sliding_layers: 0,
                soft_cap: None,
            },
            cross_attention: false,
            feed_forward: FeedForwardSpec {
                intermediate_size: config.size(&["intermediate_size"])?,
                activation: activation_key(config, &["hidden_act"], "silu")?,
                gated: true,
                bias: config.flag_or(&["mlp_bias"], false)?,
            },
        },
        final_norm: Some(norm.of(hidden_size)),
    };
    let mut draft = Draft::new(Stack::Decoder, stack, &NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), Value::Rotary { theta: rope.theta }.into());
    Ok(draft)
}
