//! Derives a model's tensors, and their sizes, from its specification.
//!
//! A blob has no table of tensors: the layout is a function of the specification. [`roles`] lists
//! every tensor of a model in payload order with its [`Shape`], which is all that the writer and
//! the reader have to agree on.

pub use super::parts::{BlockPart, HeadPart, NETWORKS, Role, Stack, StackPart};

use super::places::{PACKED_COLS, TABLE_GROUP, TILE, WIDE_TILE_ROWS};
use super::spec::{
    Activation, AttentionPosition, BottleneckAttention, EmbeddingProjection, ModelSpec, NormKind, NormSpec,
    NumericsSpec, OutputProjection, Residual, StackSpec, WeightLayout, at_least_one,
};
use crate::features;

/// The alignment, in bytes, of tensors in the payload and of the buffers in the arena.
pub const ALIGNMENT: usize = 16;

/// Entries of an activation function's table, which samples `|x|` in `0 ..= 8` at steps of `1/64`.
pub const ACTIVATION_TABLE_LEN: usize = 513;

/// The kind and the size of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Weights `[rows, cols]`, then one exponent, `rows` multipliers and, with a bias, `rows`
    /// biases, all `i32`.
    Matrix {
        /// Output channels.
        rows: usize,
        /// Input channels.
        cols: usize,
        /// Whether there are biases.
        bias: bool,
        /// The layout of the weights.
        layout: WeightLayout,
    },
    /// One exponent, `size` weights and, with a bias, `size` biases, all `i32`.
    Norm {
        /// Width of a row.
        size: usize,
        /// The formula. The weights of all but [`NormKind::Affine`] are multiplied by
        /// `sqrt(size)`.
        kind: NormKind,
        /// Whether there are biases.
        bias: bool,
    },
    /// `len` values of `i32`.
    Words {
        /// The number of values.
        len: usize,
    },
    /// `len` values of `i16`.
    Halfwords {
        /// The number of values.
        len: usize,
    },
}

impl Shape {
    /// The shape of a norm over rows of `size` values.
    pub const fn norm(size: usize, spec: &NormSpec) -> Self {
        Self::Norm { size, kind: spec.kind, bias: spec.bias }
    }

    /// The shape of a row-major matrix; [`with_layout`](Self::with_layout) replaces the layout.
    const fn matrix(rows: usize, cols: usize, bias: bool) -> Self {
        Self::Matrix { rows, cols, bias, layout: WeightLayout::RowMajor }
    }

    /// Bytes of a matrix's weights, padded to the alignment; its 32-bit numbers follow them.
    pub const fn weight_bytes(self) -> u64 {
        let Self::Matrix { rows, cols, layout, .. } = self else { return 0 };
        let weights = rows as u64 * cols as u64;
        match layout {
            WeightLayout::RowMajor | WeightLayout::Tiled | WeightLayout::Paired | WeightLayout::WideTiled => {
                weights.next_multiple_of(ALIGNMENT as u64)
            }
            WeightLayout::Packed { .. } | WeightLayout::Table => {
                (weights / 2).next_multiple_of(ALIGNMENT as u64)
                    + self.group_scales().next_multiple_of(ALIGNMENT as u64)
            }
        }
    }

    /// Bytes of all group scales of a packed matrix, or of all scales and zero points of a 4-bit
    /// table.
    pub const fn group_scales(self) -> u64 {
        match self {
            Self::Matrix { rows, cols, layout: WeightLayout::Packed { group }, .. } => {
                rows as u64 * (cols as u64).div_ceil(at_least_one(group as usize) as u64)
            }
            Self::Matrix { rows, cols, layout: WeightLayout::Table, .. } => {
                rows as u64 * 2 * (cols as u64).div_ceil(TABLE_GROUP as u64)
            }
            _ => 0,
        }
    }

    /// The number of a matrix's multipliers: one for each row, or one for a 4-bit table.
    pub(crate) const fn multipliers(self) -> usize {
        match self {
            Self::Matrix { layout: WeightLayout::Table, .. } => 1,
            Self::Matrix { rows, .. } => rows,
            _ => 0,
        }
    }

    /// The shape with the layout that a matrix of this `role` has in a model.
    fn with_layout(self, role: Role, spec: &ModelSpec) -> Self {
        let Self::Matrix { rows, cols, bias, .. } = self else { return self };
        let numerics = &spec.numerics;
        let packed = features::PACKED_WEIGHTS && numerics.packed.contains(role);
        let layout = match role {
            _ if packed && spec.only_looks_up(role) => WeightLayout::Table,
            Role::Block(_, _, part) => part.layout(rows, cols, numerics, packed),
            _ => fitting(rows, cols, numerics, packed),
        };
        Self::Matrix { rows, cols, bias, layout }
    }

