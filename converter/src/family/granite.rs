//! Granite 3 (IBM 2024): Llama's block with factors on token vectors, on the outputs of sublayers,
//! on scores and on logits.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Stack};
use kinglet::format::spec::{Task, TokenScale};

use super::Family;
use super::draft::{Context, Draft};
use super::head::{BASE, CAUSAL_LM};
use super::llama::{self, LLAMA};
use super::parts::{multiply_logits, score_scale};
use super::source::edit_blocks;
use crate::fixed::multiplier;

/// Granite.
pub(super) const FAMILY: Family = Family { model_types: &["granite"], heads: &[BASE, CAUSAL_LM], map };

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let mut draft = llama::draft(context, &LLAMA)?;
    if let Some(stack) = &mut draft.decoder {
        let embedding = config.real_or(&["embedding_multiplier"], 1.0)?;
        stack.embedding.scale =
            if embedding == 1.0 { TokenScale::None } else { TokenScale::Fixed(multiplier(embedding)?) };
        stack.block.attention.scale = score_scale(config.real_or(&["attention_multiplier"], 1.0)?)?;
    }
    let residual = config.real_or(&["residual_multiplier"], 1.0)? as f32;
    edit_blocks(&mut draft.sources, |_, part, pick| {
        if matches!(part, BlockPart::Output | BlockPart::Down) {
            pick.factor = residual;
        }
    });
    let logits = config.real_or(&["logits_scaling"], 1.0)?;
    if context.head.task == Task::CausalLm {
        multiply_logits(&mut draft, Stack::Decoder, 1.0 / logits);
    }
    Ok(draft)
}
