//! Describes one transformer block: attention, feed-forward networks, norms and residuals.

use serde::{Deserialize, Serialize};

use super::numerics::{Multiplier, at_least_one};

/// One transformer block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BlockSpec {
    /// The norms of the block, all of one kind.
    pub norm: NormSpec,
    /// How norms and residual connections are arranged.
    pub residual: Residual,
    /// The first block's attention norm is the identity (ModernBERT).
    pub skip_first_norm: bool,
    /// Self-attention.
    pub attention: AttentionSpec,
    /// Whether the block attends to the encoder's output, with as many heads as self-attention.
    pub cross_attention: bool,
    /// The feed-forward network.
    pub feed_forward: FeedForwardSpec,
    /// A narrower residual stream inside the block.
    pub bottleneck: Option<BottleneckSpec>,
}

impl BlockSpec {
    /// Width of the residual stream that attention and the feed-forward networks read.
    pub const fn inner_size(&self, hidden_size: u32) -> u32 {
        match &self.bottleneck {
            Some(bottleneck) => bottleneck.size,
            None => hidden_size,
        }
    }
}

/// A narrower residual stream inside a block (MobileBERT, arXiv 2004.02984): attention and the
/// networks turn `norm(narrow(x))` into `n`, and the block's result is `norm(x + widen(n))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BottleneckSpec {
    /// Width of the narrow stream.
    pub size: u32,
    /// The inputs of the query, key and value projections.
    pub attention: BottleneckAttention,
}

/// The inputs of the query, key and value projections of a block with a bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BottleneckAttention {
    /// The narrow stream, for all three.
    Narrow,
    /// A narrow stream of their own for queries and keys, the wide stream for values.
    Shared,
    /// The wide stream, for all three.
    Wide,
}

/// How norms and residual connections are arranged around a sublayer `f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Residual {
    /// `x + f(norm(x))`.
    PreNorm,
    /// `norm(x + f(x))`.
    PostNorm,
    /// `x + norm(f(norm(x)))` (Gemma 2 and 3).
    Sandwich,
    /// `x + attention(norm(x)) + feed_forward(other_norm(x))` (GPT-NeoX).
    Parallel,
    /// `x + attention(norm(x)) + feed_forward(norm(x))` (GPT-J, Phi).
    ParallelShared,
    /// `x + norm(f(x))` (OLMo 2).
    OutputNorm,
}

/// A normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NormSpec {
    /// The formula.
    pub kind: NormKind,
    /// Whether a bias is added.
    pub bias: bool,
    /// `epsilon * size` as a fixed-point number with 48 fraction bits, added to the sum of squares.
    pub epsilon: u64,
}

/// The formula of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NormKind {
    /// `(x - mean) / sqrt(variance + epsilon) * weight + bias` (arXiv 1607.06450).
    Layer,
    /// `x / sqrt(mean(x^2) + epsilon) * weight` (arXiv 1910.07467).
    Rms,
    /// `x * weight + bias` (MobileBERT's "no norm").
    Affine,
}

/// Multi-head attention (arXiv 1706.03762), grouped-query where `num_key_value_heads` is smaller
/// (arXiv 2305.13245).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AttentionSpec {
    /// Query heads.
    pub num_attention_heads: u16,
    /// Key and value heads; divides `num_attention_heads`.
    pub num_key_value_heads: u16,
    /// Width of a head.
    pub head_dim: u16,
    /// Whether the query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub output_bias: bool,
    /// Factor on `q . k` for a softmax in base two: usually `log2(e) / sqrt(head_dim)`.
    pub scale: Multiplier,
    /// A norm on queries and keys, before any rotation.
    pub query_key_norm: QueryKeyNorm,
    /// How positions enter the scores.
    pub position: AttentionPosition,
    /// The sliding window, 0 for none. In a decoder, a query sees the last `window` keys, its own
    /// included; in an encoder, the keys at a distance of at most `window`.
    pub window: u32,
    /// Bit `l` set: layer `l` has the window.
    pub sliding_layers: u64,
    /// `cap * tanh(score / cap)` on the scores.
    pub soft_cap: Option<Multiplier>,
}

impl AttentionSpec {
    /// Width of one head.
    pub(crate) const fn head_size(&self) -> usize {
        at_least_one(self.head_dim as usize)
    }

