//! Lists the matrices that have 4-bit weights.

use serde::{Deserialize, Serialize};

use crate::format::parts::{BlockPart, HeadPart, Role, Stack, StackPart};

/// The matrices and tables with 4-bit weights
/// ([`WeightLayout::Packed`](super::WeightLayout::Packed)); all others have 8-bit weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PackedSpec {
    /// Columns of a matrix that share a scale; 0 if nothing is packed.
    pub group: u8,
    /// Matrices of the encoder.
    pub encoder: PackedStack,
    /// Matrices of the decoder.
    pub decoder: PackedStack,
    /// The head's transform.
    pub head_transform: bool,
    /// The output projection, if it is not tied to a token table.
    pub head_output: bool,
}

/// The packed matrices of a stack: for each part of a block, the stored blocks in which it is
/// packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PackedStack {
    /// Queries.
    pub query: Blocks,
    /// Keys.
    pub key: Blocks,
    /// Values.
    pub value: Blocks,
    /// Attention's output projection.
    pub output: Blocks,
    /// Queries of cross-attention.
    pub cross_query: Blocks,
    /// Keys of cross-attention.
    pub cross_key: Blocks,
    /// Values of cross-attention.
    pub cross_value: Blocks,
    /// The output projection of cross-attention.
    pub cross_output: Blocks,
    /// The gate of the feed-forward network.
    pub gate: Blocks,
    /// The first projection of each feed-forward network.
    pub up: Blocks,
    /// The last projection of each feed-forward network.
    pub down: Blocks,
    /// The input projections of the bottleneck.
    pub narrow: Blocks,
    /// The output projection of the bottleneck.
    pub widen: Blocks,
    /// The projection of a factorized embedding.
    pub embedding_projection: bool,
    /// The convolution in parallel with the first block.
    pub convolution: bool,
    /// The token table: packed as a matrix if it is also the output projection, else as a table
    /// ([`WeightLayout::Table`](super::WeightLayout::Table)).
    pub tokens: bool,
    /// The table of positions.
    pub positions: bool,
    /// The table of token types.
    pub token_types: bool,
}

/// A set of stored blocks: block `n` is bit `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Blocks(pub u64);

impl Blocks {
    /// No block.
    pub const NONE: Self = Self(0);

    /// The first `count` blocks.
    pub const fn first(count: usize) -> Self {
        Self(if count < 64 { (1 << count) - 1 } else { u64::MAX })
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `block` is in the set.
    pub const fn contains(self, block: u16) -> bool {
        self.0 >> (block % 64) & 1 == 1
    }

    /// The set with `block` added if `contained`, else removed.
    #[must_use]
    pub const fn with(self, block: u16, contained: bool) -> Self {
        let bit = 1 << (block % 64);
        Self(if contained { self.0 | bit } else { self.0 & !bit })
    }

    /// Whether the set has some of the first `count` blocks, but not all.
    pub const fn divide(self, count: usize) -> bool {
        self.0 != 0 && (self.0.trailing_ones() as usize) < count
    }

    /// The number of blocks of the set before `block`.
    pub const fn before(self, block: u16) -> u32 {
        (self.0 & Self::first(block as usize).0).count_ones()
    }
}

impl PackedSpec {
    /// Every weight has eight bits.
    pub const NONE: Self = Self {
        group: 0,
        encoder: PackedStack::NONE,
        decoder: PackedStack::NONE,
        head_transform: false,
        head_output: false,
    };

    /// The packed matrices of a stack.
    pub const fn stack(&self, id: Stack) -> &PackedStack {
        match id {
            Stack::Encoder => &self.encoder,
            Stack::Decoder => &self.decoder,
        }
    }

    const fn stack_mut(&mut self, id: Stack) -> &mut PackedStack {
        match id {
            Stack::Encoder => &mut self.encoder,
            Stack::Decoder => &mut self.decoder,
        }
    }

