//! LFM2 (arXiv 2511.23404): layers with attention, and layers with a gated short convolution in its
//! place.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{
    Activation, AttentionPosition, Convolution, MAX_KERNEL_SIZE, QueryKeyNorm, ShortConvolutionSpec,
};
use serde_json::Value as Json;

use super::Family;
use super::draft::{Context, Draft, Norm};
use super::head::{BASE, CAUSAL_LM};
use super::parts::{Dimensions, divide, layer_bits};
use super::rope::{Rope, scaled_rope};
use super::source::{Names, edit_blocks, stacked};
use crate::config::Config;
use crate::refuse;

/// LFM2.
pub(super) const FAMILY: Family = Family { model_types: &["lfm2"], heads: &[BASE, CAUSAL_LM], map };

const NAMES: Names = Names {
    prefixes: &["model."],
    stack: &[(StackPart::TokenEmbedding, "embed_tokens"), (StackPart::FinalNorm, "embedding_norm")],
    layer: "layers.{}.",
    block: &[
        (BlockPart::AttentionNorm, "operator_norm"),
        (BlockPart::Query, "self_attn.q_proj"),
        (BlockPart::Key, "self_attn.k_proj"),
        (BlockPart::Value, "self_attn.v_proj"),
        (BlockPart::QueryNorm, "self_attn.q_layernorm"),
        (BlockPart::KeyNorm, "self_attn.k_layernorm"),
        (BlockPart::Output, "self_attn.out_proj"),
        (BlockPart::ShortKernel, "conv.conv"),
        (BlockPart::FeedForwardNorm, "ffn_norm"),
        (BlockPart::Gate, "feed_forward.w1"),
        (BlockPart::Up, "feed_forward.w3"),
        (BlockPart::Down, "feed_forward.w2"),
    ],
};

/// In a layer with a convolution: the name of each part in [`NAMES`], its name, and its place among
/// the three parts of a fused matrix.
const CONVOLUTION_NAMES: [(BlockPart, &str, &str, Option<u32>); 4] = [
    (BlockPart::Key, "self_attn.k_proj", "conv.in_proj", Some(0)),
    (BlockPart::Query, "self_attn.q_proj", "conv.in_proj", Some(1)),
    (BlockPart::Value, "self_attn.v_proj", "conv.in_proj", Some(2)),
    (BlockPart::Output, "self_attn.out_proj", "conv.out_proj", None),
];

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let hidden_size = config.size(&["hidden_size"])?;
    let layers = config.size(&["num_hidden_layers"])?;
    let heads = config.size(&["num_attention_heads"])?;
    let head_dim = match config.optional_size(&["head_dim"])? {
        Some(dim) => dim,
        None => divide(hidden_size, heads, "hidden_size")?,
    };
    let norm = Norm::rms(config.real_or(&["norm_eps"], 1e-5)?);
    let dimensions = Dimensions {
        hidden_size,
        layers,
        heads,
        key_value_heads: config.size(&["num_key_value_heads"])?,
        head_dim,
        intermediate_size: intermediate_size(config)?,
        vocab_size: config.size(&["vocab_size"])?,
        max_positions: context.computed_positions(config.size(&["max_position_embeddings"])?),
        norm,
        activation: Activation::Silu,
    };
    let convolving = convolving(config, layers)?;
    let (kernel_size, bias) = (kernel_size(config)?, config.flag_or(&["conv_bias"], false)?);
    let mut stack = dimensions.stack()?;
    stack.final_norm = Some(norm.of(hidden_size));
    (stack.block.feed_forward.gated, stack.block.feed_forward.bias) = (true, false);
    let attention = &mut stack.block.attention;
    (attention.qkv_bias, attention.output_bias) = (false, false);
    attention.query_key_norm = QueryKeyNorm::EachHead(norm.of(head_dim));
    let rotated = layer_bits(layers, |layer| convolving >> layer & 1 == 0);
    attention.position = AttentionPosition::Rotary { dims: attention.head_dim, local: false, layers: rotated };
    if convolving != 0 {
        stack.convolution = Convolution::Short(ShortConvolutionSpec { kernel_size, bias, layers: convolving });
    }
    let rope = scaled_rope(context, None, "rope_theta", None, Rope::plain(1_000_000.0, 1.0))?;
    rope.amplify(&mut stack)?;

    let mut draft = Draft::new(context, Stack::Decoder, stack, &NAMES, norm);
    draft.sources.insert(Role::Stack(Stack::Decoder, StackPart::Rotary), rope.table());
    edit_blocks(&mut draft.sources, |block, part, pick| {
        let renamed = CONVOLUTION_NAMES.iter().find(|(of, ..)| *of == part && convolving >> block & 1 == 1);
        let Some((_, attention, convolution, third)) = renamed else { return };
        pick.names.iter_mut().for_each(|name| *name = name.replace(attention, convolution));
        if let Some(third) = third {
            pick.rows = Some(stacked(*third, hidden_size).collect());
            pick.of = Some(3 * hidden_size);
        }
    });
    Ok(draft)
}

