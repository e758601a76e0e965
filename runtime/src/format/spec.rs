//! An architecture as data.
//!
//! A [`ModelSpec`] says everything about a transformer that is not a weight. The converter fills it
//! from a checkpoint's configuration; the runtime executes it; neither has a word for "BERT" or
//! "Llama". Names are the keys of Hugging Face's `config.json`, and of the papers for the parts.

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

/// The most layers a stack may run: one bit of a `u64` each says where a window or a rotation
/// applies.
pub const MAX_LAYERS: u16 = 64;
/// The largest row any matrix may have, in values. Keeps every sum of the runtime inside its
/// integer.
pub const MAX_WIDTH: u32 = 1 << 16;
/// The largest vocabulary, and the most rows of any matrix.
pub const MAX_ROWS: u32 = 1 << 20;
/// The most positions a model may be given.
pub const MAX_POSITIONS: u32 = 1 << 15;
/// The largest attention head: `127 * 32767 * 512` is the last score that fits an `i32`.
pub const MAX_HEAD_DIM: u16 = 512;
/// The most attention heads.
pub const MAX_HEADS: u16 = 1024;
/// The most tokens that a convolution sees.
pub const MAX_KERNEL_SIZE: u8 = 15;

/// One transformer: up to two stacks of blocks, and a head on the last of them.
///
/// Encoder only: bidirectional (BERT and its kin). Decoder only: causal (GPT and its kin). Both: an
/// encoder-decoder, whose decoder attends to the encoder's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ModelSpec {
    /// How numbers are held.
    pub numerics: NumericsSpec,
    /// Which way a decoder reads the text.
    pub direction: Direction,
    /// The bidirectional stack.
    pub encoder: Option<StackSpec>,
    /// The causal stack.
    pub decoder: Option<StackSpec>,
    /// The head, computed from the last stack's hidden states.
    pub head: HeadSpec,
}

/// Which way a decoder factorizes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Direction {
    /// `p(x) = prod p(x_t | x_<t)`, left to right.
    Forward,
    /// `p(x) = prod p(x_t | x_>t)`: the checkpoint was trained on reversed text.
    Backward,
}

/// A stack of like blocks under an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StackSpec {
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Blocks that are run, one after the other; 0 only in an encoder, whose result is then the
    /// embedding of its tokens.
    pub num_hidden_layers: u16,
    /// Distinct blocks that are stored, in groups that layers share (ALBERT); equal to
    /// `num_hidden_layers` when none is shared.
    pub num_hidden_groups: u16,
    /// Blocks in one group, run in order each time the group is used.
    pub inner_group_num: u16,
    /// The longest sequence: no table of the stack is shorter.
    pub max_positions: u32,
    /// From token ids to hidden states.
    pub embedding: EmbeddingSpec,
    /// What every block computes.
    pub block: BlockSpec,
    /// A norm after the last block.
    pub final_norm: Option<NormSpec>,
    /// A convolution beside the first block.
    pub convolution: Option<ConvolutionSpec>,
}

/// A convolution over the tokens' embeddings, whose result is added to that of the first block and
/// normed as blocks are: `norm(block(x) + activation(convolution(x)))` (DeBERTa v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConvolutionSpec {
    /// Tokens that each result sees: odd, half of them before its own and half after. Beyond the
    /// text there are zeros.
    pub kernel_size: u8,
    /// Whether it has a bias.
    pub bias: bool,
    /// The activation function.
    pub activation: Activation,
}

