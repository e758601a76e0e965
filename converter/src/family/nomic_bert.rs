//! Nomic BERT (arXiv 2402.01613): BERT's post-norm blocks with rotary positions, a gated network
//! and no biases in the blocks.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{Activation, AttentionPosition, Pooling, Residual, Task};

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, TOKEN_CLASSIFICATION, Transform, pooler};
use super::parts::{layer_bits, short};
use super::rope::{Rope, rope};
use super::source::{Names, prefixed, split_fused};
use super::{Family, bert};

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

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.computed_positions(config.size(&["max_position_embeddings"])?);
    let mut dimensions = bert::dimensions(context, norm, max_positions)?;
    if let Some(head_dim) = config.optional_size(&["head_dim"])? {
        dimensions.head_dim = head_dim;
    }
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
    let rope = rope(context, None, "rope_theta", None, Rope::plain(1000.0, 1.0))?;
    let fused = prefixed(STORED_NAMES.prefixes, "encoder.layers.0.attn.Wqkv.weight");
    let is_fused = fused.iter().any(|name| context.checkpoint.shape(name).is_some());
    let names = if is_fused { &STORED_NAMES } else { &NAMES };
    let mut draft = Draft::new(context, Stack::Encoder, stack, names, norm);
    draft.sources.insert(Role::Stack(Stack::Encoder, StackPart::Rotary), rope.table());
    split_fused(&mut draft.sources, &stack);
    Ok(draft)
}
