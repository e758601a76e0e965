//! RoFormer (arXiv 2104.09864): BERT with rotary positions, a token table that may be narrow, and
//! heads of its own.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionPosition, Pooling, Residual, Task};

use super::draft::{Context, Draft, Norm};
use super::head::{
    BASE, DENSE_CLASSIFICATION, Head, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, Transform, multiple_choice,
};
use super::parts::{even, layer_bits, plain_encoder, short};
use super::rope::Rope;
use super::source::{Names, edit_blocks, paired_halves, prefixed};
use super::{Family, bert};
use crate::refuse;
use crate::tables::Sinusoid;

/// RoFormer.
pub(super) const FAMILY: Family = Family { model_types: &["roformer"], heads: HEADS, map };

const HEADS: &[Head] = &[
    BASE,
    Head {
        suffixes: &["ForMaskedLM"],
        task: Task::MaskedLm,
        transform: Some(Transform {
            dense: "cls.predictions.transform.dense",
            bias: true,
            narrow: true,
            activation: None,
            norm: Some("cls.predictions.transform.LayerNorm"),
        }),
        output: Output::Vocabulary {
            weight: &["cls.predictions.decoder.weight"],
            bias: &["cls.predictions.bias", "cls.predictions.decoder.bias"],
        },
        ..BASE
    },
    DENSE_CLASSIFICATION,
    multiple_choice(Head { pooling: Pooling::Last, ..BASE }),
    TOKEN_CLASSIFICATION,
    QUESTION_ANSWERING,
];

const NAMES: Names = Names {
    prefixes: &["roformer."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::TokenTypeEmbedding, "embeddings.token_type_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
        (StackPart::EmbeddingProjection, "embeddings_project"),
    ],
    ..bert::NAMES
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    plain_encoder(context)?;
    config.only("rotary_value", &[false.into()])?;
    if context.head.task == Task::Regression {
        config.only_ever("summary_type", &["last".into()])?;
        config.only_ever("summary_use_proj", &[false.into()])?;
        config.only_ever("summary_activation", &[])?;
    }
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let dimensions = bert::dimensions(context, norm, max_positions)?;
    let embedding_size = config.optional_size(&["embedding_size"])?.unwrap_or(dimensions.hidden_size);
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    bert::set_embedding(&mut stack, embedding_size, embedding_size != dimensions.hidden_size, norm);
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    let attention = &mut stack.block.attention;
    let dims = even(attention.head_dim)?;
    attention.position =
        AttentionPosition::Rotary { dims, local: false, layers: layer_bits(dimensions.layers, |_| true) };
    check_stored_angles(context, max_positions, dims)?;
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    let rope = Rope::plain(10_000.0, 1.0);
    draft.sources.insert(Role::Stack(Stack::Encoder, StackPart::Rotary), rope.table());
    edit_blocks(&mut draft.sources, |_, part, pick| {
        if matches!(part, BlockPart::Query | BlockPart::Key) {
            pick.rows = Some(paired_halves(dimensions.heads, dims.into(), dims.into()).collect());
        }
    });
    Ok(draft)
}

/// Checks stored sines and cosines, which would be used in place of the computed ones and must
/// agree with them.
fn check_stored_angles(context: &Context<'_>, positions: u32, dims: u16) -> Result<()> {
    let names = prefixed(NAMES.prefixes, "encoder.embed_positions.weight");
    let Some(name) = names.iter().find(|name| context.checkpoint.shape(name).is_some()) else { return Ok(()) };
    let stored = context.checkpoint.tensor(name)?;
    let sinusoid = Sinusoid { interleaved: false, closed: false, first: 0, padded: false };
    let computed = sinusoid.table(positions as usize, dims.into());
    let same = stored.values.len() >= computed.len()
        && stored.values.iter().zip(&computed).all(|(stored, computed)| (stored - computed).abs() < 1e-3);
    if same {
        return Ok(());
    }
    Err(refuse(
        format_args!("tensor `{name}` is not the table of sines and cosines that the configuration implies"),
        "no other angles are implemented: this checkpoint cannot be converted",
    ))
}