    /// Bytes of the 32-bit and 16-bit numbers, which follow the weights.
    pub const fn number_bytes(self) -> u64 {
        match self {
            Self::Matrix { rows, bias, .. } => 4 + 4 * (self.multipliers() + if bias { rows } else { 0 }) as u64,
            Self::Norm { size, bias, .. } => 4 + 4 * size as u64 * if bias { 2 } else { 1 },
            Self::Words { len } => 4 * len as u64,
            Self::Halfwords { len } => 2 * len as u64,
        }
    }

    /// Bytes in the payload, including the padding to the next tensor.
    pub const fn bytes(self) -> u64 {
        self.weight_bytes() + self.number_bytes().next_multiple_of(ALIGNMENT as u64)
    }
}

/// The layout of a matrix: packed, else the model's layout or the nearest that fits the shape.
#[inline(always)]
const fn fitting(rows: usize, cols: usize, numerics: &NumericsSpec, packed: bool) -> WeightLayout {
    if packed {
        return WeightLayout::Packed { group: numerics.packed.group };
    }
    match numerics.weights {
        WeightLayout::RowMajor => WeightLayout::RowMajor,
        _ if !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) => WeightLayout::RowMajor,
        WeightLayout::WideTiled if !rows.is_multiple_of(WIDE_TILE_ROWS) => WeightLayout::Tiled,
        layout => layout,
    }
}

/// Whether the shape of a matrix allows packed weights.
pub const fn can_be_packed(rows: usize, cols: usize) -> bool {
    rows.is_multiple_of(TILE) && cols.is_multiple_of(PACKED_COLS)
}

/// Whether the width of a looked-up table allows 4-bit weights.
pub const fn can_be_table(cols: usize) -> bool {
    cols.is_multiple_of(2)
}

impl StackPart {
    /// The shape of the part in a stack, if the stack has it.
    fn shape(self, id: Stack, stack: &StackSpec) -> Option<Shape> {
        let embedding = &stack.embedding;
        let (hidden, narrow) = (stack.hidden_size as usize, embedding.embedding_size as usize);
        let positions = stack.max_positions as usize;
        let attention = &stack.block.attention;
        // The width at which positions and token types are added.
        let added = match embedding.projection {
            EmbeddingProjection::BeforePositions | EmbeddingProjection::Trigram => hidden,
            _ => narrow,
        };
        let normed = match embedding.projection {
            EmbeddingProjection::AfterNorm => narrow,
            _ => hidden,
        };
        let matrix = |rows, cols| Shape::matrix(rows, cols, false);
        match self {
            Self::EmbeddingProjection if !features::PROJECTED_EMBEDDINGS => None,
            Self::RelativeBias | Self::RelativeIndex if !features::RELATIVE_ATTENTION => None,
            Self::Convolution | Self::ConvolutionNorm | Self::ConvolutionTable if !features::CONVOLUTIONS => None,
            Self::TokenEmbedding => (!embedding.shared).then_some(matrix(embedding.vocab_size as usize, narrow)),
            Self::PositionEmbedding => {
                let rows = positions + usize::from(embedding.padding.is_some());
                embedding.positions.is_some().then_some(matrix(rows, added))
            }
            Self::TokenTypeEmbedding => {
                (embedding.token_types > 0).then_some(matrix(embedding.token_types as usize, added))
            }
            Self::EmbeddingProjection => (embedding.projection != EmbeddingProjection::None).then_some(Shape::matrix(
                hidden,
                embedding.projected_size() as usize,
                embedding.projection_bias,
            )),
            Self::EmbeddingNorm => embedding.norm.as_ref().map(|norm| Shape::norm(normed, norm)),
            Self::FinalNorm => stack.final_norm.as_ref().map(|norm| Shape::norm(hidden, norm)),
            Self::Rotary | Self::RotaryLocal => match attention.position {
                AttentionPosition::Rotary { dims, local, .. } if local || self == Self::Rotary => {
                    Some(Shape::Halfwords { len: positions * dims as usize })
                }
                _ => None,
            },
            Self::RelativeBias => match attention.position {
                AttentionPosition::RelativeBias { distance } | AttentionPosition::LayerRelativeBias { distance } => {
                    let distances = distance as usize * if id == Stack::Encoder { 2 } else { 1 } + 1;
                    let each = matches!(attention.position, AttentionPosition::LayerRelativeBias { .. });
                    let layers = if each { stack.num_hidden_layers as usize } else { 1 };
                    Some(Shape::Words { len: layers * attention.num_attention_heads as usize * distances })
                }
                _ => None,
            },
            Self::RelativeIndex => match attention.position {
                AttentionPosition::Disentangled { distance, .. } => {
                    Some(Shape::Halfwords { len: 2 * distance as usize + 1 })
                }
                _ => None,
            },
            Self::ActivationTable => table(stack.block.feed_forward.activation),
            Self::Convolution => stack
                .convolution
                .parallel()
                .map(|convolution| Shape::matrix(hidden, convolution.kernel_size as usize * hidden, convolution.bias)),
            Self::ConvolutionNorm => stack.convolution.parallel().map(|_| Shape::norm(hidden, &stack.block.norm)),
            Self::ConvolutionTable => {
                stack.convolution.parallel().and_then(|convolution| table(convolution.activation))
            }
        }
    }
}

