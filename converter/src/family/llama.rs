//! Llama and the families that share its block: RMS norm, rotary positions, grouped queries, a gated network.
//!
//! Llama (arXiv 2302.13971).

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionPosition, StackSpec};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::head::{Head, Output};
use super::parts::{Dimensions, Rope, activation_key, divide, layer_bits, rope, set_window, sliding_layer_types};
use super::source::{Names, Value};

/// Llama, Mistral (arXiv 2310.06825), Qwen 2 (arXiv 2407.10671) and Qwen 3 (arXiv 2505.09388).
pub(super) const FAMILY: Family = Family { model_types: &["llama", "mistral", "qwen2", "qwen3"], heads: HEADS, map };

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

/// In what the families that share Llama's block differ.
pub(super) struct Variant {
    /// Its `model_type`.
    pub(super) model_type: &'static str,
    /// Whether queries, keys and values have biases; as `attention_bias` says where `None`.
    pub(super) qkv_bias: Option<bool>,
    /// The same for the output projection.
    pub(super) output_bias: Option<bool>,
    /// Queries and keys are normed.
    pub(super) query_key_norm: bool,
    /// Which layers have a sliding window.
    pub(super) window: Window,
    /// The key of the activation.
    pub(super) activation: &'static str,
}

/// Which layers have a sliding window.
pub(super) enum Window {
    /// None.
    None,
    /// All, of `sliding_window` if that is not null.
    Every,
    /// Those of `layer_types`, or from `max_window_layers` on, if `use_sliding_window`.
    Late,
}

const VARIANTS: &[Variant] = &[
    LLAMA,
    Variant { model_type: "mistral", qkv_bias: Some(false), output_bias: Some(false), window: Window::Every, ..LLAMA },
    Variant { model_type: "qwen2", qkv_bias: Some(true), output_bias: Some(false), window: Window::Late, ..LLAMA },
    Variant { model_type: "qwen3", query_key_norm: true, window: Window::Late, ..LLAMA },
];

pub(super) const LLAMA: Variant = Variant {
    model_type: "llama",
    qkv_bias: None,
    output_bias: None,
    query_key_norm: false,
    window: Window::None,
    activation: "hidden_act",
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let variant = VARIANTS.iter().find(|variant| variant.model_type == context.model_type).unwrap_or(&LLAMA);
    let (stack, norm) = stack(context, variant)?;
    let rope = rope(context.config, None, "rope_theta", None, Rope { theta: 10_000.0, partial: 1.0 })?;
    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, norm);
    draft.sources.insert(
        Role::Stack(Stack::Decoder, StackPart::Rotary),
        Value::Rotary { theta: rope.theta, spread: None }.into(),
    );
    Ok(draft)
}

/// The stack, with rotary positions in every layer.
pub(super) fn stack(context: &Context<'_>, variant: &Variant) -> Result<(StackSpec, Norm)> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let layers = config.size(&["num_hidden_layers"])?;
    let heads = config.size(&["num_attention_heads"])?;
    let head_dim = match config.optional_size(&["head_dim"])? {
        Some(dim) => dim,
        None => divide(hidden_size, heads, "hidden_size")?,
    };
    let norm = Norm::rms(config.real_or(&["rms_norm_eps"], 1e-6)?);
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
        activation: activation_key(config, variant.activation, "silu")?,
    };
    let mut stack = dimensions.stack()?;
    stack.final_norm = Some(norm.of(hidden_size));
    stack.block.feed_forward.gated = true;
    stack.block.feed_forward.bias = config.flag_or(&["mlp_bias"], false)?;
    let attention = &mut stack.block.attention;
    let bias = |fixed: Option<bool>| fixed.map_or_else(|| config.flag_or(&["attention_bias"], false), Ok);
    attention.qkv_bias = bias(variant.qkv_bias)?;
    attention.output_bias = bias(variant.output_bias)?;
    attention.query_key_norm = variant.query_key_norm.then(|| norm.of(head_dim));
    attention.position =
        AttentionPosition::Rotary { dims: attention.head_dim, local: false, layers: layer_bits(layers, |_| true) };
    match variant.window {
        Window::None => {}
        Window::Every => {
            set_window(&mut stack, config.optional_size(&["sliding_window"])?, layer_bits(layers, |_| true))?;
        }
        Window::Late => {
            let first = config.optional_size(&["max_window_layers"])?.unwrap_or(28);
            let late =
                sliding_layer_types(config, layers)?.unwrap_or_else(|| layer_bits(layers, |layer| layer >= first));
            let window = config.optional_size(&["sliding_window"])?.unwrap_or(4096);
            let used = config.flag_or(&["use_sliding_window"], false)?;
            set_window(&mut stack, used.then_some(window), late)?;
        }
    }
    Ok((stack, norm))
}
