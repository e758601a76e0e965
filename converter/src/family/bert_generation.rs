//! BERT for generation (arXiv 1907.12461): an encoder and a decoder of BERT's blocks, without token
//! types.

use anyhow::Result;
use kinglet::format::layout::{Stack, StackPart};
use kinglet::format::spec::{PositionTable, Residual, Task};

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, Head, Output};
use super::source::Names;
use super::{Family, bert};

/// The encoder and the decoder.
pub(super) const FAMILY: Family = Family { model_types: &["bert-generation"], heads: HEADS, map };

const HEADS: &[Head] = &[
    Head { suffixes: &["GenerationEncoder"], unused: &["lm_head."], ..BASE },
    Head {
        suffixes: &["GenerationDecoder"],
        output: Output::Vocabulary {
            weight: &["lm_head.decoder.weight"],
            bias: &["lm_head.bias", "lm_head.decoder.bias"],
        },
        ..CAUSAL_LM
    },
];

pub(super) const NAMES: Names = Names {
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
    ],
    ..bert::NAMES
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let causal = context.head.task == Task::CausalLm;
    config.only("is_decoder", &[causal.into()])?;
    config.only("add_cross_attention", &[context.crosses.into()])?;
    config.only_ever("position_embedding_type", &["absolute".into()])?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let mut stack = bert::dimensions(context, norm, max_positions)?.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.block.cross_attention = context.crosses;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.norm = Some(norm.of(stack.hidden_size));
    let id = if causal { Stack::Decoder } else { Stack::Encoder };
    Ok(Draft::new(context, id, stack, &NAMES, norm))
}