    /// Width of all query heads together.
    pub const fn query_size(&self) -> usize {
        self.num_attention_heads as usize * self.head_dim as usize
    }

    /// Width of all key (or value) heads together.
    pub const fn key_value_size(&self) -> usize {
        self.num_key_value_heads as usize * self.head_dim as usize
    }

    /// The window of a layer, if it has one.
    pub const fn window_of(&self, layer: usize) -> Option<usize> {
        if self.sliding_layers >> layer & 1 == 1 { Some(self.window as usize) } else { None }
    }
}

/// A norm on queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum QueryKeyNorm {
    /// No norm.
    None,
    /// A norm over each head (Qwen3, Gemma 3).
    EachHead(NormSpec),
    /// A norm over the whole row (OLMo 2). `epsilon` is stored for one head; [`over`](Self::over)
    /// multiplies it by the number of heads, which differs between queries and keys.
    AllHeads(NormSpec),
}

impl QueryKeyNorm {
    /// The norm, if there is one.
    pub const fn spec(&self) -> Option<&NormSpec> {
        match self {
            Self::None => None,
            Self::EachHead(norm) | Self::AllHeads(norm) => Some(norm),
        }
    }

    /// The norm, mutable, if there is one.
    pub const fn spec_mut(&mut self) -> Option<&mut NormSpec> {
        match self {
            Self::None => None,
            Self::EachHead(norm) | Self::AllHeads(norm) => Some(norm),
        }
    }

    /// The norm of a row of `heads` heads, and the number of equal parts it norms separately.
    pub fn over(&self, heads: usize) -> Option<(NormSpec, usize)> {
        match self {
            Self::None => None,
            Self::EachHead(norm) => Some((*norm, heads)),
            Self::AllHeads(norm) => Some((NormSpec { epsilon: norm.epsilon.saturating_mul(heads as u64), ..*norm }, 1)),
        }
    }
}

/// How positions enter the attention scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AttentionPosition {
    /// Scores do not depend on positions.
    None,
    /// Rotary embedding (arXiv 2104.09864) of the first `dims` values of each head: value `i` is
    /// paired with value `i + dims / 2`.
    Rotary {
        /// Values rotated; even, at most `head_dim`.
        dims: u16,
        /// Sliding layers have a table of their own.
        local: bool,
        /// Bit `l` set: layer `l` rotates.
        layers: u64,
    },
    /// A learned bias by distance, shared by all layers (T5, arXiv 1910.10683).
    RelativeBias {
        /// The distance from which on the bias is constant.
        distance: u32,
    },
    /// Disentangled attention (DeBERTa, arXiv 2006.03654): the score adds to `q . k` the products
    /// of the query, and of the key, with vectors of their distance. In encoders only.
    Disentangled {
        /// The distance from which on the vectors do not change.
        distance: u32,
        /// Distance vectors of each head, for each of the two terms.
        positions: u16,
        /// Whether queries are multiplied by distance vectors.
        content_to_position: bool,
        /// Whether keys are multiplied by distance vectors.
        position_to_content: bool,
    },
    /// A learned bias by distance, one for each layer (UMT5, arXiv 2304.09151).
    LayerRelativeBias {
        /// The distance from which on the bias is constant.
        distance: u32,
    },
}

/// The position-wise feed-forward network, gated (arXiv 2002.05202) or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FeedForwardSpec {
    /// Width between the two projections.
    pub intermediate_size: u32,
    /// The activation function.
    pub activation: Activation,
    /// `down(activation(gate(x)) * up(x))` if true, else `down(activation(up(x)))`.
    pub gated: bool,
    /// Whether the projections have biases.
    pub bias: bool,
    /// Feed-forward networks in sequence, each with a norm and a residual connection.
    pub networks: u8,
}

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)^2`.
    ReluSquared,
    /// `x * Phi(x)`, exact (arXiv 1606.08415).
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `x * sigmoid(x)`.
    Silu,
    /// `tanh(x)`.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
}

impl Activation {
    /// Whether the runtime evaluates this function from a table in the payload.
    pub const fn has_table(self) -> bool {
        !matches!(self, Self::Identity | Self::Relu | Self::ReluSquared)
    }
}
