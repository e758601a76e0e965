//! Nomic BERT (arXiv 2402.01613): BERT's post-norm blocks with rotary positions, a gated network
//! and no biases in the blocks.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, AttentionPosition, Pooling, Residual, Task};
use serde_json::Value as Json;

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, TOKEN_CLASSIFICATION, Transform, pooler};
use super::parts::{Dimensions, divide, layer_bits, short};
use super::rope::{Rope, rope};
use super::source::{Names, prefixed, split_fused};
use super::{Family, bert};
use crate::refuse;

/// Nomic BERT.
pub(super) const FAMILY: Family = Family { model_types: &["nomic_bert"], heads: HEADS, map };

const HEADS: &[Head] = &[
    Head { unused: UNUSED, ..BASE },
    Head {
        suffixes: &["ForMaskedLM"],
        task: Task::MaskedLm,
        transform: Some(Transform {
            dense: "cls.predictions.transform.dense",
            bias: true,
            narrow: false,
            activation: None,
            norm: Some("cls.predictions.transform.layer_norm"),
        }),
        output: Output::Vocabulary {
            weight: &["cls.predictions.decoder.weight"],
            bias: &["cls.predictions.bias", "cls.predictions.decoder.bias"],
        },
        unused: UNUSED,
        ..BASE
    },
    Head {
        suffixes: &["ForSequenceClassification"],
        task: Task::Classification,
        pooling: Pooling::First,
        transform: pooler("pooler.dense", Activation::Tanh),
        output: Output::Labels { module: "classifier", bias: true },
        unused: &["cls."],
        ..BASE
    },
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
];

/// A pooler that only classifiers use.
const UNUSED: &[&str] = &["pooler."];

/// The names in `transformers`' modules.
const NAMES: Names = Names {
    prefixes: &["nomic_bert."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
    ],
    layer: "layers.{}.",
    block: &[
        (BlockPart::Query, "self_attn.q_proj"),
        (BlockPart::Key, "self_attn.k_proj"),
        (BlockPart::Value, "self_attn.v_proj"),
        (BlockPart::Output, "self_attn.o_proj"),
        (BlockPart::AttentionNorm, "post_attention_layernorm"),
        (BlockPart::Gate, "mlp.gate_proj"),
        (BlockPart::Up, "mlp.up_proj"),
        (BlockPart::Down, "mlp.down_proj"),
        (BlockPart::FeedForwardNorm, "post_mlp_layernorm"),
    ],
};

/// The names in files, of either origin.
const STORED_NAMES: Names = Names {
    prefixes: &["nomic_bert.", "bert."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "emb_ln"),
    ],
    layer: "encoder.layers.{}.",
    block: &[
        (BlockPart::Query, "attn.Wqkv"),
        (BlockPart::Key, "attn.Wqkv"),
        (BlockPart::Value, "attn.Wqkv"),
        (BlockPart::Output, "attn.out_proj"),
        (BlockPart::AttentionNorm, "norm1"),
        (BlockPart::Gate, "mlp.fc12"),
        (BlockPart::Up, "mlp.fc11"),
        (BlockPart::Down, "mlp.fc2"),
        (BlockPart::FeedForwardNorm, "norm2"),
    ],
};

/// The dimensions, and the base of the rotary angles.
fn dimensions(context: &Context<'_>) -> Result<(Dimensions, Rope)> {
    let config = context.config;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.computed_positions(config.size(&["max_position_embeddings"])?);
    let mut dimensions = bert::dimensions(context, norm, max_positions)?;
    if let Some(head_dim) = config.optional_size(&["head_dim"])? {
        dimensions.head_dim = head_dim;
    }
    Ok((dimensions, rope(context, None, "rope_theta", None, Rope::plain(1000.0, 1.0))?))
}

