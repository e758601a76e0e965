//! An architecture as data.
//!
//! A [`ModelSpec`] says everything about a transformer that is not a weight. The converter fills it
//! from a checkpoint's configuration; the runtime executes it; neither has a word for "BERT" or
//! "Llama". Names are the keys of Hugging Face's `config.json`, and of the papers for the parts.

use serde::{Deserialize, Serialize};

use super::error::Error;

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
/// The most feed-forward networks in a block.
pub const MAX_NETWORKS: u8 = 4;
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

/// How numbers are held, all through the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NumericsSpec {
    /// Binary point of the `i32` values between layers: 16 means Q16.16.
    pub fraction_bits: u8,
    /// Width of a quantized row of activations.
    pub activations: ActivationWidth,
    /// Width of the keys in the cache.
    pub keys: KeyWidth,
    /// How matrices lie in the payload.
    pub weights: WeightLayout,
    /// Tokens that go through a layer together unless the caller asks otherwise.
    pub tile: u16,
}

impl NumericsSpec {
    /// The binary points that the runtime computes with: the least holds results of a hundred
    /// million.
    pub const FRACTION_BITS: core::ops::RangeInclusive<u8> = 3..=20;
}

/// Width of a quantized row of activations (`--activations`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ActivationWidth {
    /// Eight bits, scaled to the row's largest value.
    A8,
    /// Up to sixteen bits with a power-of-two scale; as many as the accumulator allows.
    A16,
}

/// Width of the keys in the cache (`--keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KeyWidth {
    /// Eight bits.
    K8,
    /// Sixteen bits: for small heads, where eight cost most of all the accuracy lost.
    K16,
}

/// How the weights of a matrix lie in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WeightLayout {
    /// Int8, one output channel after the other: for units that multiply long runs of bytes.
    RowMajor,
    /// Int8, in tiles of four output channels by four columns, where both are whole fours (see
    /// [`tile_place`](super::places::tile_place)): four channels are read with one pointer, and one
    /// load-multiple of a Cortex-M is a tile.
    Tiled,
    /// Four bits a weight, where rows are whole fours and columns whole eights (see
    /// [`packed_place`](super::places::packed_place)); all else is tiled. Groups of columns have a
    /// scale each, and a weight is its group's scale times a number in `-8 ..= 7`: never more than
    /// eight bits.
    Packed {
        /// Columns in a group, of which the last of a row may be shorter.
        group: u8,
    },
    /// Int8, in tiles where [`Tiled`](Self::Tiled) is, with two output channels in each halfword
    /// (see [`pair_place`](super::places::pair_place)): for cores that multiply pairs of halfwords,
    /// as Cortex-M4, M7 and M33 do.
    Paired,
    /// Int8, in tiles of sixteen output channels by four input channels where a matrix has whole
    /// ones ([`wide_tile_place`](super::places::wide_tile_place)), and as [`Tiled`](Self::Tiled)
    /// where it has not: a line of a cache of processors whose vectors have as many lanes.
    WideTiled,
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
    /// Blocks that are run, one after the other.
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
    /// A factor on token vectors, such as `sqrt(hidden_size)`.
    pub scale: Option<Multiplier>,
    /// Whether there is a table of positions, learned or sinusoidal, to add.
    pub positions: bool,
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
    /// Attention to the encoder's output, with the heads of the attention to the decoder's own
    /// tokens.
    pub cross_attention: bool,
    /// The feed-forward network.
    pub feed_forward: FeedForwardSpec,
    /// A narrower stream inside the block.
    pub bottleneck: Option<BottleneckSpec>,
}

/// A narrower stream inside a block (MobileBERT, arXiv 2004.02984): `n = norm(narrow(x))` goes
/// through attention and the networks in place of `x`, and the block's result is
/// `norm(x + widen(n))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BottleneckSpec {
    /// Width of the narrow stream.
    pub size: u32,
    /// What queries, keys and values are made of.
    pub attention: BottleneckAttention,
}

/// What the queries, keys and values of a block with a bottleneck are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BottleneckAttention {
    /// All of the narrow stream.
    Narrow,
    /// Queries and keys of a narrow stream of their own, values of the wide one.
    Shared,
    /// All of the wide stream.
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
    /// Factor on `q . k` in base two: `log2(e)` times the usual `1 / sqrt(head_dim)`.
    pub scale: Multiplier,
    /// A norm over each head of queries and keys, before any rotation (Qwen3, Gemma 3).
    pub query_key_norm: Option<NormSpec>,
    /// How positions enter the scores.
    pub position: AttentionPosition,
    /// Sliding window. Causal: a query sees the last `window` keys, itself included. Bidirectional:
    /// keys at a distance of at most `window`. 0 when every layer sees everything.
    pub window: u32,
    /// Bit `l` set: layer `l` has the window.
    pub sliding_layers: u64,
    /// `cap * tanh(score / cap)` on the scores.
    pub soft_cap: Option<Multiplier>,
}

