//! XGLM (arXiv 2112.10668) and BioGPT (arXiv 2210.10341): decoders of BART's blocks in pre-norm
//! order.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{PositionTable, StackSpec, TokenScale};

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM, Head, LAST_TOKEN_CLASSIFICATION, Output, TOKEN_CLASSIFICATION};
use super::parts::{Dimensions, activation_key, divide};
use super::source::{Names, Value, edit};
use crate::fixed::multiplier;
use crate::refuse;
use crate::tables::Sinusoid;

/// XGLM.
pub(super) const FAMILY: Family = Family { model_types: &["xglm"], heads: &[BASE, CAUSAL_LM], map: xglm };
/// BioGPT.
pub(super) const BIOGPT: Family = Family {
    model_types: &["biogpt"],
    heads: &[
        BASE,
        Head { output: Output::Vocabulary { weight: &["output_projection.weight"], bias: &[] }, ..CAUSAL_LM },
        LAST_TOKEN_CLASSIFICATION,
        TOKEN_CLASSIFICATION,
    ],
    map: biogpt,
};

const NAMES: Names = Names {
    prefixes: &["model.", "biogpt."],
    stack: &[
        (StackPart::TokenEmbedding, "embed_tokens"),
        (StackPart::PositionEmbedding, "embed_positions"),
        (StackPart::FinalNorm, "layer_norm"),
    ],
    layer: "layers.{}.",
    block: &[
        (BlockPart::AttentionNorm, "self_attn_layer_norm"),
        (BlockPart::Query, "self_attn.q_proj"),
        (BlockPart::Key, "self_attn.k_proj"),
        (BlockPart::Value, "self_attn.v_proj"),
        (BlockPart::Output, "self_attn.out_proj"),
        (BlockPart::FeedForwardNorm, "final_layer_norm"),
        (BlockPart::Up, "fc1"),
        (BlockPart::Down, "fc2"),
    ],
};

/// The epsilon of all norms, whatever the configuration says.
const EPSILON: f64 = 1e-5;
/// The number of positions before that of the first token.
const OFFSET: u32 = 2;

fn xglm(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("add_cross_attention", &[false.into()])?;
    let hidden_size = config.size(&["d_model", "hidden_size"])?;
    let heads = config.size(&["attention_heads", "num_attention_heads"])?;
    let max_positions = context.computed_positions(config.size(&["max_position_embeddings"])?);
    // The position with the number of the padding token has a vector of zeros.
    let padding = config.optional_size(&["pad_token_id"])?;
    if let Some(padding) = padding.filter(|id| (OFFSET..OFFSET.saturating_add(max_positions)).contains(id)) {
        return Err(refuse(
            format_args!("config.json says `pad_token_id` = {padding}, which takes position {} away", padding - OFFSET),
            "only 0 and 1 are implemented: this checkpoint cannot be converted",
        ));
    }
    let stack = stack(
        context,
        &Dimensions {
            hidden_size,
            layers: config.size(&["num_layers", "num_hidden_layers"])?,
            heads,
            key_value_heads: heads,
            head_dim: divide(hidden_size, heads, "d_model")?,
            intermediate_size: config.size(&["ffn_dim"])?,
            vocab_size: config.size(&["vocab_size"])?,
            max_positions,
            norm: Norm::layer(EPSILON),
            activation: activation_key(config, "activation_function", "gelu")?,
        },
    )?;
    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, Norm::layer(EPSILON));
    let sinusoid = Sinusoid { interleaved: false, closed: true, first: OFFSET, padded: false };
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::PositionEmbedding), Value::Sinusoidal(sinusoid).into());
    Ok(draft)
}

fn biogpt(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let heads = config.size(&["num_attention_heads"])?;
    let max_positions = context.stored_positions(config.size(&["max_position_embeddings"])?)?;
    let stack = stack(
        context,
        &Dimensions {
            hidden_size,
            layers: config.size(&["num_hidden_layers"])?,
            heads,
            key_value_heads: heads,
            head_dim: divide(hidden_size, heads, "hidden_size")?,
            intermediate_size: config.size(&["intermediate_size"])?,
            vocab_size: config.size(&["vocab_size"])?,
            max_positions,
            norm: Norm::layer(EPSILON),
            activation: activation_key(config, "hidden_act", "gelu")?,
        },
    )?;
    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, Norm::layer(EPSILON));
    edit(&mut draft.sources, |role, pick| {
        if role == Role::Stack(Stack::Decoder, StackPart::PositionEmbedding) {
            pick.rows = Some((OFFSET..OFFSET + max_positions).collect());
        }
    });
    Ok(draft)
}

fn stack(context: &Context<'_>, dimensions: &Dimensions) -> Result<StackSpec> {
    let mut stack = dimensions.stack()?;
    stack.embedding.positions = PositionTable::BeforeNorm;
    stack.final_norm = Some(dimensions.norm.of(dimensions.hidden_size));
    if context.config.flag_or(&["scale_embedding"], true)? {
        stack.embedding.scale = TokenScale::Fixed(multiplier(libm::sqrt(f64::from(dimensions.hidden_size)))?);
    }
    Ok(stack)
}
