//! Gemma (arXiv 2403.08295), Gemma 2 (arXiv 2408.00118) and the text models of Gemma 3 (arXiv
//! 2503.19786), including EmbeddingGemma: Llama's block with norms around every sublayer, norm
//! weights relative to one, and scaled token vectors.

use core::f64::consts::LOG2_E;

use anyhow::Result;
use kinglet::format::layout::{BlockPart, HeadPart, Role, Shape, Stack, StackPart};
use kinglet::format::spec::{Activation, Multiplier, QueryKeyNorm, Residual, StackSpec, TokenScale};

use super::Family;
use super::draft::{Context, Draft};
use super::head::{BASE, CAUSAL_LM, Head, LAST_TOKEN_CLASSIFICATION, Output, QUESTION_ANSWERING, TOKEN_CLASSIFICATION};
use super::llama::{self, LLAMA, Variant};
use super::parts::{layer_bits, score_scale, set_local, set_window, sliding_layer_types};
use super::rope::{Rope, rope};
use super::source::{Names, Value, edit};
use crate::fixed::multiplier;

/// Gemma.
pub(super) const FAMILY: Family = Family { model_types: &["gemma"], heads: HEADS, map: gemma };
/// Gemma 2.
pub(super) const FAMILY_2: Family = Family { model_types: &["gemma2"], heads: HEADS, map: gemma2 };
/// The text models of Gemma 3.
pub(super) const FAMILY_3: Family = Family { model_types: &["gemma3_text"], heads: HEADS, map: gemma3 };

const HEADS: &[Head] = &[
    BASE,
    CAUSAL_LM,
    LAST_TOKEN_CLASSIFICATION,
    Head { output: Output::Labels { module: "score", bias: true }, ..TOKEN_CLASSIFICATION },
    QUESTION_ANSWERING,
];

const NAMES_3: Names = Names {
    block: &[
        (BlockPart::AttentionNorm, "input_layernorm"),
        (BlockPart::Query, "self_attn.q_proj"),
        (BlockPart::Key, "self_attn.k_proj"),
        (BlockPart::Value, "self_attn.v_proj"),
        (BlockPart::QueryNorm, "self_attn.q_norm"),
        (BlockPart::KeyNorm, "self_attn.k_norm"),
        (BlockPart::Output, "self_attn.o_proj"),
        (BlockPart::AttentionPostNorm, "post_attention_layernorm"),
        (BlockPart::FeedForwardNorm, "pre_feedforward_layernorm"),
        (BlockPart::Gate, "mlp.gate_proj"),
        (BlockPart::Up, "mlp.up_proj"),
        (BlockPart::Down, "mlp.down_proj"),
        (BlockPart::FeedForwardPostNorm, "post_feedforward_layernorm"),
    ],
    ..llama::NAMES
};

fn gemma(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("use_bidirectional_attention", &[false.into()])?;
    let (mut stack, norm) = llama::stack(context, &LLAMA)?;
    if config.text_or(&["hidden_act"], "")? == "gelu" {
        // The first files say "gelu" and mean its tanh approximation.
        stack.block.feed_forward.activation = Activation::GeluTanh;
    }
    scale_embedding(&mut stack)?;
    let rope = rope(context, None, "rope_theta", None, Rope::plain(10_000.0, 1.0))?;
    let mut draft = Draft::new(context, Stack::Decoder, stack, &llama::NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), rope.table());
    add_one_to_norms(&mut draft);
    Ok(draft)
}

fn gemma2(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("use_bidirectional_attention", &[false.into()])?;
    let (mut stack, norm) = llama::stack(context, &Variant { activation: "hidden_activation", ..LLAMA })?;
    let layers = u32::from(stack.num_hidden_layers);
    set_sandwich(context, &mut stack)?;
    // Scores are in base two.
    stack.block.attention.soft_cap = cap(context, "attn_logit_softcapping", LOG2_E)?;
    let sliding = sliding_layer_types(config, layers)?.unwrap_or_else(|| layer_bits(layers, |layer| layer % 2 == 0));
    set_window(&mut stack, config.optional_size(&["sliding_window"])?, sliding)?;
    let rope = rope(context, None, "rope_theta", None, Rope::plain(10_000.0, 1.0))?;
    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES_3, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), rope.table());
    cap_logits(context, &mut draft)?;
    add_one_to_norms(&mut draft);
    Ok(draft)
}