/// The table of an activation function, if it has one.
fn table(activation: Activation) -> Option<Shape> {
    activation.has_table().then_some(Shape::Halfwords { len: ACTIVATION_TABLE_LEN })
}

impl BlockPart {
    /// Whether a block of a stack has the part.
    fn is_in(self, stack: &StackSpec, index: u16) -> bool {
        let block = &stack.block;
        let networks = block.feed_forward.networks;
        let attends = || stack.short_convolution(index.into()).is_none();
        match self {
            Self::AttentionNorm | Self::Query | Self::Key | Self::Value | Self::Output => true,
            Self::QueryNorm | Self::KeyNorm => block.attention.query_key_norm.spec().is_some() && attends(),
            Self::AttentionPostNorm | Self::FeedForwardPostNorm => block.residual == Residual::Sandwich,
            Self::CrossNorm | Self::CrossQuery | Self::CrossKey | Self::CrossValue | Self::CrossOutput => {
                features::CROSS_ATTENTION && block.cross_attention
            }
            Self::FeedForwardNorm => networks > 0 && block.residual != Residual::ParallelShared,
            Self::Up | Self::Down => networks > 0,
            Self::Gate => block.feed_forward.gated,
            Self::PositionKey | Self::PositionQuery => match block.attention.position {
                AttentionPosition::Disentangled { content_to_position, position_to_content, .. } => {
                    let met = if self == Self::PositionKey { content_to_position } else { position_to_content };
                    features::RELATIVE_ATTENTION && met
                }
                _ => false,
            },
            Self::Narrow | Self::NarrowNorm | Self::Widen | Self::WidenNorm => {
                features::BOTTLENECKS && block.bottleneck.is_some()
            }
            Self::NarrowShared | Self::NarrowSharedNorm => {
                features::BOTTLENECKS
                    && block.bottleneck.is_some_and(|bottleneck| bottleneck.attention == BottleneckAttention::Shared)
            }
            Self::Up1 | Self::Down1 | Self::FeedForwardNorm1 => features::BOTTLENECKS && networks > 1,
            Self::Up2 | Self::Down2 | Self::FeedForwardNorm2 => features::BOTTLENECKS && networks > 2,
            Self::Up3 | Self::Down3 | Self::FeedForwardNorm3 => features::BOTTLENECKS && networks > 3,
            Self::ShortKernel => !attends(),
            Self::SpanDepthwise | Self::SpanKey | Self::SpanValue | Self::SpanKernel => {
                stack.convolution.span().is_some()
            }
        }
    }

    /// The shape of the part in a block of a stack, if the block has it.
    pub(super) fn shape(self, stack: &StackSpec, index: u16) -> Option<Shape> {
        let block = &stack.block;
        let hidden = stack.hidden_size as usize;
        let size = block.inner_size(stack.hidden_size) as usize;
        if let Some((rows, cols, bias)) = self.matrix(stack, index) {
            return Some(Shape::matrix(rows, cols, bias));
        }
        if !self.is_in(stack, index) {
            return None;
        }
        match self {
            Self::QueryNorm | Self::KeyNorm => {
                let attention = &block.attention;
                let heads =
                    if self == Self::QueryNorm { attention.num_attention_heads } else { attention.num_key_value_heads };
                let (norm, parts) = attention.query_key_norm.over(heads.into())?;
                Some(Shape::norm(usize::from(attention.head_dim) * usize::from(heads) / parts.max(1), &norm))
            }
            Self::WidenNorm => Some(Shape::norm(hidden, &block.norm)),
            Self::AttentionNorm
            | Self::AttentionPostNorm
            | Self::CrossNorm
            | Self::FeedForwardNorm
            | Self::FeedForwardNorm1
            | Self::FeedForwardNorm2
            | Self::FeedForwardNorm3
            | Self::FeedForwardPostNorm
            | Self::NarrowNorm
            | Self::NarrowSharedNorm => Some(Shape::norm(size, &block.norm)),
            _ => None,
        }
    }

