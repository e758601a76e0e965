//! RemBERT (arXiv 2010.12821): BERT with a narrow token table, and a wide output matrix of its own.

use anyhow::Result;
use kinglet::format::layout::{Stack, StackPart};
use kinglet::format::spec::{Activation, Pooling, PositionTable, Residual, Task};

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, multiple_choice, pooler};
use super::parts::{plain_encoder, short};
use super::source::Names;
use super::{Family, bert};

/// RemBERT.
pub(super) const FAMILY: Family = Family { model_types: &["rembert"], heads: HEADS, map };

/// The head of a text classifier.
const CLASSIFIER: Head = Head {
    suffixes: &["ForSequenceClassification"],
    task: Task::Classification,
    pooling: Pooling::First,
    transform: pooler("pooler.dense", Activation::Tanh),
    output: Output::Labels { module: "classifier", bias: true },
    ..BASE
};

const HEADS: &[Head] = &[
    Head { unused: UNUSED, ..BASE },
    Head {
        suffixes: &["ForMaskedLM"],
        task: Task::MaskedLm,
        transform: Some(Transform {
            dense: "cls.predictions.dense",
            bias: true,
            narrow: false,
            activation: None,
            norm: Some("cls.predictions.LayerNorm"),
        }),
        output: Output::Vocabulary {
            weight: &["cls.predictions.decoder.weight"],
            bias: &["cls.predictions.decoder.bias"],
        },
        unused: UNUSED,
        ..BASE
    },
    CLASSIFIER,
    multiple_choice(CLASSIFIER),
    Head { unused: UNUSED, ..TOKEN_CLASSIFICATION },
    Head { unused: UNUSED, ..QUESTION_ANSWERING },
];

/// A pooler that only classifiers use.
const UNUSED: &[&str] = &["pooler."];

const NAMES: Names = Names {
    prefixes: &["rembert."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
        (StackPart::EmbeddingProjection, "encoder.embedding_hidden_mapping_in"),
    ],
    ..bert::NAMES
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    plain_encoder(context)?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let mut stack = bert::dimensions(context, norm, max_positions)?.stack()?;
    stack.block.residual = Residual::PostNorm;
    bert::set_embedding(&mut stack, config.size(&["input_embedding_size"])?, true, norm);
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    let written = config.size(&["output_embedding_size"])?;
    draft.transform_size = (context.head.task == Task::MaskedLm).then_some(written);
    Ok(draft)
}
