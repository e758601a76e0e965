//! Describes an architecture as data.
//!
//! A [`ModelSpec`] says everything about a transformer that is not a weight. The converter fills it
//! from a checkpoint's configuration and the runtime executes it, so the runtime has no code for
//! "BERT" or "Llama". Fields have the names of Hugging Face's `config.json`; parts have the names
//! of their papers.

mod block;
mod head;
mod numerics;
mod packed;

pub use super::parts::MAX_NETWORKS;
pub use block::{
    Activation, AttentionPosition, AttentionSpec, BlockSpec, BottleneckAttention, BottleneckSpec, FeedForwardSpec,
    NormKind, NormSpec, QueryKeyNorm, Residual,
};
pub use head::{HeadSpec, OutputProjection, Pooling, Task, TransformSpec};
pub(crate) use numerics::at_least_one;
pub use numerics::{ActivationWidth, KeyWidth, Multiplier, NumericsSpec, WeightLayout};
pub use packed::{Blocks, PackedSpec, PackedStack};

use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::features;

/// The most layers a stack may run. Windows and rotations are switched per layer by the bits of a
/// `u64`.
pub const MAX_LAYERS: u16 = 64;
/// The most columns of any matrix. Keeps every sum of the runtime inside its integer.
pub const MAX_WIDTH: u32 = 1 << 16;
/// The largest vocabulary, and the most rows of any matrix.
pub const MAX_ROWS: u32 = 1 << 20;
/// The most positions a model may be given.
pub const MAX_POSITIONS: u32 = 1 << 15;
/// The largest `head_dim`: a score, at most `127 * 32767 * head_dim`, then fits an `i32`.
pub const MAX_HEAD_DIM: u16 = 512;
/// The most attention heads.
pub const MAX_HEADS: u16 = 1024;
/// The largest kernel of a convolution, in tokens.
pub const MAX_KERNEL_SIZE: u8 = 15;

/// One transformer: up to two stacks of blocks, and a head on the last of them.
///
/// A model with an encoder only is bidirectional (the BERT family); with a decoder only, causal
/// (the GPT family); with both, the decoder attends to the encoder's output (the T5 family).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ModelSpec {
    /// Number formats and weight layouts.
    pub numerics: NumericsSpec,
    /// The direction in which a decoder reads the text.
    pub direction: Direction,
    /// The bidirectional stack.
    pub encoder: Option<StackSpec>,
    /// The causal stack.
    pub decoder: Option<StackSpec>,
    /// The head, computed from the last stack's hidden states.
    pub head: HeadSpec,
}

/// The direction in which a decoder factorizes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Direction {
    /// `p(x) = prod p(x_t | x_<t)`, left to right.
    Forward,
    /// `p(x) = prod p(x_t | x_>t)`: the checkpoint was trained on reversed text.
    Backward,
}

/// An embedding and a stack of blocks of one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StackSpec {
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Blocks that are run, one after the other. May be 0 in an encoder: its result is then the
    /// embedding of its tokens.
    pub num_hidden_layers: u16,
    /// Groups of stored blocks, which layers share (ALBERT); equal to `num_hidden_layers` when no
    /// block is shared.
    pub num_hidden_groups: u16,
    /// Blocks in one group, run in order each time the group is used.
    pub inner_group_num: u16,
    /// The longest sequence, in tokens. Every table over positions has at least this many rows.
    pub max_positions: u32,
    /// The embedding, from token ids to hidden states.
    pub embedding: EmbeddingSpec,
    /// The architecture of every block.
    pub block: BlockSpec,
    /// A norm after the last block.
    pub final_norm: Option<NormSpec>,
    /// The convolutions over tokens.
    pub convolution: Convolution,
}

/// The convolutions over tokens in a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Convolution {
    /// None.
    None,
    /// One convolution, in parallel with the first block.
    Parallel(ConvolutionSpec),
    /// Gated short convolutions in place of attention.
    Short(ShortConvolutionSpec),
    /// Heads of a span-based dynamic convolution, beside those of attention in every block.
    Span(SpanConvolutionSpec),
}

impl Convolution {
    /// The convolution in parallel with the first block, if there is one.
    pub const fn parallel(&self) -> Option<&ConvolutionSpec> {
        match self {
            Self::Parallel(spec) => Some(spec),
            _ => None,
        }
    }

