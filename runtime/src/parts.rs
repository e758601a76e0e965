//! Parts that only some models have, and that a program may leave out: the features of this crate.
//!
//! Where a part begins there is an `if` on its constant, so that what is left out is not linked; a model that needs it is refused.

use crate::format::spec::{AttentionPosition, EmbeddingProjection, ModelSpec, StackSpec, WeightLayout};

/// Positions that enter the attention scores by distance.
pub(crate) const RELATIVE_ATTENTION: bool = cfg!(feature = "relative-attention");
/// Token vectors of another width than the hidden states.
pub(crate) const PROJECTED_EMBEDDINGS: bool = cfg!(feature = "projected-embeddings");
/// Narrower streams inside blocks, and several feed-forward networks in one.
pub(crate) const BOTTLENECKS: bool = cfg!(feature = "bottlenecks");
/// A convolution beside the first block.
pub(crate) const CONVOLUTIONS: bool = cfg!(feature = "convolutions");
/// A decoder that reads what an encoder made of another text.
pub(crate) const CROSS_ATTENTION: bool = cfg!(feature = "cross-attention");
/// Scores or logits that a `tanh` bounds.
pub(crate) const SOFT_CAPS: bool = cfg!(feature = "soft-caps");
/// Weights of four bits.
pub(crate) const PACKED_WEIGHTS: bool = cfg!(feature = "packed-weights");
/// Rows of weights in pairs.
pub(crate) const PAIRED_WEIGHTS: bool = cfg!(feature = "paired-weights");
/// Weights in tiles of sixteen rows.
pub(crate) const WIDE_TILES: bool = cfg!(feature = "wide-tiles");

/// A feature that a model needs and this program does not have.
pub(crate) const fn missing(spec: &ModelSpec) -> Option<&'static str> {
    if matches!(spec.numerics.weights, WeightLayout::Packed { .. }) && !PACKED_WEIGHTS {
        return Some("the crate's feature `packed-weights` is off");
    }
    if matches!(spec.numerics.weights, WeightLayout::Paired) && !PAIRED_WEIGHTS {
        return Some("the crate's feature `paired-weights` is off");
    }
    if matches!(spec.numerics.weights, WeightLayout::WideTiled) && !WIDE_TILES {
        return Some("the crate's feature `wide-tiles` is off");
    }
    if spec.head.soft_cap.is_some() && !SOFT_CAPS {
        return Some(NO_SOFT_CAPS);
    }
    match (missing_of(&spec.encoder), missing_of(&spec.decoder)) {
        (None, other) => other,
        (missing, _) => missing,
    }
}

const NO_SOFT_CAPS: &str = "the crate's feature `soft-caps` is off";

const fn missing_of(stack: &Option<StackSpec>) -> Option<&'static str> {
    let Some(stack) = stack else { return None };
    let position = &stack.block.attention.position;
    let relative = matches!(position, AttentionPosition::RelativeBias { .. } | AttentionPosition::Disentangled { .. });
    if relative && !RELATIVE_ATTENTION {
        return Some("the crate's feature `relative-attention` is off");
    }
    if !matches!(stack.embedding.projection, EmbeddingProjection::None) && !PROJECTED_EMBEDDINGS {
        return Some("the crate's feature `projected-embeddings` is off");
    }
    let inside = stack.block.bottleneck.is_some() || stack.block.feed_forward.networks > 1;
    if inside && !BOTTLENECKS {
        return Some("the crate's feature `bottlenecks` is off");
    }
    if stack.block.cross_attention && !CROSS_ATTENTION {
        return Some("the crate's feature `cross-attention` is off");
    }
    if stack.block.attention.soft_cap.is_some() && !SOFT_CAPS {
        return Some(NO_SOFT_CAPS);
    }
    if stack.convolution.is_some() && !CONVOLUTIONS {
        return Some("the crate's feature `convolutions` is off");
    }
    None
}
