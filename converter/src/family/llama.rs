//! Llama (arXiv 2302.13971) and the families that share its block: RMS norm, rotary positions,
//! grouped queries, a gated network.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionPosition, NormSpec, QueryKeyNorm, Residual, StackSpec};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::head::{Head, Output};
use super::parts::{Dimensions, activation_key, divide, even, layer_bits, rotated};
use super::parts::{set_window, sliding_layer_types};
use super::rope::{Rope, scaled_rope};
use super::source::{Names, edit_blocks, paired_halves, split_fused};

/// Llama, Arcee, Mistral (arXiv 2310.06825), Ministral, Qwen 2 (arXiv 2407.10671), Qwen 3 (arXiv
/// 2505.09388), Phi 3 (arXiv 2404.14219), GLM 4 (arXiv 2406.12793) and Helium.
pub(super) const FAMILY: Family = Family {
    model_types: &["llama", "arcee", "glm", "helium", "ministral", "mistral", "phi3", "qwen2", "qwen3"],
    heads: HEADS,
    map,
};

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

/// Queries, keys and values in one matrix, and the two halves of the gated network in another.
const FUSED: Names = Names {
    block: &[
        (BlockPart::AttentionNorm, "input_layernorm"),
        (BlockPart::Query, "self_attn.qkv_proj"),
        (BlockPart::Key, "self_attn.qkv_proj"),
        (BlockPart::Value, "self_attn.qkv_proj"),
        (BlockPart::Output, "self_attn.o_proj"),
        (BlockPart::FeedForwardNorm, "post_attention_layernorm"),
        (BlockPart::Gate, "mlp.gate_up_proj"),
        (BlockPart::Up, "mlp.gate_up_proj"),
        (BlockPart::Down, "mlp.down_proj"),
    ],
    ..NAMES
};

/// The two halves of the gated network in one matrix.
const FUSED_GATE: Names = Names {
    block: &[
        (BlockPart::AttentionNorm, "input_layernorm"),
        (BlockPart::Query, "self_attn.q_proj"),
        (BlockPart::Key, "self_attn.k_proj"),
        (BlockPart::Value, "self_attn.v_proj"),
        (BlockPart::Output, "self_attn.o_proj"),
        (BlockPart::FeedForwardNorm, "post_attention_layernorm"),
        (BlockPart::Gate, "mlp.gate_up_proj"),
        (BlockPart::Up, "mlp.gate_up_proj"),
        (BlockPart::Down, "mlp.down_proj"),
    ],
    ..NAMES
};

/// The differences between the families that share Llama's block.
#[derive(Clone, Copy)]
pub(super) struct Variant {
    /// `model_type` of the family.
    pub(super) model_type: &'static str,
    /// The names of the tensors.
    pub(super) names: Names,
    /// Whether queries, keys and values have biases; `None` if `attention_bias` decides.
    pub(super) qkv_bias: Option<bool>,
    /// Whether the output projection has a bias; `None` if `attention_bias` decides.
    pub(super) output_bias: Option<bool>,
    /// The norm of queries and keys.
    pub(super) query_key_norm: fn(NormSpec) -> QueryKeyNorm,
    /// The layers with a sliding window.
    pub(super) window: Window,
    /// The key of the activation.
    pub(super) activation: &'static str,
    /// Whether the network has a gate.
    pub(super) gated: bool,
    /// The formula of the norms for an epsilon.
    pub(super) norm: fn(f64) -> Norm,
    /// The order of norms and residual connections.
    pub(super) residual: Residual,
    /// The part of each head that is rotated unless `partial_rotary_factor` says otherwise; `None`
    /// for the whole head, whatever that key says.
    pub(super) partial: Option<f64>,
    /// Whether rotated pairs are adjacent.
    pub(super) neighbours: bool,
}

/// The layers with a sliding window.
#[derive(Clone, Copy)]
pub(super) enum Window {
    /// No layer.
    None,
    /// All layers, with `sliding_window` unless that is null.
    Every,
    /// Like `Every`, but only the layers that `layer_types` marks, if it is given.
    Typed,
    /// With `use_sliding_window`, the layers that `layer_types` marks, or those from
    /// `max_window_layers` on.
    Late,
}