    /// The gated short convolutions, if there are any and this build includes them.
    pub const fn short(&self) -> Option<&ShortConvolutionSpec> {
        match self {
            Self::Short(spec) if features::SHORT_CONVOLUTIONS => Some(spec),
            _ => None,
        }
    }

    /// The span-based dynamic convolution, if there is one and this build includes it.
    pub const fn span(&self) -> Option<&SpanConvolutionSpec> {
        match self {
            Self::Span(spec) if features::SPAN_CONVOLUTIONS => Some(spec),
            _ => None,
        }
    }
}

/// A convolution over the embeddings `x`, in parallel with the first block:
/// `norm(block(x) + activation(convolution(x)))` goes to the second block (DeBERTa v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConvolutionSpec {
    /// Width of the kernel in tokens, odd and centred. Zeros pad the text at both ends.
    pub kernel_size: u8,
    /// Whether the convolution has a bias.
    pub bias: bool,
    /// The activation function.
    pub activation: Activation,
}

/// Gated short convolutions in place of attention, in some layers (LFM2, arXiv 2511.23404). For
/// queries `q`, keys `k` and values `v`, each as wide as the stack, the sublayer computes
/// `output(q * convolution(k * v))`. The convolution is causal and depthwise: each channel has a
/// kernel of its own, whose last tap multiplies the token itself. In decoders only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ShortConvolutionSpec {
    /// Width of the kernel in tokens.
    pub kernel_size: u8,
    /// Whether the convolution, and the projections of these layers, have biases.
    pub bias: bool,
    /// Bit `l` set: layer `l` has the convolution.
    pub layers: u64,
}

/// Mixed attention (ConvBERT, arXiv 2008.02496): beside its attention, each block has as many heads
/// of a span-based dynamic convolution, whose results follow those of attention. A head at position
/// `t` computes `sum over j of softmax(kernel(q[t] * k[t]))[j] * v[t + j]` for the places `j` of its
/// kernel, where `q` are the queries of attention, `v` are values of its own, and `k` is a separable
/// convolution of the block's input with that kernel's size. In encoders with norms after the
/// sublayers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SpanConvolutionSpec {
    /// Width of both kernels in tokens, odd and centred. Zeros pad the text at both ends.
    pub kernel_size: u8,
}

/// The embedding: from token ids to the first hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EmbeddingSpec {
    /// Rows of the token table.
    pub vocab_size: u32,
    /// Width of the token table; differs from `hidden_size` if the embedding is factorized.
    pub embedding_size: u32,
    /// Whether the decoder reads the encoder's token table.
    pub shared: bool,
    /// A factor on token vectors.
    pub scale: TokenScale,
    /// When to add the table of positions, learned or sinusoidal.
    pub positions: PositionTable,
    /// The id of a padding token that takes no position (RoBERTa, M2M-100). The vector added to it
    /// is row `max_positions` of the table, one past the positions.
    pub padding: Option<u32>,
    /// Rows of the token type table; 0 when there is none.
    pub token_types: u16,
    /// When to project a factorized embedding to `hidden_size`.
    pub projection: EmbeddingProjection,
    /// Whether `projection` has a bias.
    pub projection_bias: bool,
    /// A norm on the sum of the token, position and token type vectors.
    pub norm: Option<NormSpec>,
}

/// A factor on token vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TokenScale {
    /// No factor.
    None,
    /// A constant, such as `sqrt(hidden_size)`.
    Fixed(Multiplier),
    /// The mask token's vector is zero, and the factor on all others is multiplied by `n / (n - m)`
    /// when `m` of `n` tokens are masked (ESM). In encoders only.
    Unmasked {
        /// The factor on a text without mask tokens.
        factor: Multiplier,
        /// The id of the mask token.
        mask: u32,
    },
}

impl TokenScale {
    /// The factor on a text without mask tokens.
    pub const fn factor(self) -> Option<Multiplier> {
        match self {
            Self::None => None,
            Self::Fixed(factor) | Self::Unmasked { factor, .. } => Some(factor),
        }
    }

