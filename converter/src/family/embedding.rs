//! Builds the vectors of sentence-transformers.

use anyhow::Result;
use kinglet::format::layout::{HeadPart, Role};
use kinglet::format::spec::{Activation, HeadSpec, OutputProjection, Pooling, StackSpec, Task, TransformSpec};

use super::draft::{Context, Draft, HIDDEN, Norm};
use super::source::{Value, module};
use crate::checkpoint::Module;
use crate::refuse;

/// A vector for each token, if `modules.json` has a dense layer and no pooling (ColBERT, arXiv
/// 2004.12832). The vectors always have unit length.
pub(super) fn of_tokens(context: &Context<'_>, draft: &mut Draft, stack: &StackSpec) -> Result<HeadSpec> {
    let mut spec = HeadSpec { normalize: true, ..HIDDEN };
    for part in &context.checkpoint.modules {
        match part {
            Module::Transformer { .. } | Module::Normalize => {}
            Module::Dense { folder, in_features, out_features, bias, activation: Activation::Identity, .. }
                if spec.output == OutputProjection::None && *in_features == stack.hidden_size =>
            {
                (spec.output, spec.num_outputs, spec.bias) = (OutputProjection::Own, *out_features, *bias);
                let source = module(&[], &format!("{folder}/linear"), *bias);
                draft.sources.insert(Role::Head(HeadPart::Output), source);
            }
            _ => {
                return Err(refuse(
                    format_args!("modules.json has no pooling, but {part:?}, which is not implemented"),
                    "for a vector per token, only one dense layer without activation is implemented",
                ));
            }
        }
    }
    Ok(spec)
}

/// One vector for the text, by the modules in `modules.json`: pooling, up to two dense layers, a
/// norm after the first, and scaling to unit length.
pub(super) fn build(context: &Context<'_>, draft: &mut Draft, stack: &StackSpec) -> Result<HeadSpec> {
    let mut spec = HeadSpec {
        task: Task::Embedding,
        pooling: context.options.pooling.unwrap_or(Pooling::Mean),
        transform: None,
        output: OutputProjection::None,
        num_outputs: 0,
        bias: false,
        normalize: false,
        soft_cap: None,
    };
    if context.checkpoint.modules.is_empty() {
        spec.normalize = true;
        draft.notes.push(format!("no modules.json: the embedding is the {:?} pooling, at unit length", spec.pooling));
        return Ok(spec);
    }
    let unsupported = |what: &str| {
        refuse(
            format_args!("modules.json has {what}, which is not implemented"),
            "only pooling, then at most two dense layers (the first with a LayerNorm, the second without activation), then normalization is implemented",
        )
    };
    let mut width = stack.hidden_size;
    let mut pooled = false;
    for part in &context.checkpoint.modules {
        match part {
            Module::Transformer { .. } => {}
            Module::Pooling(pooling) if !pooled => (spec.pooling, pooled) = (*pooling, true),
            Module::StaticEmbedding { .. } if !pooled => (spec.pooling, pooled) = (Pooling::Mean, true),
            Module::Pooling(_) | Module::StaticEmbedding { .. } => return Err(unsupported("two poolings")),
            Module::Normalize => spec.normalize = true,
            Module::Dense { .. } if spec.normalize || !pooled => return Err(unsupported("a dense layer elsewhere")),
            Module::Dense { folder, in_features, out_features, bias, activation, .. } => {
                if *in_features != width {
                    return Err(unsupported("a dense layer of another width than what it is given"));
                }
                width = *out_features;
                let name = format!("{folder}/linear");
                if spec.transform.is_none() {
                    spec.transform =
                        Some(TransformSpec { size: width, bias: *bias, activation: *activation, norm: None });
                    draft.sources.insert(Role::Head(HeadPart::Transform), module(&[], &name, *bias));
                    draft.sources.insert(Role::Head(HeadPart::ActivationTable), Value::Activation(*activation).into());
                } else if spec.output == OutputProjection::None && *activation == Activation::Identity {
                    (spec.output, spec.num_outputs, spec.bias) = (OutputProjection::Own, width, *bias);
                    draft.sources.insert(Role::Head(HeadPart::Output), module(&[], &name, *bias));
                } else {
                    return Err(unsupported("more dense layers"));
                }
            }
            Module::LayerNorm { folder, dimension } => match &mut spec.transform {
                Some(transform) if transform.norm.is_none() && spec.output == OutputProjection::None => {
                    if *dimension != width || spec.normalize {
                        return Err(unsupported("a LayerNorm of another width, or after normalization"));
                    }
                    transform.norm = Some(Norm::layer(1e-5).of(width));
                    draft
                        .sources
                        .insert(Role::Head(HeadPart::TransformNorm), module(&[], &format!("{folder}/norm"), true));
                }
                _ => return Err(unsupported("a LayerNorm elsewhere than after the first dense layer")),
            },
        }
    }
    Ok(spec)
}
