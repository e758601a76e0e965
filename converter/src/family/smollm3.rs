//! SmolLM 3 (Hugging Face 2025): Llama's block, without rotation in some layers.

use anyhow::Result;
use kinglet::format::spec::AttentionPosition;
use serde_json::Value as Json;

use super::Family;
use super::draft::{Context, Draft};
use super::llama::{self, HEADS, LLAMA};
use super::parts::{layer_bits, set_window, sliding_layer_types};
use crate::refuse;

/// SmolLM 3.
pub(super) const FAMILY: Family = Family { model_types: &["smollm3"], heads: HEADS, map };

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    let mut draft = llama::draft(context, &LLAMA)?;
    let Some(stack) = &mut draft.decoder else { return Ok(draft) };
    let layers = u32::from(stack.num_hidden_layers);
    let rotating = rotating(context, layers)?;
    if let AttentionPosition::Rotary { layers, .. } = &mut stack.block.attention.position {
        *layers = rotating;
    }
    let window = config.optional_size(&["sliding_window"])?;
    let used = config.flag_or(&["use_sliding_window"], false)? && window.is_some();
    let sliding = match sliding_layer_types(config, layers)? {
        Some(said) => said,
        None if used => layer_bits(layers, |layer| rotating >> layer & 1 == 0),
        None => 0,
    };
    set_window(stack, window, sliding)?;
    Ok(draft)
}

/// The bit set of layers that rotate: those with a 1 in `no_rope_layers`, or all but every fourth.
fn rotating(context: &Context<'_>, layers: u32) -> Result<u64> {
    let config = context.config;
    let interval = config.optional_size(&["no_rope_layer_interval"])?.unwrap_or(4).max(1);
    let Some(list) = config.get(&["no_rope_layers"]) else {
        return Ok(layer_bits(layers, |layer| !(layer + 1).is_multiple_of(interval)));
    };
    let flag = |value: &Json| value.as_u64().or_else(|| value.as_bool().map(u64::from)).filter(|flag| *flag < 2);
    let flags: Option<Vec<u64>> = list.as_array().and_then(|list| list.iter().map(flag).collect());
    match flags {
        Some(flags) if flags.len() >= layers as usize => Ok(layer_bits(layers, |layer| flags[layer as usize] == 1)),
        _ => Err(refuse(
            format_args!("config.json says `no_rope_layers` = {list} for {layers} layers"),
            "it must be a list with a 1 for each layer that rotates and a 0 for each that does not",
        )),
    }
}
