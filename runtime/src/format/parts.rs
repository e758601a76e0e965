//! Names a model's tensors, in payload order.

/// The most feed-forward networks in a block.
pub const MAX_NETWORKS: u8 = 4;

/// One of the two stacks of blocks that a model can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stack {
    /// The bidirectional stack.
    Encoder,
    /// The causal stack.
    Decoder,
}

/// The purpose of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A tensor that a stack has once.
    Stack(Stack, StackPart),
    /// A tensor of a stored block, by the block's index in its stack.
    Block(Stack, u16, BlockPart),
    /// A tensor of the head.
    Head(HeadPart),
}

/// Declares an enum of parts, and the constant `ALL` that lists them in payload order.
macro_rules! parts {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$doc:meta])* $part:ident,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $part,)*
        }

        impl $name {
            /// Every part, in payload order.
            pub const ALL: [Self; [$(stringify!($part)),*].len()] = [$(Self::$part),*];
        }
    };
}

parts! {
    /// Tensors of a stack outside its blocks.
    pub enum StackPart {
        /// `[vocab_size, embedding_size]`: a row is a token's vector, and an output channel of a
        /// tied head.
        TokenEmbedding,
        /// `[max_positions, width]`, indexed from 0: the converter has removed any offset of the
        /// checkpoint's table. Has one more row if padding has a position of its own.
        PositionEmbedding,
        /// `[token_types, width]`, added by token type (segment).
        TokenTypeEmbedding,
        /// `[hidden_size, embedding_size]`, or `[hidden_size, 3 * embedding_size]` for trigrams.
        EmbeddingProjection,
        /// The norm on the embedding.
        EmbeddingNorm,
        /// The norm after the last block.
        FinalNorm,
        /// Cosine and sine for each position and pair, `[max_positions, dims / 2, 2]`, Q15.
        Rotary,
        /// [`StackPart::Rotary`] for layers with a sliding window.
        RotaryLocal,
        /// The bias on the scores by head and distance, `[heads, distances]`, base two, Q.16.
        /// Distances are `key - query` from `-distance` to `distance` in an encoder, `query - key`
        /// from 0 to `distance` in a decoder.
        RelativeBias,
        /// The index of a vector of [`BlockPart::PositionKey`] for each distance `query - key`,
        /// from `-distance` to `distance`.
        RelativeIndex,
        /// The table of the feed-forward activation.
        ActivationTable,
        /// `[hidden_size, kernel_size * hidden_size]`: the columns of the kernel's first token come
        /// first.
        Convolution,
        /// The norm after the convolution.
        ConvolutionNorm,
        /// The table of the convolution's activation.
        ConvolutionTable,
    }
}

