//! OLMo (arXiv 2402.00838): Llama's block, with norms without weights. OLMo 2 (arXiv 2501.00656):
//! norms after the sublayers, and one over all heads of queries and of keys.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Shape};
use kinglet::format::spec::{QueryKeyNorm, Residual};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION};
use super::llama::{self, LLAMA, Variant};
use super::source::{Names, Value};

/// OLMo.
pub(super) const FAMILY: Family =
    Family { model_types: &["olmo"], heads: &[BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION], map };

/// The configuration has no other epsilon.
const VARIANT: Variant = Variant { norm: |_| Norm { bias: false, ..Norm::layer(1e-5) }, ..LLAMA };

/// OLMo 2.
pub(super) const FAMILY_2: Family =
    Family { model_types: &["olmo2"], heads: &[BASE, CAUSAL_LM, LAST_TOKEN_CLASSIFICATION], map: second };

const SECOND: Variant = Variant {
    names: Names {
        block: &[
            (BlockPart::Query, "self_attn.q_proj"),
            (BlockPart::Key, "self_attn.k_proj"),
            (BlockPart::Value, "self_attn.v_proj"),
            (BlockPart::QueryNorm, "self_attn.q_norm"),
            (BlockPart::KeyNorm, "self_attn.k_norm"),
            (BlockPart::Output, "self_attn.o_proj"),
            (BlockPart::AttentionNorm, "post_attention_layernorm"),
            (BlockPart::Gate, "mlp.gate_proj"),
            (BlockPart::Up, "mlp.up_proj"),
            (BlockPart::Down, "mlp.down_proj"),
            (BlockPart::FeedForwardNorm, "post_feedforward_layernorm"),
        ],
        ..llama::NAMES
    },
    query_key_norm: QueryKeyNorm::AllHeads,
    residual: Residual::OutputNorm,
    ..LLAMA
};

fn second(context: &Context<'_>) -> Result<Draft> {
    llama::draft(context, &SECOND)
}

fn map(context: &Context<'_>) -> Result<Draft> {
    context.config.only("clip_qkv", &[])?;
    let mut draft = llama::draft(context, &VARIANT)?;
    let spec = draft.headless();
    let norms = draft.sources.iter_mut().filter(|(role, _)| matches!(role.shape(&spec), Some(Shape::Norm { .. })));
    norms.for_each(|(_, source)| *source = Value::Constant(1.0).into());
    Ok(draft)
}
