//! Parts that only some models have, and that a program may leave out: the features of this crate.
//!
//! Where a part begins there is an `if` on its constant, so that what is left out is not linked; a
//! model that needs it is refused.

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
