//! ELECTRA (arXiv 2003.10555): BERT with a token table that may be narrow; generators and
//! discriminators.

use anyhow::Result;
use kinglet::format::layout::{Stack, StackPart};
use kinglet::format::spec::{Activation, Pooling, PositionTable, Residual, Task};

use super::draft::{Context, Draft, Norm};
use super::head::{
    BASE, DENSE_CLASSIFICATION, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, multiple_choice,
    pooler,
};
use super::parts::{plain_encoder, short};
use super::source::Names;
use super::{Family, bert};

/// ELECTRA.
pub(super) const FAMILY: Family = Family { model_types: &["electra"], heads: HEADS, map };

/// The head of a generator.
pub(super) const MASKED_LM: Head = Head {
    suffixes: &["ForMaskedLM"],
    task: Task::MaskedLm,
    transform: Some(Transform {
        dense: "generator_predictions.dense",
        bias: true,
        narrow: true,
        activation: Some(Activation::Gelu),
        norm: Some("generator_predictions.LayerNorm"),
    }),
    output: Output::Vocabulary { weight: &["generator_lm_head.weight"], bias: &["generator_lm_head.bias"] },
    ..BASE
};

const HEADS: &[Head] = &[
    BASE,
    MASKED_LM,
    Head {
        suffixes: &["ForPreTraining"],
        task: Task::ReplacedToken,
        transform: Some(Transform {
            dense: "discriminator_predictions.dense",
            bias: true,
            narrow: false,
            activation: None,
            norm: None,
        }),
        output: Output::Rows { module: "discriminator_predictions.dense_prediction", rows: 1 },
        ..BASE
    },
    Head { transform: pooler("classifier.dense", Activation::Gelu), ..DENSE_CLASSIFICATION },
    multiple_choice(Head {
        pooling: Pooling::First,
        transform: pooler("sequence_summary.summary", Activation::Gelu),
        ..BASE
    }),
    TOKEN_CLASSIFICATION,
    QUESTION_ANSWERING,
];

pub(super) const NAMES: Names = Names {
    prefixes: &["electra."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
        (StackPart::EmbeddingProjection, "embeddings_project"),
    ],
    ..bert::NAMES
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    plain_encoder(context)?;
    if context.head.task == Task::Regression {
        config.only("summary_type", &["first".into()])?;
        config.only("summary_use_proj", &[true.into()])?;
        config.only("summary_proj_to_labels", &[false.into()])?;
        config.only("summary_activation", &["gelu".into()])?;
    }
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let dimensions = bert::dimensions(context, norm, max_positions)?;
    let embedding_size = config.optional_size(&["embedding_size"])?.unwrap_or(128);
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    bert::set_embedding(&mut stack, embedding_size, embedding_size != dimensions.hidden_size, norm);
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    Ok(Draft::new(context, Stack::Encoder, stack, &NAMES, norm))
}