    /// The rows, the columns and whether there are biases, if the part is a matrix and the block
    /// of the stack has it.
    #[inline(always)]
    pub(crate) fn matrix(self, stack: &StackSpec, index: u16) -> Option<(usize, usize, bool)> {
        let block = &stack.block;
        let (attention, feed_forward) = (&block.attention, &block.feed_forward);
        let hidden = stack.hidden_size as usize;
        if let Some(convolution) = stack.short_convolution(index.into()) {
            match self {
                Self::Query | Self::Key | Self::Value | Self::Output => {
                    return Some((hidden, hidden, convolution.bias));
                }
                Self::ShortKernel => return Some((hidden, convolution.kernel_size.into(), convolution.bias)),
                _ => {}
            }
        }
        let (query, key_value) = (attention.query_size(), attention.key_value_size());
        let inner = feed_forward.intermediate_size as usize;
        let (mut size, mut key_input, mut value_input) = (hidden, hidden, hidden);
        if let Some(bottleneck) = block.bottleneck.as_ref().filter(|_| features::BOTTLENECKS) {
            size = bottleneck.size as usize;
            match bottleneck.attention {
                BottleneckAttention::Wide => {}
                BottleneckAttention::Shared => key_input = size,
                BottleneckAttention::Narrow => (key_input, value_input) = (size, size),
            }
        }
        let span = stack.convolution.span().map(|span| span.kernel_size as usize);
        let shape = match self {
            Self::Query => (query, key_input, attention.qkv_bias),
            Self::Key => (key_value, key_input, attention.qkv_bias),
            Self::Value => (key_value, value_input, attention.qkv_bias),
            Self::Output => (size, if span.is_some() { 2 * query } else { query }, attention.output_bias),
            Self::CrossQuery => (query, hidden, attention.qkv_bias),
            Self::CrossKey | Self::CrossValue => (key_value, hidden, attention.qkv_bias),
            Self::CrossOutput => (hidden, query, attention.output_bias),
            Self::PositionKey | Self::PositionQuery => {
                let AttentionPosition::Disentangled { positions, .. } = attention.position else { return None };
                (attention.num_attention_heads as usize * positions as usize, attention.head_dim.into(), false)
            }
            Self::Narrow | Self::NarrowShared => (size, hidden, true),
            Self::Widen => (hidden, size, true),
            Self::Gate | Self::Up | Self::Up1 | Self::Up2 | Self::Up3 => (inner, size, feed_forward.bias),
            Self::Down | Self::Down1 | Self::Down2 | Self::Down3 => (size, inner, feed_forward.bias),
            Self::SpanDepthwise => (hidden, span?, false),
            Self::SpanKey => (query, hidden, true),
            Self::SpanValue => (query, hidden, attention.qkv_bias),
            Self::SpanKernel => (attention.num_attention_heads as usize * span?, query, true),
            _ => return None,
        };
        self.is_in(stack, index).then_some(shape)
    }

    /// The layout of the part's matrix. Distance vectors of disentangled attention, depthwise kernels
    /// and kernels of short convolutions are always row-major, because they are read a row at a time.
    #[inline(always)]
    pub(crate) const fn layout(self, rows: usize, cols: usize, numerics: &NumericsSpec, packed: bool) -> WeightLayout {
        match self {
            Self::PositionKey | Self::PositionQuery | Self::SpanDepthwise => WeightLayout::RowMajor,
            Self::ShortKernel if features::SHORT_CONVOLUTIONS => WeightLayout::RowMajor,
            _ => fitting(rows, cols, numerics, packed),
        }
    }
}