const VARIANTS: &[Variant] = &[
    LLAMA,
    Variant { model_type: "arcee", gated: false, ..LLAMA },
    Variant {
        model_type: "glm",
        names: FUSED_GATE,
        output_bias: Some(false),
        partial: Some(0.5),
        neighbours: true,
        ..LLAMA
    },
    Variant { model_type: "helium", output_bias: Some(false), neighbours: true, ..LLAMA },
    Variant { model_type: "ministral", window: Window::Typed, ..LLAMA },
    Variant { model_type: "mistral", window: Window::Every, ..LLAMA },
    Variant { model_type: "phi3", names: FUSED, window: Window::Every, partial: Some(1.0), ..LLAMA },
    Variant { model_type: "qwen2", qkv_bias: Some(true), output_bias: Some(false), window: Window::Late, ..LLAMA },
    Variant { model_type: "qwen3", query_key_norm: QueryKeyNorm::EachHead, window: Window::Late, ..LLAMA },
];

pub(super) const LLAMA: Variant = Variant {
    model_type: "llama",
    names: NAMES,
    qkv_bias: None,
    output_bias: None,
    query_key_norm: |_| QueryKeyNorm::None,
    window: Window::None,
    activation: "hidden_act",
    gated: true,
    norm: Norm::rms,
    residual: Residual::PreNorm,
    partial: None,
    neighbours: false,
};

fn map(context: &Context<'_>) -> Result<Draft> {
    draft(context, VARIANTS.iter().find(|variant| variant.model_type == context.model_type).unwrap_or(&LLAMA))
}

/// The draft of a decoder with rotary positions in every layer.
pub(super) fn draft(context: &Context<'_>, variant: &Variant) -> Result<Draft> {
    let (mut stack, norm) = stack(context, variant)?;
    let rope = variant_rope(context, variant)?;
    rope.amplify(&mut stack)?;
    let mut draft = Draft::new(context, Stack::Decoder, stack, &variant.names, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), rope.table());
    finish(&mut draft, variant, &stack);
    Ok(draft)
}

/// Splits fused matrices, and reorders adjacent rotated pairs for the runtime.
pub(super) fn finish(draft: &mut Draft, variant: &Variant, stack: &StackSpec) {
    let attention = &stack.block.attention;
    split_fused(&mut draft.sources, stack);
    let AttentionPosition::Rotary { dims, .. } = attention.position else { return };
    if variant.neighbours {
        edit_blocks(&mut draft.sources, |_, part, pick| {
            let heads = match part {
                BlockPart::Query => attention.num_attention_heads,
                BlockPart::Key => attention.num_key_value_heads,
                _ => return,
            };
            pick.rows = Some(paired_halves(heads.into(), attention.head_dim.into(), dims.into()).collect());
        });
    }
}

fn variant_rope(context: &Context<'_>, variant: &Variant) -> Result<Rope> {
    const PARTIAL: &str = "partial_rotary_factor";
    // Null is not the default: it means the whole head.
    let partial = variant.partial.filter(|_| !context.config.has(PARTIAL)).unwrap_or(1.0);
    let default = Rope::plain(10_000.0, partial);
    scaled_rope(context, None, "rope_theta", variant.partial.map(|_| PARTIAL), default)
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
    let norm = (variant.norm)(config.real_or(&["rms_norm_eps", "layer_norm_eps", "norm_epsilon"], 1e-6)?);
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
    stack.block.residual = variant.residual;
    stack.block.feed_forward.gated = variant.gated;
    stack.block.feed_forward.bias = config.flag_or(&["mlp_bias", "use_bias"], false)?;
    let attention = &mut stack.block.attention;
    let bias = |fixed: Option<bool>| {
        fixed.map_or_else(|| config.flag_or(&["attention_bias", "use_qkv_bias", "use_bias"], false), Ok)
    };
    attention.qkv_bias = bias(variant.qkv_bias)?;
    attention.output_bias = bias(variant.output_bias)?;
    attention.query_key_norm = (variant.query_key_norm)(norm.of(head_dim));
    let dims = match variant.partial {
        Some(_) => even(rotated(head_dim, variant_rope(context, variant)?.partial)?)?,
        None => attention.head_dim,
    };
    attention.position = AttentionPosition::Rotary { dims, local: false, layers: layer_bits(layers, |_| true) };
    match variant.window {
        Window::None => {}
        Window::Every => {
            set_window(&mut stack, config.optional_size(&["sliding_window"])?, layer_bits(layers, |_| true))?;
        }
        Window::Typed => {
            let sliding = sliding_layer_types(config, layers)?.unwrap_or_else(|| layer_bits(layers, |_| true));
            set_window(&mut stack, config.optional_size(&["sliding_window"])?, sliding)?;
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
