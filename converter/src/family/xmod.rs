//! X-MOD (arXiv 2205.06266): RoBERTa with an adapter for each language after every block. A
//! converted model reads one language: its adapter becomes a second feed-forward network of each
//! block.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role};
use serde_json::Value as Json;

use super::draft::{Context, Draft};
use super::source::{Pick, Source, Value, module, prefixed};
use super::{Family, roberta};
use crate::refuse;

/// X-MOD.
pub(super) const FAMILY: Family = Family { model_types: &["xmod"], heads: roberta::BOTH_HEADS, map };

const PREFIXES: &[&str] = roberta::NAMES.prefixes;

fn map(context: &Context<'_>) -> Result<Draft> {
    let config = context.config;
    config.only("pre_norm", &[false.into()])?;
    config.only("ln_before_adapter", &[true.into()])?;
    let own_norm = config.flag_or(&["adapter_layer_norm"], false)?;
    if !config.flag_or(&["adapter_reuse_layer_norm"], true)? && !own_norm {
        return Err(refuse(
            "config.json says that both `adapter_layer_norm` and `adapter_reuse_layer_norm` are false",
            "networks of languages without a norm before them are not implemented",
        ));
    }
    let factor = config.size(&["adapter_reduction_factor"])?;
    let language = language(context)?;
    let mut draft = roberta::map(context)?;
    let (id, stack) = draft.last()?;
    let (layers, hidden_size) = (stack.num_hidden_layers, stack.hidden_size);
    let size = hidden_size.checked_div(factor).unwrap_or(0);
    if size == 0 || size > stack.block.feed_forward.intermediate_size {
        return Err(refuse(
            format_args!("config.json says `adapter_reduction_factor` = {factor}, for networks of {size} values"),
            "networks of languages may have from one value to `intermediate_size`",
        ));
    }
    for stack in [&mut draft.encoder, &mut draft.decoder].into_iter().flatten() {
        stack.block.feed_forward.networks = 2;
    }
    for layer in 0..layers {
        let output = format!("encoder.layer.{layer}.output");
        let adapter = format!("{output}.adapter_modules.{language}");
        let tensor = |name: &str| Pick::new(prefixed(PREFIXES, &format!("{adapter}.{name}")));
        // The format has one width for all networks of a block.
        let padded = |name, rows, cols| Value::Padded { pick: tensor(name), rows, cols };
        let up =
            Source { weight: padded("dense1.weight", size, hidden_size), bias: Some(padded("dense1.bias", size, 1)) };
        let down = Source {
            weight: padded("dense2.weight", hidden_size, size),
            bias: Some(Value::Tensor(tensor("dense2.bias"))),
        };
        let before = if own_norm { "adapter_layer_norm" } else { "LayerNorm" };
        let parts = [
            (BlockPart::FeedForwardNorm, module(PREFIXES, &format!("{output}.{before}"), true)),
            (BlockPart::Up1, up),
            (BlockPart::Down1, down),
            (BlockPart::FeedForwardNorm1, module(PREFIXES, &format!("{output}.LayerNorm"), true)),
        ];
        draft.sources.extend(parts.map(|(part, source)| (Role::Block(id, layer, part), source)));
    }
    let others = format!(".adapter_modules.{language}.");
    context.checkpoint.dismiss(|name| name.contains(".adapter_modules.") && !name.contains(&others));
    draft.notes.push(format!("texts are read as {language}: the networks of other languages are left out"));
    Ok(draft)
}

/// The language of texts: the caller's choice, or else the checkpoint's default.
fn language(context: &Context<'_>) -> Result<String> {
    let config = context.config;
    let languages: Vec<&str> =
        config.get(&["languages"]).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let usual = config.get(&["default_language"]).and_then(Json::as_str);
    let chosen = match context.options.language {
        Some(at) => languages.get(at as usize).copied(),
        None => usual.filter(|usual| languages.contains(usual)),
    };
    chosen.map(str::to_owned).ok_or_else(|| {
        refuse(
            format_args!(
                "config.json says `default_language` = {:?} and `languages` = {languages:?}",
                usual.unwrap_or("null")
            ),
            "make `default_language` the one of `languages` that texts are in",
        )
    })
}