    /// Replaces the factor.
    #[must_use]
    pub const fn with_factor(self, factor: Multiplier) -> Self {
        match self {
            Self::None | Self::Fixed(_) => Self::Fixed(factor),
            Self::Unmasked { mask, .. } => Self::Unmasked { factor, mask },
        }
    }
}

/// When position vectors are added to token vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PositionTable {
    /// Never: there is no table of positions.
    None,
    /// Before the embedding's norm, if it has one.
    BeforeNorm,
    /// After the embedding's norm (BlenderBot small).
    AfterNorm,
}

impl PositionTable {
    /// Whether the embedding has a table of positions.
    pub const fn is_some(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// The vectors that a factorized embedding projects from `embedding_size` to `hidden_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EmbeddingProjection {
    /// None: the sizes are equal.
    None,
    /// Token vectors, before positions are added (OPT).
    BeforePositions,
    /// The sum of token, position and token type vectors, before its norm (DeBERTa).
    BeforeNorm,
    /// The normed sum (ALBERT, ELECTRA).
    AfterNorm,
    /// The concatenated vectors of the next token, the token, and the previous token, before
    /// positions are added (MobileBERT, arXiv 2004.02984). Zeros pad the text at both ends.
    Trigram,
}

impl EmbeddingSpec {
    /// Input width of the embedding's projection.
    pub const fn projected_size(&self) -> u32 {
        match self.projection {
            EmbeddingProjection::Trigram => 3 * self.embedding_size,
            _ => self.embedding_size,
        }
    }
}

impl StackSpec {
    /// The gated short convolution that a layer has in place of attention, if it has one. Such
    /// stacks share no blocks, so that a layer is also the index of its block.
    pub const fn short_convolution(&self, layer: usize) -> Option<&ShortConvolutionSpec> {
        match self.convolution.short() {
            Some(spec) if spec.layers >> (layer % 64) & 1 == 1 => Some(spec),
            _ => None,
        }
    }

    /// The number of layers with attention.
    pub const fn attending_layers(&self) -> usize {
        let convolving = match self.convolution.short() {
            Some(spec) => spec.layers.count_ones() as usize,
            None => 0,
        };
        (self.num_hidden_layers as usize).saturating_sub(convolving)
    }

    /// Heads whose keys and values a layer's cache holds: those of attention, then those of a
    /// span-based dynamic convolution.
    pub(crate) const fn cached_heads(&self) -> usize {
        let attention = &self.block.attention;
        let convolved = if self.convolution.span().is_some() { attention.num_attention_heads } else { 0 };
        attention.num_key_value_heads as usize + convolved as usize
    }

    /// The number of stored blocks.
    pub const fn num_blocks(&self) -> usize {
        self.num_hidden_groups as usize * self.inner_group_num as usize
    }

    /// The index of the stored block that layer `layer` runs.
    pub const fn block_of(&self, layer: usize) -> usize {
        // Most models share no blocks: avoid the divisions.
        if self.num_hidden_groups == self.num_hidden_layers && self.inner_group_num == 1 {
            return layer;
        }
        let inner = at_least_one(self.inner_group_num as usize);
        let outer = at_least_one(self.num_hidden_layers as usize / inner);
        (layer / inner * self.num_hidden_groups as usize / outer) * inner + layer % inner
    }
}

impl ModelSpec {
    /// The stack whose hidden states the head reads: the decoder if the model has one, else the
    /// encoder.
    ///
    /// # Errors
    /// [`LoadError::InvalidSpec`] if the model has neither.
    pub fn last_stack(&self) -> Result<&StackSpec, LoadError> {
        self.decoder.as_ref().or(self.encoder.as_ref()).ok_or(LoadError::InvalidSpec("no encoder and no decoder"))
    }
}

impl HeadSpec {
    /// Input width of the output projection: the transform's size, or `hidden_size`.
    pub const fn input_size(&self, stack: &StackSpec) -> usize {
        match &self.transform {
            Some(transform) => transform.size as usize,
            None => stack.hidden_size as usize,
        }
    }

    /// Width of the head's result.
    pub const fn output_size(&self, stack: &StackSpec) -> usize {
        match self.output {
            OutputProjection::None => self.input_size(stack),
            OutputProjection::Tied | OutputProjection::Own => self.num_outputs as usize,
        }
    }
}
