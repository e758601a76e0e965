//! MPNet (arXiv 2004.09297): RoBERTa's positions and heads, and T5's biases by distance.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionPosition, PositionTable, Residual};

use super::draft::{Context, Draft, Norm};
use super::source::{Names, Value, edit, tensor};
use super::{Family, bert, roberta};
use crate::refuse;
use crate::tables::Buckets;

/// MPNet.
pub(super) const FAMILY: Family = Family { model_types: &["mpnet"], heads: &roberta::HEADS, map };

const NAMES: Names = Names {
    prefixes: &["mpnet."],
    stack: &[
        (StackPart::TokenEmbedding, "embeddings.word_embeddings"),
        (StackPart::PositionEmbedding, "embeddings.position_embeddings"),
        (StackPart::EmbeddingNorm, "embeddings.LayerNorm"),
    ],
    layer: "encoder.layer.{}.",
    block: &[
        (BlockPart::Query, "attention.attn.q"),
        (BlockPart::Key, "attention.attn.k"),
        (BlockPart::Value, "attention.attn.v"),
        (BlockPart::Output, "attention.attn.o"),
        (BlockPart::AttentionNorm, "attention.LayerNorm"),
        (BlockPart::Up, "intermediate.dense"),
        (BlockPart::Down, "output.dense"),
        (BlockPart::FeedForwardNorm, "output.LayerNorm"),
    ],
};

/// The padding token and the row of its position, whatever the configuration says.
const PADDING: u32 = 1;
/// The row of the first position.
const FIRST_POSITION: u32 = PADDING + 1;

/// The only buckets that MPNet computes, whatever the configuration says.
const BUCKETS: Buckets = Buckets { count: 32, max_distance: 128, bidirectional: true };

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let rows = config.size(&["max_position_embeddings"])?;
    let max_positions = context.stored_positions(rows.saturating_sub(FIRST_POSITION))?;
    let dimensions = bert::dimensions(context, norm, max_positions)?;
    let stored = config.optional_size(&["relative_attention_num_buckets"])?.unwrap_or(BUCKETS.count);
    if stored < BUCKETS.count {
        return Err(refuse(
            format_args!("config.json says `relative_attention_num_buckets` = {stored}"),
            format_args!("MPNet always computes with {}, so config.json must say that number", BUCKETS.count),
        ));
    }
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.block.attention.position = AttentionPosition::RelativeBias { distance: BUCKETS.distance(max_positions)? };
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.padding = Some(PADDING);
    stack.embedding.norm = Some(norm.of(dimensions.hidden_size));
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    edit(&mut draft.sources, |role, pick| {
        if role == Role::Stack(Stack::Encoder, StackPart::PositionEmbedding) {
            pick.rows = Some((FIRST_POSITION..FIRST_POSITION + max_positions).chain([PADDING]).collect());
        }
    });
    let table = tensor(NAMES.prefixes, "encoder.relative_attention_bias", "weight").rows(0..BUCKETS.count);
    draft.sources.insert(
        Role::Stack(Stack::Encoder, StackPart::RelativeBias),
        Value::RelativeBias { tables: vec![table], buckets: BUCKETS }.into(),
    );
    Ok(draft)
}