/// From token ids to the first hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EmbeddingSpec {
    /// Rows of the token table.
    pub vocab_size: u32,
    /// Width of the token table; differs from `hidden_size` where the embedding is factorized.
    pub embedding_size: u32,
    /// Whether the decoder reads the encoder's token table.
    pub shared: bool,
    /// A factor on token vectors.
    pub scale: TokenScale,
    /// The table of positions, learned or sinusoidal, to add.
    pub positions: PositionTable,
    /// Tokens of this id are not counted as positions (RoBERTa, M2M-100): to them the last row of
    /// the table is added, which is one beyond `max_positions`.
    pub padding: Option<u32>,
    /// Rows of the token type table; 0 when there is none.
    pub token_types: u16,
    /// Where a factorized embedding is widened to `hidden_size`.
    pub projection: EmbeddingProjection,
    /// Whether that projection has a bias.
    pub projection_bias: bool,
    /// A norm on the sum.
    pub norm: Option<NormSpec>,
}

/// A factor on token vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TokenScale {
    /// None.
    None,
    /// One for all, such as `sqrt(hidden_size)`.
    Fixed(Multiplier),
    /// The vector of one token is zero, and the factor on the others grows as that token takes more
    /// of the text: by `n / (n - m)` where it takes `m` of `n` places (ESM). In encoders only.
    Unmasked {
        /// The factor on a text without the token.
        factor: Multiplier,
        /// The token.
        mask: u32,
    },
}

impl TokenScale {
    /// The factor on a text in which every token has a vector.
    pub const fn factor(self) -> Option<Multiplier> {
        match self {
            Self::None => None,
            Self::Fixed(factor) | Self::Unmasked { factor, .. } => Some(factor),
        }
    }

    /// The same with another factor.
    #[must_use]
    pub const fn with_factor(self, factor: Multiplier) -> Self {
        match self {
            Self::None | Self::Fixed(_) => Self::Fixed(factor),
            Self::Unmasked { mask, .. } => Self::Unmasked { factor, mask },
        }
    }
}

/// Where the vectors of positions are added to those of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PositionTable {
    /// There are none.
    None,
    /// Before the embedding's norm, if it has one.
    BeforeNorm,
    /// After it (BlenderBot small).
    AfterNorm,
}

impl PositionTable {
    /// Whether there is one.
    pub const fn is_some(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// Where a factorized embedding is widened to the hidden size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EmbeddingProjection {
    /// Not at all: the sizes are equal.
    None,
    /// Token vectors, before positions are added (OPT).
    BeforePositions,
    /// The sum, before its norm (DeBERTa).
    BeforeNorm,
    /// The normed sum (ALBERT, ELECTRA).
    AfterNorm,
    /// The vectors of the next token, the token and the one before it, one after the other, before
    /// positions are added (MobileBERT, arXiv 2004.02984). Beyond the text there are zeros.
    Trigram,
}

impl EmbeddingSpec {
    /// Width of what the embedding's projection reads.
    pub const fn projected_size(&self) -> u32 {
        match self.projection {
            EmbeddingProjection::Trigram => 3 * self.embedding_size,
            _ => self.embedding_size,
        }
    }
}

impl StackSpec {
    /// Blocks that are stored.
    pub const fn num_blocks(&self) -> usize {
        self.num_hidden_groups as usize * self.inner_group_num as usize
    }

    /// Which stored block layer `layer` runs.
    pub const fn block_of(&self, layer: usize) -> usize {
        // As in almost all models: no division.
        if self.num_hidden_groups == self.num_hidden_layers && self.inner_group_num == 1 {
            return layer;
        }
        let inner = at_least_one(self.inner_group_num as usize);
        let outer = at_least_one(self.num_hidden_layers as usize / inner);
        (layer / inner * self.num_hidden_groups as usize / outer) * inner + layer % inner
    }
}

impl ModelSpec {
    /// The stack whose hidden states the head reads: the decoder where there is one.
    ///
    /// # Errors
    /// [`LoadError::InvalidSpec`] when there is no stack at all.
    pub fn last_stack(&self) -> Result<&StackSpec, LoadError> {
        self.decoder.as_ref().or(self.encoder.as_ref()).ok_or(LoadError::InvalidSpec("no encoder and no decoder"))
    }
}

impl HeadSpec {
    /// Width of what the output projection reads: the transform's result, or the hidden state.
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
