//! EuroBERT (arXiv 2503.05500): Llama's block, with attention in both directions.

use anyhow::Result;
use kinglet::format::layout::{Role, Stack, StackPart};
use kinglet::format::spec::{Activation, Pooling, Task};

use super::Family;
use super::draft::{Context, Draft};
use super::head::{BASE, Head, Output, TOKEN_CLASSIFICATION, pooler};
use super::llama::{self, LLAMA, NAMES};
use super::rope::{Rope, rope};
use crate::refuse;

/// EuroBERT.
pub(super) const FAMILY: Family = Family { model_types: &["eurobert"], heads: HEADS, map };

const HEADS: &[Head] = &[
    BASE,
    Head {
        suffixes: &["ForMaskedLM"],
        task: Task::MaskedLm,
        output: Output::Vocabulary { weight: &["lm_head.weight"], bias: &["lm_head.bias"] },
        ..BASE
    },
    Head {
        suffixes: &["ForSequenceClassification"],
        task: Task::Classification,
        transform: pooler("dense", Activation::Gelu),
        output: Output::Labels { module: "classifier", bias: true },
        ..BASE
    },
    TOKEN_CLASSIFICATION,
];

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let (stack, norm) = llama::stack(context, &LLAMA)?;
    let rope = rope(context, None, "rope_theta", None, Rope::plain(10_000.0, 1.0))?;
    let mut draft = Draft::new(context, Stack::Encoder, stack, &NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Encoder, StackPart::Rotary), rope.table());
    if let (Output::Vocabulary { bias, .. }, false) = (&mut draft.head.output, stack.block.feed_forward.bias) {
        *bias = &[];
    }
    let pooling = config.text_or(&["classifier_pooling"], "late")?;
    if draft.head.task == Task::Classification {
        draft.head.pooling = match pooling {
            "bos" => Pooling::First,
            "mean" => Pooling::Mean,
            other => {
                return Err(refuse(
                    format_args!("config.json says `classifier_pooling` = \"{other}\", which is not implemented"),
                    "only bos and mean are implemented",
                ));
            }
        };
    }
    Ok(draft)
}
