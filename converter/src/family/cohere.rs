//! Command R (Cohere 2024): attention and a gated network in parallel under one norm without a
//! bias, adjacent rotated pairs, a factor on the logits.

use anyhow::Result;
use kinglet::format::layout::Stack;
use kinglet::format::spec::{Residual, Task};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM};
use super::llama::{self, LLAMA, Variant};
use super::parts::multiply_logits;

/// Command R.
pub(super) const FAMILY: Family = Family { model_types: &["cohere"], heads: &[BASE, CAUSAL_LM], map };

const VARIANT: Variant = Variant {
    norm: |epsilon| Norm { bias: false, ..Norm::layer(epsilon) },
    residual: Residual::ParallelShared,
    neighbours: true,
    ..LLAMA
};

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    // With this option every head has a norm of its own.
    config.only("use_qk_norm", &[false.into()])?;
    let mut draft = llama::draft(context, &VARIANT)?;
    let factor = config.real_or(&["logit_scale"], 1.0)?;
    if context.head.task == Task::CausalLm {
        multiply_logits(&mut draft, Stack::Decoder, factor);
    }
    Ok(draft)
}