/// How positions enter the attention scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AttentionPosition {
    /// Not at all.
    None,
    /// Rotary embedding (arXiv 2104.09864) of the first `dims` values of each head, the first half
    /// of them paired with the second.
    Rotary {
        /// Values rotated; even, at most `head_dim`.
        dims: u16,
        /// Sliding layers have a table of their own.
        local: bool,
        /// Bit `l` set: layer `l` rotates.
        layers: u64,
    },
    /// A learned bias by distance, one for all layers (T5, arXiv 1910.10683), stored by distance up
    /// to where it saturates.
    RelativeBias {
        /// The distance from which on the bias is constant.
        distance: u32,
    },
    /// Disentangled attention (DeBERTa, arXiv 2006.03654): besides `q . k`, each query meets a
    /// vector of the distance to the key, and each key one of the distance to the query. In
    /// encoders only.
    Disentangled {
        /// The distance from which on the vectors do not change.
        distance: u32,
        /// Vectors that each head has of either kind.
        positions: u16,
        /// Whether queries meet distances.
        content_to_position: bool,
        /// Whether keys meet distances.
        position_to_content: bool,
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
    /// `down(activation(gate(x)) * up(x))` rather than `down(activation(up(x)))`.
    pub gated: bool,
    /// Whether the projections have biases.
    pub bias: bool,
    /// Networks in a block, one after the other, each with a norm and a residual connection.
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

/// The head, computed from the hidden states: pool, transform, project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeadSpec {
    /// What the result means.
    pub task: Task,
    /// Which hidden state is read.
    pub pooling: Pooling,
    /// A dense layer, activation and norm before the output projection.
    pub transform: Option<TransformSpec>,
    /// The output projection.
    pub output: OutputProjection,
    /// Rows of the output projection: the vocabulary, the labels, 2 for a span; 0 when there is
    /// none.
    pub num_outputs: u32,
    /// Whether the output projection has a bias.
    pub bias: bool,
    /// Scale the result to unit length.
    pub normalize: bool,
    /// `cap * tanh(logit / cap)` on the logits.
    pub soft_cap: Option<Multiplier>,
}

/// What the head's result means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Task {
    /// Hidden states of every token.
    Hidden,
    /// One vector for the whole input.
    Embedding,
    /// The next token.
    CausalLm,
    /// The token under a mask.
    MaskedLm,
    /// One of several labels.
    Classification,
    /// Any of several labels.
    MultiLabelClassification,
    /// A number, or several.
    Regression,
    /// A label for each token.
    TokenClassification,
    /// Start and end of an answer.
    QuestionAnswering,
    /// Whether each token was replaced (ELECTRA).
    ReplacedToken,
}

/// Which hidden state the head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Pooling {
    /// Each token's own.
    None,
    /// The first token's.
    First,
    /// The last token's.
    Last,
    /// The mean over all tokens.
    Mean,
    /// A decoder's last token's that is not this one, with which texts are filled up; the first
    /// token's where there is no other.
    LastExcept(u32),
    /// In a model of two stacks the decoder's state at the place where the encoder's text has this
    /// token last (BART, T5).
    AtLast(u32),
}

/// A dense layer, activation and norm before the output projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TransformSpec {
    /// Width of its result.
    pub size: u32,
    /// Whether the dense layer has a bias.
    pub bias: bool,
    /// The activation function.
    pub activation: Activation,
    /// A norm after the activation.
    pub norm: Option<NormSpec>,
}

/// Where the output projection's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OutputProjection {
    /// There is none.
    None,
    /// In the token table of the stack that the head reads.
    Tied,
    /// In a matrix of its own.
    Own,
}

/// A positive real number as an integer and a power of two: `mantissa * 2^-exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Multiplier {
    /// In `2^30 .. 2^31`.
    pub mantissa: i32,
    /// In `-32 ..= 94`.
    pub exponent: i8,
}

impl Multiplier {
    /// The smallest and the largest exponent a blob may hold.
    pub const EXPONENTS: core::ops::RangeInclusive<i32> = -32..=94;
}

impl Activation {
    /// Whether the runtime evaluates this function with a table in the payload.
    pub const fn has_table(self) -> bool {
        !matches!(self, Self::Identity | Self::Relu | Self::ReluSquared)
    }
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

impl BlockSpec {
    /// Width of the stream that goes through attention and the networks.
    pub const fn inner_size(&self, hidden_size: u32) -> u32 {
        match &self.bottleneck {
            Some(bottleneck) => bottleneck.size,
            None => hidden_size,
        }
    }
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

/// A divisor that is a count in a specification: never 0 once it is checked, which the compiler
/// cannot know.
#[inline(always)]
pub(crate) const fn at_least_one(count: usize) -> usize {
    if count == 0 { 1 } else { count }
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
    /// [`Error::InvalidSpec`] when there is no stack at all.
    pub fn last_stack(&self) -> Result<&StackSpec, Error> {
        self.decoder.as_ref().or(self.encoder.as_ref()).ok_or(Error::InvalidSpec("no encoder and no decoder"))
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
