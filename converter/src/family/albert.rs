//! ALBERT (arXiv 1909.11942): BERT with a narrow token table and blocks that layers share.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Stack, StackPart};
use kinglet::format::spec::{Activation, Pooling, PositionTable, Residual, Task};

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, multiple_choice, pooler};
use super::parts::{plain_encoder, short};
use super::source::Names;
use super::{Family, bert};
use crate::refuse;

/// ALBERT.
pub(super) const FAMILY: Family = Family { model_types: &["albert"], heads: HEADS, map };

/// The head of a text classifier.
const CLASSIFIER: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::First,
    transform: pooler("pooler", Activation::Tanh),
    output: Output::Labels { module: "classifier", bias: true },
    unused: &["sop_classifier."],
    ..BASE
};

const HEADS: &[Head] = &[
    Head { unused: UNUSED, ..BASE },
    Head {
        suffixes: &["ForMaskedLM", "ForPreTraining"],
        task: Task::MaskedLm,
        transform: Some(Transform {
            dense: "predictions.dense",
            bias: true,
            narrow: true,
            activation: None,
            norm: Some("predictions.LayerNorm"),
        }),
        output: Output::Vocabulary {
            weight: &["predictions.decoder.weight"],
            bias: &["predictions.bias", "predictions.decoder.bias"],
        },
        unused: UNUSED,
        ..BASE
    },
    CLASSIFIER,
    multiple_choice(CLASSIFIER),
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
    Head { unused: UNUSED, ..QUESTION_ANSWERING },
];

/// Modules of pretraining heads, which a checkpoint may still have.
const UNUSED: &[&str] = &["pooler.", "sop_classifier."];

const NAMES: Names = Names {
    prefixes: &["albert."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
        (StackPart::EmbeddingProjection, "encoder.embedding_hidden_mapping_in"),
    ],
    layer: "encoder.albert_layer_groups.{group}.albert_layers.{inner}.",
    block: &[
        (BlockPart::Query, "attention.query"),
        (BlockPart::Key, "attention.key"),
        (BlockPart::Value, "attention.value"),
        (BlockPart::Output, "attention.dense"),
        (BlockPart::AttentionNorm, "attention.LayerNorm"),
        (BlockPart::Up, "ffn"),
        (BlockPart::Down, "ffn_output"),
        (BlockPart::FeedForwardNorm, "full_layer_layer_norm"),
    ],
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    plain_encoder(context)?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let mut dimensions = bert::dimensions(context, norm, max_positions)?;
    let inner = config.optional_size(&["inner_group_num"])?.unwrap_or(1);
    if inner == 0 {
        return Err(refuse("config.json says `inner_group_num` = 0", "there must be at least one block in a group"));
    }
    // The configuration counts groups that are executed, each of `inner` blocks.
    dimensions.layers = dimensions.layers.saturating_mul(inner);
    let embedding_size = config.optional_size(&["embedding_size"])?.unwrap_or(128);
    let mut stack = dimensions.stack()?;
    stack.inner_group_num = short(inner, "inner_group_num")?;
    stack.num_hidden_groups = short(config.optional_size(&["num_hidden_groups"])?.unwrap_or(1), "num_hidden_groups")?;
    stack.block.residual = Residual::PostNorm;
    bert::set_embedding(&mut stack, embedding_size, true, norm);
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    Ok(Draft::new(context, Stack::Encoder, stack, &NAMES, norm))
}