/// Keys of the first checkpoints that change the computation, with the implemented value, and the
/// default in the checkpoints' code.
const FIRST_KEYS: [(&str, bool, bool); 12] = [
    ("prenorm", false, false),
    ("parallel_block", false, false),
    ("parallel_block_tied_norm", false, false),
    ("use_rms_norm", false, false),
    ("causal", false, false),
    ("qkv_proj_bias", false, true),
    ("mlp_fc1_bias", false, true),
    ("mlp_fc2_bias", false, true),
    ("rotary_emb_interleaved", false, false),
    ("scale_attn_weights", true, true),
    ("scale_attn_by_inverse_layer_idx", false, false),
    ("last_layer_subset", false, false),
];

/// Reads [`dimensions`] of the first checkpoints, which have GPT-2's keys and code of their own.
fn first_dimensions(context: &Context<'_>) -> Result<(Dimensions, Rope)> {
    let config = context.config;
    for (key, implemented, default) in FIRST_KEYS {
        if config.get(&[key]).unwrap_or(&Json::Bool(default)) != &Json::Bool(implemented) {
            return Err(refuse(
                format_args!("config.json says `{key}` = {}, or leaves it out", !implemented),
                format_args!("of the code that this checkpoint carries only {implemented} is implemented"),
            ));
        }
    }
    let rotated = config.get(&["rotary_emb_fraction"]).and_then(Json::as_f64).unwrap_or(0.0);
    if rotated != 1.0 {
        return Err(refuse(
            format_args!("config.json says `rotary_emb_fraction` = {rotated}, which is not implemented"),
            "only 1, for heads that are rotated as a whole, is implemented",
        ));
    }
    for key in ["rotary_emb_scale_base", "rotary_scaling_factor"] {
        config.only_ever(key, &[])?;
    }
    // How the computation is executed, the longest text in training, and the padding of the
    // vocabulary.
    for key in ["use_flash_attn", "fused_bias_fc", "fused_dropout_add_ln", "use_xentropy", "dense_seq_output"]
        .into_iter()
        .chain(["max_trained_positions", "pad_vocab_size_multiple"])
    {
        config.get(&[key]);
    }
    let activation = match config.get(&["activation_function"]).and_then(Json::as_str).unwrap_or("swiglu") {
        "swiglu" => Activation::Silu,
        "geglu" => Activation::Gelu,
        other => {
            return Err(refuse(
                format_args!("config.json says `activation_function` = \"{other}\", which is not implemented"),
                "only swiglu and geglu are implemented",
            ));
        }
    };
    let hidden_size = config.stated_size("n_embd")?;
    let heads = config.stated_size("n_head")?;
    let real = |key: &str, default: f64| config.get(&[key]).and_then(Json::as_f64).unwrap_or(default);
    let dimensions = Dimensions {
        hidden_size,
        layers: config.stated_size("n_layer")?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "n_embd")?,
        intermediate_size: config.stated_size("n_inner")?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.stated_size("n_positions")?),
        norm: Norm::layer(real("layer_norm_epsilon", 1e-12)),
        activation,
    };
    Ok((dimensions, Rope::plain(real("rotary_emb_base", 10_000.0), 1.0)))
}

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let is_first = config.has("n_embd") && !config.has("hidden_size");
    let (dimensions, rope) = if is_first { first_dimensions(context)? } else { dimensions(context)? };
    let norm = dimensions.norm;
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    stack.embedding.norm = Some(norm.of(dimensions.hidden_size));
    stack.block.feed_forward.gated = true;
    stack.block.feed_forward.bias = false;
    let attention = &mut stack.block.attention;
    (attention.qkv_bias, attention.output_bias) = (false, false);
    attention.position = AttentionPosition::Rotary {
        dims: attention.head_dim,
        local: false,
        layers: layer_bits(dimensions.layers, |_| true),
    };
    let fused = prefixed(STORED_NAMES.prefixes, "encoder.layers.0.attn.Wqkv.weight");
    let is_fused = fused.iter().any(|name| context.checkpoint.shape(name).is_some());
    let names = if is_fused { &STORED_NAMES } else { &NAMES };
    let mut draft = Draft::new(context, Stack::Encoder, stack, names, norm);
    draft.sources.insert(Role::Stack(Stack::Encoder, StackPart::Rotary), rope.table());
    split_fused(&mut draft.sources, &stack);
    Ok(draft)
}
