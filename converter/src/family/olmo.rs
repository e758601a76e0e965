//! OLMo (arXiv 2402.00838): Llama's block with norms that have no weights.

use anyhow::Result;
use kinglet::format::layout::Shape;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION};
use super::llama::{self, LLAMA, Variant};
use super::source::Value;

/// OLMo.
pub(super) const FAMILY: Family =
    Family { model_types: &["olmo"], heads: &[BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION], map };

/// Nothing in its configuration says another epsilon.
const VARIANT: Variant = Variant { norm: |_| Norm { bias: false, ..Norm::layer(1e-5) }, ..LLAMA };

fn map(context: &Context<'_>) -> Result<Draft> {
    context.config.only("clip_qkv", &[])?;
    let mut draft = llama::draft(context, &VARIANT)?;
    let spec = draft.headless();
    let norms = draft.sources.iter_mut().filter(|(role, _)| matches!(role.shape(&spec), Some(Shape::Norm { .. })));
    norms.for_each(|(_, source)| *source = Value::Constant(1.0).into());
    Ok(draft)
}