fn gemma3(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let (mut stack, norm) = llama::stack(
        context,
        &Variant { query_key_norm: QueryKeyNorm::EachHead, activation: "hidden_activation", ..LLAMA },
    )?;
    let layers = u32::from(stack.num_hidden_layers);
    set_sandwich(context, &mut stack)?;
    config.only("attn_logit_softcapping", &[])?;

    // A bidirectional model (EmbeddingGemma) has half of the window on each side.
    let both_ways = config.flag_or(&["use_bidirectional_attention"], false)?;
    let window = config.optional_size(&["sliding_window"])?.map(|window| if both_ways { window / 2 } else { window });
    let pattern = config.optional_size(&["sliding_window_pattern", "_sliding_window_pattern"])?.unwrap_or(6).max(1);
    let sliding = sliding_layer_types(config, layers)?;
    let sliding = sliding.unwrap_or_else(|| layer_bits(layers, |layer| !(layer + 1).is_multiple_of(pattern)));
    // No window means one of unlimited length.
    set_local(&mut stack, window.unwrap_or(u32::MAX), sliding);

    let full = rope(context, Some("full_attention"), "rope_theta", None, Rope::plain(1e6, 1.0))?;
    let local = rope(context, Some("sliding_attention"), "rope_local_base_freq", None, Rope::plain(1e4, 1.0))?;
    let id = if both_ways { Stack::Encoder } else { Stack::Decoder };
    let mut draft = Draft::new(context, id, stack, &NAMES_3, norm);
    for (part, rope) in [(StackPart::Rotary, full), (StackPart::RotaryLocal, local)] {
        draft.sources.insert(Role::Stack(id, part), rope.table());
    }
    cap_logits(context, &mut draft)?;
    add_one_to_norms(&mut draft);
    Ok(draft)
}

/// Sets norms around every sublayer, and the scale of the scores.
fn set_sandwich(context: &Context<'_>, stack: &mut StackSpec) -> Result<()> {
    let config = context.config;
    scale_embedding(stack)?;
    stack.block.residual = Residual::Sandwich;
    stack.block.attention.scale = score_scale(1.0 / libm::sqrt(config.real_or(&["query_pre_attn_scalar"], 256.0)?))?;
    Ok(())
}

/// Caps the logits of a head on the vocabulary, with the table for the cap.
fn cap_logits(context: &Context<'_>, draft: &mut Draft) -> Result<()> {
    draft.logit_cap = cap(context, "final_logit_softcapping", 1.0)?;
    draft.sources.insert(Role::Head(HeadPart::TanhTable), Value::Activation(Activation::Tanh).into());
    Ok(())
}

/// The cap under a key, unless it is null.
fn cap(context: &Context<'_>, key: &str, unit: f64) -> Result<Option<Multiplier>> {
    let config = context.config;
    if config.get(&[key]).is_none() {
        return Ok(None);
    }
    multiplier(config.real_or(&[key], 0.0)? * unit).map(Some)
}

/// Scales token vectors by the square root of their width. `transformers` rounds the factor to its
/// data type: here, `f32`.
fn scale_embedding(stack: &mut StackSpec) -> Result<()> {
    stack.embedding.scale = TokenScale::Fixed(multiplier(f64::from(libm::sqrtf(stack.hidden_size as f32)))?);
    Ok(())
}

/// Adds one to the weights of norms, which are stored as differences from one.
fn add_one_to_norms(draft: &mut Draft) {
    let spec = draft.headless();
    edit(&mut draft.sources, |role, pick| {
        if matches!(role.shape(&spec), Some(Shape::Norm { .. })) {
            pick.offset = 1.0;
        }
    });
}
