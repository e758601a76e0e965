//! StarCoder 2 (arXiv 2402.19173) and StableLM (Bellagente et al. 2024): Llama's block with layer
//! norms.

use anyhow::Result;
use kinglet::format::layout::BlockPart;
use kinglet::format::spec::Residual;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::llama::{self, HEADS, LLAMA, NAMES, Variant, Window};
use super::source::Names;

/// StarCoder 2.
pub(super) const FAMILY: Family = Family { model_types: &["starcoder2"], heads: HEADS, map: starcoder2 };
/// StableLM.
pub(super) const STABLELM: Family = Family { model_types: &["stablelm"], heads: HEADS, map: stablelm };

const STARCODER2_NAMES: Names = Names {
    block: &[
        (BlockPart::AttentionNorm, "input_layernorm"),
        (BlockPart::Query, "self_attn.q_proj"),
        (BlockPart::Key, "self_attn.k_proj"),
        (BlockPart::Value, "self_attn.v_proj"),
        (BlockPart::Output, "self_attn.o_proj"),
        (BlockPart::FeedForwardNorm, "post_attention_layernorm"),
        (BlockPart::Up, "mlp.c_fc"),
        (BlockPart::Down, "mlp.c_proj"),
    ],
    ..NAMES
};

fn starcoder2(context: &Context<'_>) -> Result<Draft> {
    let variant = Variant { names: STARCODER2_NAMES, norm: Norm::layer, gated: false, window: Window::Every, ..LLAMA };
    llama::draft(context, &variant)
}

fn stablelm(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    // With this option every head has a norm of its own.
    config.only("qk_layernorm", &[false.into()])?;
    let parallel = config.flag_or(&["use_parallel_residual"], false)?;
    let variant = Variant {
        norm: Norm::layer,
        output_bias: Some(false),
        partial: Some(0.25),
        residual: if parallel { Residual::ParallelShared } else { Residual::PreNorm },
        ..LLAMA
    };
    llama::draft(context, &variant)
}