parts! {
    /// Tensors of a block.
    pub enum BlockPart {
        /// The norm before attention, or after it in post-norm blocks.
        AttentionNorm,
        /// `[heads * head_dim, hidden_size]`.
        Query,
        /// `[kv_heads * head_dim, hidden_size]`.
        Key,
        /// `[kv_heads * head_dim, hidden_size]`.
        Value,
        /// The norm over each query head.
        QueryNorm,
        /// The norm over each key head.
        KeyNorm,
        /// `[hidden_size, heads * head_dim]`, or twice as many columns if a dynamic convolution runs
        /// beside attention.
        Output,
        /// The norm on attention's result in sandwich blocks.
        AttentionPostNorm,
        /// The norm before, or after, cross-attention.
        CrossNorm,
        /// [`BlockPart::Query`] of cross-attention.
        CrossQuery,
        /// [`BlockPart::Key`] of cross-attention, applied to the encoder's output.
        CrossKey,
        /// [`BlockPart::Value`] of cross-attention, applied to the encoder's output.
        CrossValue,
        /// [`BlockPart::Output`] of cross-attention.
        CrossOutput,
        /// The norm before, or after, the feed-forward network.
        FeedForwardNorm,
        /// `[intermediate_size, hidden_size]`, in gated networks; its result is activated.
        Gate,
        /// `[intermediate_size, hidden_size]`.
        Up,
        /// `[hidden_size, intermediate_size]`.
        Down,
        /// The norm on the network's result in sandwich blocks.
        FeedForwardPostNorm,
        /// Distance vectors that queries are multiplied by: `[heads * positions, head_dim]`.
        PositionKey,
        /// Distance vectors that keys are multiplied by: `[heads * positions, head_dim]`.
        PositionQuery,
        /// The bottleneck's input projection: `[bottleneck size, hidden_size]`.
        Narrow,
        /// The norm after [`BlockPart::Narrow`].
        NarrowNorm,
        /// The input projection for queries and keys, if they have a stream of their own:
        /// `[bottleneck size, hidden_size]`.
        NarrowShared,
        /// The norm after [`BlockPart::NarrowShared`].
        NarrowSharedNorm,
        /// The bottleneck's output projection: `[hidden_size, bottleneck size]`.
        Widen,
        /// The norm on the sum of the residual stream and [`BlockPart::Widen`]'s result.
        WidenNorm,
        /// [`BlockPart::Up`] of the second network.
        Up1,
        /// [`BlockPart::Down`] of the second network.
        Down1,
        /// [`BlockPart::FeedForwardNorm`] of the second network.
        FeedForwardNorm1,
        /// [`BlockPart::Up`] of the third network.
        Up2,
        /// [`BlockPart::Down`] of the third network.
        Down2,
        /// [`BlockPart::FeedForwardNorm`] of the third network.
        FeedForwardNorm2,
        /// [`BlockPart::Up`] of the fourth network.
        Up3,
        /// [`BlockPart::Down`] of the fourth network.
        Down3,
        /// [`BlockPart::FeedForwardNorm`] of the fourth network.
        FeedForwardNorm3,
        /// The kernel of a gated short convolution, `[hidden_size, kernel_size]`: a row for each
        /// channel, the earliest token first. In such a block [`BlockPart::Query`],
        /// [`BlockPart::Key`], [`BlockPart::Value`] and [`BlockPart::Output`] are
        /// `[hidden_size, hidden_size]`.
        ShortKernel,
        /// The depthwise half of the separable convolution that makes the keys of a span-based
        /// dynamic convolution, `[hidden_size, kernel_size]`: a row for each channel.
        SpanDepthwise,
        /// The pointwise half, `[heads * head_dim, hidden_size]`.
        SpanKey,
        /// The values of the dynamic convolution, `[heads * head_dim, hidden_size]`.
        SpanValue,
        /// The kernels of the dynamic convolution before their softmax, times log2(e),
        /// `[heads * kernel_size, heads * head_dim]`.
        SpanKernel,
    }
}

impl BlockPart {
    /// Whether the part belongs to a block's attention, or to what replaces it: blocks differ in it if
    /// only some have attention.
    pub(super) const fn mixes(self) -> bool {
        use BlockPart::{Key, KeyNorm, Output, Query, QueryNorm, ShortKernel, Value};
        matches!(self, Query | Key | Value | QueryNorm | KeyNorm | Output | ShortKernel)
    }

    /// Whether the part has no set of packed blocks of its own, but that of [`BlockPart::Up`],
    /// [`BlockPart::Down`], [`BlockPart::Narrow`], [`BlockPart::Key`] or [`BlockPart::Value`].
    pub(super) const fn shares_its_set(self) -> bool {
        use BlockPart::{Down1, Down2, Down3, NarrowShared, SpanKey, SpanValue, Up1, Up2, Up3};
        matches!(self, Up1 | Up2 | Up3 | Down1 | Down2 | Down3 | NarrowShared | SpanKey | SpanValue)
    }
}

/// The tensors of each feed-forward network of a block: `(up, down, norm)`.
pub const NETWORKS: [(BlockPart, BlockPart, BlockPart); MAX_NETWORKS as usize] = [
    (BlockPart::Up, BlockPart::Down, BlockPart::FeedForwardNorm),
    (BlockPart::Up1, BlockPart::Down1, BlockPart::FeedForwardNorm1),
    (BlockPart::Up2, BlockPart::Down2, BlockPart::FeedForwardNorm2),
    (BlockPart::Up3, BlockPart::Down3, BlockPart::FeedForwardNorm3),
];

parts! {
    /// Tensors of the head.
    pub enum HeadPart {
        /// `[size, hidden_size]`.
        Transform,
        /// The norm after the transform's activation.
        TransformNorm,
        /// The table of the transform's activation.
        ActivationTable,
        /// `[num_outputs, width]`, unless the output projection is tied to the token table.
        Output,
        /// The bias of a tied output projection.
        OutputBias,
        /// The table of `tanh` on `0 ..= 8`, for the soft caps of the model.
        TanhTable,
    }
}