/// The width of the feed-forward network, which may be derived from the stated one.
fn intermediate_size(config: &Config) -> Result<u32> {
    let stated = config.size(&["intermediate_size"])?;
    let multiple = config.size(&["block_multiple_of"])?.max(1);
    let multiplier = config.get(&["block_ffn_dim_multiplier"]);
    if !config.flag_or(&["block_auto_adjust_ff_dim"], true)? {
        return Ok(stated);
    }
    let size = (f64::from(stated) * 2.0 / 3.0) as u32;
    let Some(multiplier) = multiplier else { return Ok(size) };
    let factor = multiplier.as_f64().filter(|factor| *factor > 0.0).ok_or_else(|| {
        refuse(
            format_args!("config.json says `block_ffn_dim_multiplier` = {multiplier}"),
            "it must be a positive number: take config.json from the checkpoint's page again",
        )
    })?;
    let size = (factor * f64::from(size)) as u32;
    Ok(size.div_ceil(multiple).saturating_mul(multiple))
}

/// The width of the convolutions in tokens.
fn kernel_size(config: &Config) -> Result<u8> {
    let size = config.size(&["conv_L_cache"])?;
    u8::try_from(size).ok().filter(|size| (1..=MAX_KERNEL_SIZE).contains(size)).ok_or_else(|| {
        refuse(
            format_args!("config.json says `conv_L_cache` = {size}"),
            format_args!("convolutions over 1 to {MAX_KERNEL_SIZE} tokens are implemented"),
        )
    })
}

/// The bit set of layers with a convolution: those of `layer_types`, or all but `full_attn_idxs`.
fn convolving(config: &Config, layers: u32) -> Result<u64> {
    let refused = |key: &str, value: &Json| {
        refuse(
            format_args!("config.json says `{key}` = {value} for {layers} layers, which is not implemented"),
            "`layer_types` must be a list of full_attention and conv with an entry for each layer, or \
             `full_attn_idxs` a list of layers",
        )
    };
    let indices = config.get(&["full_attn_idxs"]);
    if let Some(types) = config.get(&["layer_types"]) {
        let convolves = |kind: &Json| match kind.as_str() {
            Some("conv") => Some(true),
            Some("full_attention") => Some(false),
            _ => None,
        };
        let list: Option<Vec<bool>> = types.as_array().and_then(|list| list.iter().map(convolves).collect());
        let list = list.filter(|list| list.len() == layers as usize).ok_or_else(|| refused("layer_types", types))?;
        return Ok(layer_bits(layers, |layer| list[layer as usize]));
    }
    let Some(indices) = indices else { return Ok(0) };
    let list = indices.as_array().filter(|list| list.iter().all(Json::is_i64));
    let list = list.ok_or_else(|| refused("full_attn_idxs", indices))?;
    Ok(layer_bits(layers, |layer| !list.iter().any(|index| index.as_u64() == Some(layer.into()))))
}
