//! DistilBERT (arXiv 1910.01108): BERT without token types and pooler.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Stack, StackPart};
use kinglet::format::spec::{Activation, Pooling, PositionTable, Residual, Task};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, multiple_choice, pooler};
use super::parts::{Dimensions, activation_key, divide};
use super::source::Names;

/// DistilBERT.
pub(super) const FAMILY: Family = Family { model_types: &["distilbert"], heads: HEADS, map };

/// The head of a text classifier.
const CLASSIFIER: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::First,
    transform: pooler("pre_classifier", Activation::Relu),
    output: Output::Labels { module: "classifier", bias: true },
    ..BASE
};

const HEADS: &[Head] = &[
    BASE,
    Head {
        suffixes: &["ForMaskedLM"],
        task: Task::MaskedLm,
        transform: Some(Transform {
            dense: "vocab_transform",
            bias: true,
            narrow: false,
            activation: None,
            norm: Some("vocab_layer_norm"),
        }),
        output: Output::Vocabulary { weight: &["vocab_projector.weight"], bias: &["vocab_projector.bias"] },
        ..BASE
    },
    CLASSIFIER,
    multiple_choice(CLASSIFIER),
    TOKEN_CLASSIFICATION,
    QUESTION_ANSWERING,
];

const NAMES: Names = Names {
    prefixes: &["distilbert."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
    ],
    layer: "transformer.layer.{}.",
    block: &[
        (BlockPart::Query, "attention.q_lin"),
        (BlockPart::Key, "attention.k_lin"),
        (BlockPart::Value, "attention.v_lin"),
        (BlockPart::Output, "attention.out_lin"),
        (BlockPart::AttentionNorm, "sa_layer_norm"),
        (BlockPart::Up, "ffn.lin1"),
        (BlockPart::Down, "ffn.lin2"),
        (BlockPart::FeedForwardNorm, "output_layer_norm"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["dim", "hidden_size"])?;
    let heads = config.size(&["n_heads", "num_attention_heads"])?;
    // A table of sinusoids is stored in the same way as a learned one.
    config.get(&["sinusoidal_pos_embds"]);
    let norm = Norm::layer(1e-12);
    let dimensions = Dimensions {
        hidden_size,
        layers: config.size(&["n_layers", "num_hidden_layers"])?,
        heads,
        key_value_heads: heads,
        head_dim: divide(hidden_size, heads, "dim")?,
        intermediate_size: config.size(&["hidden_dim"])?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.stored_positions(config.size(&["max_position_embeddings"])?)?,
        norm,
        activation: activation_key(config, "activation", "gelu")?,
    };
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.norm = Some(norm.of(hidden_size));
    Ok(Draft::new(context, Stack::Encoder, stack, &NAMES, norm))
}
