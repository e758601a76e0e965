//! ConvBERT (arXiv 2008.02496): ELECTRA, in which a dynamic convolution takes the place of half of the
//! heads of attention.

use core::f32::consts::LOG2_E;

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack};
use kinglet::format::spec::{Convolution, MAX_KERNEL_SIZE, Pooling, PositionTable, Residual, SpanConvolutionSpec};

use super::draft::{Context, Draft, Norm};
use super::head::{BASE, DENSE_CLASSIFICATION, Head, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, multiple_choice};
use super::parts::{divide, plain_encoder, short, summary_pooling};
use super::source::{Names, Value, edit_blocks};
use super::{Family, bert, electra};
use crate::config::Config;
use crate::refuse;

/// ConvBERT.
pub(super) const FAMILY: Family = Family { model_types: &["convbert"], heads: HEADS, map };

const HEADS: &[Head] = &[
    BASE,
    electra::MASKED_LM,
    DENSE_CLASSIFICATION,
    multiple_choice(Head { pooling: Pooling::Last, ..BASE }),
    TOKEN_CLASSIFICATION,
    QUESTION_ANSWERING,
];

const NAMES: Names = Names {
    prefixes: &["convbert."],
    stack: electra::NAMES.stack,
    block: &[
        (BlockPart::Query, "attention.self.query"),
        (BlockPart::Key, "attention.self.key"),
        (BlockPart::Value, "attention.self.value"),
        (BlockPart::SpanDepthwise, "attention.self.key_conv_attn_layer.depthwise"),
        (BlockPart::SpanKey, "attention.self.key_conv_attn_layer.pointwise"),
        (BlockPart::SpanValue, "attention.self.conv_out_layer"),
        (BlockPart::SpanKernel, "attention.self.conv_kernel_layer"),
        (BlockPart::Output, "attention.output.dense"),
        (BlockPart::AttentionNorm, "attention.output.LayerNorm"),
        (BlockPart::Up, "intermediate.dense"),
        (BlockPart::Down, "output.dense"),
        (BlockPart::FeedForwardNorm, "output.LayerNorm"),
    ],
    ..bert::NAMES
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    plain_encoder(context)?;
    let norm = Norm::layer(config.real_or(&["layer_norm_eps"], 1e-12)?);
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let mut dimensions = bert::dimensions(context, norm, max_positions)?;
    let hidden_size = dimensions.hidden_size;
    let ratio = config.optional_size(&["head_ratio"])?.unwrap_or(2);
    let heads = dimensions.heads.checked_div(ratio).ok_or_else(|| {
        refuse("config.json says `head_ratio` = 0", "take config.json from the checkpoint's page again")
    })?;
    dimensions.heads = heads.max(1);
    dimensions.key_value_heads = dimensions.heads;
    dimensions.head_dim = divide(hidden_size, 2 * dimensions.heads, "hidden_size")?;
    let mut stack = dimensions.stack()?;
    stack.block.residual = Residual::PostNorm;
    stack.convolution = Convolution::Span(SpanConvolutionSpec { kernel_size: kernel_size(config)? });
    let embedding_size = config.optional_size(&["embedding_size"])?.unwrap_or(hidden_size);
    bert::set_embedding(&mut stack, embedding_size, embedding_size != hidden_size, norm);
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.embedding.token_types = short(config.optional_size(&["type_vocab_size"])?.unwrap_or(2), "type_vocab_size")?;
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    edit_blocks(&mut draft.sources, |_, part, pick| match part {
        BlockPart::SpanKernel => pick.factor *= LOG2_E,
        BlockPart::SpanKey => {
            pick.names.iter_mut().for_each(|name| *name = name.replace(".pointwise.bias", ".bias"));
        }
        _ => {}
    });
    group(config, &mut draft, [hidden_size, dimensions.intermediate_size])?;
    if draft.head.pooling == Pooling::Last {
        set_summary(config, &mut draft)?;
    }
    Ok(draft)
}

/// The width of the convolutions, in tokens.
fn kernel_size(config: &Config) -> Result<u8> {
    let size = config.optional_size(&["conv_kernel_size"])?.unwrap_or(9);
    u8::try_from(size).ok().filter(|size| size % 2 == 1 && *size <= MAX_KERNEL_SIZE).ok_or_else(|| {
        refuse(
            format_args!("config.json says `conv_kernel_size` = {size}"),
            format_args!("odd ones up to {MAX_KERNEL_SIZE} are implemented"),
        )
    })
}

/// Makes the feed-forward network of grouped linear layers, if it has several groups.
fn group(config: &Config, draft: &mut Draft, [hidden, inner]: [u32; 2]) -> Result<()> {
    let groups = config.optional_size(&["num_groups"])?.unwrap_or(1);
    if groups == 0 || !hidden.is_multiple_of(groups) || !inner.is_multiple_of(groups) {
        return Err(refuse(
            format_args!("config.json says `num_groups` = {groups}, which does not divide {hidden} and {inner}"),
            "take config.json from the checkpoint's page again",
        ));
    }
    if groups == 1 {
        return Ok(());
    }
    for (role, source) in &mut draft.sources {
        if let (Role::Block(_, _, BlockPart::Up | BlockPart::Down), Value::Tensor(pick)) = (role, &mut source.weight) {
            pick.transposed = true;
            source.weight = Value::Grouped { pick: pick.clone(), groups };
        }
    }
    Ok(())
}

/// Applies the keys of the head for multiple choice, which reads one token.
fn set_summary(config: &Config, draft: &mut Draft) -> Result<()> {
    config.only("summary_use_proj", &[false.into()])?;
    config.only("summary_activation", &[])?;
    draft.head.pooling = summary_pooling(config, "last")?;
    Ok(())
}
