//! The names of a model's tensors, in payload order.

/// The most feed-forward networks in a block.
pub const MAX_NETWORKS: u8 = 4;

/// One of the two stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stack {
    /// The bidirectional one.
    Encoder,
    /// The causal one.
    Decoder,
}

/// The purpose of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Once in a stack.
    Stack(Stack, StackPart),
    /// Once in each stored block of a stack.
    Block(Stack, u16, BlockPart),
    /// Once in the head.
    Head(HeadPart),
}

/// Declares the parts of something, and `ALL` of them in their order: the payload's.
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
        /// `[max_positions, width]`, indexed from 0: offsets of the checkpoint's table are already
        /// gone. One more row where padding has a position of its own.
        PositionEmbedding,
        /// `[token_types, width]`.
        TokenTypeEmbedding,
        /// `[hidden_size, embedding_size]`, three times as wide for trigrams.
        EmbeddingProjection,
        /// The norm on the embedding.
        EmbeddingNorm,
        /// The norm after the last block.
        FinalNorm,
        /// Cosine and sine of each position and pair, `[max_positions, dims / 2, 2]`, Q15.
        Rotary,
        /// [`StackPart::Rotary`] for layers with a sliding window.
        RotaryLocal,
        /// Bias on the scores by head and distance, `[heads, distances]`, base two, Q.16: distances
        /// are `key - query` from `-distance` to `distance` in an encoder, `query - key` from 0 to
        /// `distance` in a decoder.
        RelativeBias,
        /// Which of the vectors of [`BlockPart::PositionKey`] belongs to each distance `query -
        /// key`, from `-distance` to `distance`.
        RelativeIndex,
        /// The feed-forward activation.
        ActivationTable,
        /// `[hidden_size, kernel_size * hidden_size]`: the columns of the first token that it sees
        /// come first.
        Convolution,
        /// The norm after the convolution.
        ConvolutionNorm,
        /// The convolution's activation.
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
        /// `[hidden_size, heads * head_dim]`.
        Output,
        /// The norm on attention's result in sandwich blocks.
        AttentionPostNorm,
        /// The norm before, or after, cross-attention.
        CrossNorm,
        /// As [`BlockPart::Query`], for cross-attention.
        CrossQuery,
        /// As [`BlockPart::Key`], over the encoder's output.
        CrossKey,
        /// As [`BlockPart::Value`], over the encoder's output.
        CrossValue,
        /// As [`BlockPart::Output`], for cross-attention.
        CrossOutput,
        /// The norm before, or after, the feed-forward network.
        FeedForwardNorm,
        /// `[intermediate_size, hidden_size]`, under the activation, in gated networks.
        Gate,
        /// `[intermediate_size, hidden_size]`.
        Up,
        /// `[hidden_size, intermediate_size]`.
        Down,
        /// The norm on the network's result in sandwich blocks.
        FeedForwardPostNorm,
        /// The vectors of distances that queries are multiplied by: `[heads * positions,
        /// head_dim]`.
        PositionKey,
        /// The vectors of distances that keys are multiplied by: `[heads * positions, head_dim]`.
        PositionQuery,
        /// From the wide stream to the narrow one: `[bottleneck size, hidden_size]`.
        Narrow,
        /// The norm on it.
        NarrowNorm,
        /// From the wide stream to that of queries and keys, where these have one of their own.
        NarrowShared,
        /// The norm on it.
        NarrowSharedNorm,
        /// From the narrow stream back: `[hidden_size, bottleneck size]`.
        Widen,
        /// The norm after it.
        WidenNorm,
        /// As [`BlockPart::Up`], of the second network.
        Up1,
        /// As [`BlockPart::Down`], of the second network.
        Down1,
        /// As [`BlockPart::FeedForwardNorm`], of the second network.
        FeedForwardNorm1,
        /// As [`BlockPart::Up`], of the third network.
        Up2,
        /// As [`BlockPart::Down`], of the third network.
        Down2,
        /// As [`BlockPart::FeedForwardNorm`], of the third network.
        FeedForwardNorm2,
        /// As [`BlockPart::Up`], of the fourth network.
        Up3,
        /// As [`BlockPart::Down`], of the fourth network.
        Down3,
        /// As [`BlockPart::FeedForwardNorm`], of the fourth network.
        FeedForwardNorm3,
    }
}

impl BlockPart {
    /// Whether the part is packed where another of its kind is.
    pub(super) const fn shares_its_set(self) -> bool {
        use BlockPart::{Down1, Down2, Down3, NarrowShared, Up1, Up2, Up3};
        matches!(self, Up1 | Up2 | Up3 | Down1 | Down2 | Down3 | NarrowShared)
    }
}

/// The projections and the norm of each feed-forward network of a block: `(up, down, norm)`.
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
        /// The transform's activation.
        ActivationTable,
        /// `[num_outputs, width]`, where it is not the token table.
        Output,
        /// The bias of a tied output projection.
        OutputBias,
        /// `tanh` on `0 ..= 8`, for the soft caps of the model.
        TanhTable,
    }
}
