//! Switches for parts that only some models have: the features of this crate.
//!
//! Code of a part is guarded by an `if` on its constant, so that it is not linked if the feature is
//! off. Loading a model that needs the part then fails.

/// Relative position biases and disentangled attention.
pub(crate) const RELATIVE_ATTENTION: bool = cfg!(feature = "relative-attention");
/// Token embeddings that are projected to the hidden size.
pub(crate) const PROJECTED_EMBEDDINGS: bool = cfg!(feature = "projected-embeddings");
/// Bottlenecks, and blocks with more than one feed-forward network.
pub(crate) const BOTTLENECKS: bool = cfg!(feature = "bottlenecks");
/// A convolution in parallel with the first block.
pub(crate) const CONVOLUTIONS: bool = cfg!(feature = "convolutions");
/// Heads of a span-based dynamic convolution beside those of attention.
pub(crate) const SPAN_CONVOLUTIONS: bool = cfg!(feature = "span-convolutions");
/// Decoders that attend to an encoder's output.
pub(crate) const CROSS_ATTENTION: bool = cfg!(feature = "cross-attention");
/// Soft caps on scores or logits.
pub(crate) const SOFT_CAPS: bool = cfg!(feature = "soft-caps");
/// 4-bit weights.
pub(crate) const PACKED_WEIGHTS: bool = cfg!(feature = "packed-weights");
/// Weights with rows interleaved in pairs.
pub(crate) const PAIRED_WEIGHTS: bool = cfg!(feature = "paired-weights");
/// Weights in tiles of sixteen rows.
pub(crate) const WIDE_TILES: bool = cfg!(feature = "wide-tiles");
/// Gated short convolutions in place of attention.
pub(crate) const SHORT_CONVOLUTIONS: bool = cfg!(feature = "short-convolutions");