    /// Gives the matrix of a role 4-bit weights if `packed`, else 8-bit weights. Has no effect on a
    /// role that cannot be packed.
    pub fn set(&mut self, role: Role, packed: bool) {
        match role {
            Role::Block(id, block, part) => {
                if let Some(blocks) = self.stack_mut(id).blocks_mut(part) {
                    *blocks = blocks.with(block, packed);
                }
            }
            Role::Stack(id, StackPart::EmbeddingProjection) => self.stack_mut(id).embedding_projection = packed,
            Role::Stack(id, StackPart::Convolution) => self.stack_mut(id).convolution = packed,
            Role::Stack(id, StackPart::TokenEmbedding) => self.stack_mut(id).tokens = packed,
            Role::Stack(id, StackPart::PositionEmbedding) => self.stack_mut(id).positions = packed,
            Role::Stack(id, StackPart::TokenTypeEmbedding) => self.stack_mut(id).token_types = packed,
            Role::Head(HeadPart::Transform) => self.head_transform = packed,
            Role::Head(HeadPart::Output) => self.head_output = packed,
            Role::Stack(..) | Role::Head(_) => {}
        }
    }

    /// Whether the matrix of a part is packed in block `block`.
    pub(crate) const fn in_block(&self, id: Stack, block: u16, part: BlockPart) -> bool {
        self.group != 0 && self.stack(id).blocks(part).contains(block)
    }

    /// Whether the matrix of a role is packed.
    pub const fn contains(&self, role: Role) -> bool {
        match role {
            Role::Block(id, block, part) => self.in_block(id, block, part),
            Role::Stack(id, StackPart::EmbeddingProjection) => self.stack(id).embedding_projection,
            Role::Stack(id, StackPart::Convolution) => self.stack(id).convolution,
            Role::Stack(id, StackPart::TokenEmbedding) => self.stack(id).tokens,
            Role::Stack(id, StackPart::PositionEmbedding) => self.stack(id).positions,
            Role::Stack(id, StackPart::TokenTypeEmbedding) => self.stack(id).token_types,
            Role::Head(HeadPart::Transform) => self.head_transform,
            Role::Head(HeadPart::Output) => self.head_output,
            Role::Stack(..) | Role::Head(_) => false,
        }
    }
}

/// A reference to the set of a part, if it has one. All feed-forward networks share the sets of the
/// first, both narrow streams share one, and the keys and values of a dynamic convolution share
/// those of attention.
macro_rules! set_of_part {
    ($sets:ident, $part:ident, $($reference:tt)+) => {
        match $part {
            BlockPart::Query => Some($($reference)+ $sets.query),
            BlockPart::Key | BlockPart::SpanKey => Some($($reference)+ $sets.key),
            BlockPart::Value | BlockPart::SpanValue => Some($($reference)+ $sets.value),
            BlockPart::Output => Some($($reference)+ $sets.output),
            BlockPart::CrossQuery => Some($($reference)+ $sets.cross_query),
            BlockPart::CrossKey => Some($($reference)+ $sets.cross_key),
            BlockPart::CrossValue => Some($($reference)+ $sets.cross_value),
            BlockPart::CrossOutput => Some($($reference)+ $sets.cross_output),
            BlockPart::Gate => Some($($reference)+ $sets.gate),
            BlockPart::Up | BlockPart::Up1 | BlockPart::Up2 | BlockPart::Up3 => Some($($reference)+ $sets.up),
            BlockPart::Down | BlockPart::Down1 | BlockPart::Down2 | BlockPart::Down3 => Some($($reference)+ $sets.down),
            BlockPart::Narrow | BlockPart::NarrowShared => Some($($reference)+ $sets.narrow),
            BlockPart::Widen => Some($($reference)+ $sets.widen),
            _ => None,
        }
    };
}

impl PackedStack {
    /// Every weight has eight bits.
    pub const NONE: Self = Self {
        query: Blocks::NONE,
        key: Blocks::NONE,
        value: Blocks::NONE,
        output: Blocks::NONE,
        cross_query: Blocks::NONE,
        cross_key: Blocks::NONE,
        cross_value: Blocks::NONE,
        cross_output: Blocks::NONE,
        gate: Blocks::NONE,
        up: Blocks::NONE,
        down: Blocks::NONE,
        narrow: Blocks::NONE,
        widen: Blocks::NONE,
        embedding_projection: false,
        convolution: false,
        tokens: false,
        positions: false,
        token_types: false,
    };

    /// The blocks in which a part is packed.
    pub const fn blocks(&self, part: BlockPart) -> Blocks {
        match set_of_part!(self, part, &) {
            Some(blocks) => *blocks,
            None => Blocks::NONE,
        }
    }

    const fn blocks_mut(&mut self, part: BlockPart) -> Option<&mut Blocks> {
        set_of_part!(self, part, &mut)
    }
}