impl HeadPart {
    /// The shape of the part in a model, if its head has it.
    fn shape(self, spec: &ModelSpec) -> Option<Shape> {
        let head = &spec.head;
        let stack = spec.last_stack().ok()?;
        let hidden = stack.hidden_size as usize;
        let caps = || {
            spec.encoder.iter().chain(&spec.decoder).any(|stack: &StackSpec| stack.block.attention.soft_cap.is_some())
        };
        match self {
            Self::Transform => head.transform.map(|t| Shape::matrix(t.size as usize, hidden, t.bias)),
            Self::TransformNorm => {
                let transform = head.transform.as_ref()?;
                transform.norm.map(|norm| Shape::norm(transform.size as usize, &norm))
            }
            Self::ActivationTable => head.transform.and_then(|transform| table(transform.activation)),
            Self::Output => (head.output == OutputProjection::Own).then_some(Shape::matrix(
                head.num_outputs as usize,
                head.input_size(stack),
                head.bias,
            )),
            Self::OutputBias => (head.output == OutputProjection::Tied && head.bias)
                .then_some(Shape::Words { len: head.num_outputs as usize }),
            Self::TanhTable if !features::SOFT_CAPS => None,
            Self::TanhTable => {
                (head.soft_cap.is_some() || caps()).then_some(Shape::Halfwords { len: ACTIVATION_TABLE_LEN })
            }
        }
    }
}

impl Role {
    /// The shape of the tensor in a model, if the model has it.
    pub fn shape(self, spec: &ModelSpec) -> Option<Shape> {
        let shape = match self {
            Self::Stack(id, part) => part.shape(id, spec.stack(id)?),
            Self::Block(id, block, part) => part.shape(spec.stack(id)?, block),
            Self::Head(part) => part.shape(spec),
        };
        Some(shape?.with_layout(self, spec))
    }
}

impl ModelSpec {
    /// One of the stacks, if the model has it.
    pub fn stack(&self, id: Stack) -> Option<&StackSpec> {
        match id {
            Stack::Encoder => self.encoder.as_ref(),
            Stack::Decoder => self.decoder.as_ref(),
        }
    }

    /// Whether a role is a table that is only looked up, and not also a tied output projection.
    pub fn only_looks_up(&self, role: Role) -> bool {
        let (last, shared) = match &self.decoder {
            Some(decoder) => (Stack::Decoder, decoder.embedding.shared),
            None => (Stack::Encoder, false),
        };
        let tied = if shared { Stack::Encoder } else { last };
        match role {
            Role::Stack(id, StackPart::TokenEmbedding) => self.head.output != OutputProjection::Tied || id != tied,
            Role::Stack(_, StackPart::PositionEmbedding | StackPart::TokenTypeEmbedding) => true,
            _ => false,
        }
    }

    /// Whether the blocks of a stack differ in a part: only some have it packed, or only some have
    /// attention.
    pub(super) fn divides(&self, id: Stack, part: BlockPart) -> bool {
        let packed = &self.numerics.packed;
        let mixed = || self.stack(id).is_some_and(|stack| stack.convolution.short().is_some());
        if features::SHORT_CONVOLUTIONS && part.mixes() && mixed() {
            return true;
        }
        let blocks = || self.stack(id).map_or(0, StackSpec::num_blocks);
        features::PACKED_WEIGHTS && packed.group != 0 && packed.stack(id).blocks(part).divide(blocks())
    }
}

/// Every tensor of a model with its shape, in payload order: for each stack, the tensors outside
/// its blocks, its blocks, and the parts in which its blocks differ; then the head.
pub fn roles(spec: &ModelSpec) -> impl Iterator<Item = (Role, Shape)> + '_ {
    let stacks = [Stack::Encoder, Stack::Decoder].into_iter().filter_map(move |id| Some((id, spec.stack(id)?)));
    let in_stacks = stacks.flat_map(move |(id, stack)| {
        let blocks = stack.num_blocks();
        let divided = move |part: &BlockPart| spec.divides(id, *part);
        let own = StackPart::ALL.iter().map(move |&part| Role::Stack(id, part));
        let in_blocks = (0..blocks as u16).flat_map(move |block| {
            let parts = BlockPart::ALL.iter().copied().filter(move |part| !divided(part));
            parts.map(move |part| Role::Block(id, block, part))
        });
        let parts = BlockPart::ALL.iter().copied().filter(divided);
        let after = parts.flat_map(move |part| (0..blocks as u16).map(move |block| Role::Block(id, block, part)));
        own.chain(in_blocks).chain(after)
    });
    let in_head = HeadPart::ALL.iter().map(|&part| Role::Head(part));
    in_stacks.chain(in_head).filter_map(|role| Some((role, role.shape(spec)?)))
}
