//! Computes the offset of each tensor in the payload.

use super::layout::Shape;
use super::parts::{BlockPart, HeadPart, Role, Stack, StackPart};
use super::spec::{Blocks, ModelSpec, StackSpec, WeightLayout};
use crate::features;

/// The offset of each tensor, computed once per model.
///
/// A part has the same offset in every block, unless the blocks differ in it: the tensors of such a
/// part follow each other after the blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout([u32; Layout::WORDS]);

impl Layout {
    /// Words for each stack: the offsets of its own tensors, the offset of its first block, the
    /// length of a block, and the offsets of tensors in a block.
    const STACK: usize = StackPart::ALL.len() + 2 + BlockPart::ALL.len();
    /// The index of the head's first offset, after both stacks.
    const HEAD: usize = 2 * Self::STACK;
    /// The number of words; the last one is the payload's length.
    pub(crate) const WORDS: usize = Self::HEAD + HeadPart::ALL.len() + 1;

    /// The layout of no tensors.
    pub(crate) const EMPTY: Self = Self([0; Self::WORDS]);

    /// Computes every offset, in an [empty](Self::EMPTY) layout. `None` if the payload would exceed
    /// 32 bits.
    #[inline(never)]
    pub(crate) fn find(&mut self, spec: &ModelSpec) -> Option<()> {
        let mut end = 0;
        let (stacks, head) = self.0.split_at_mut(Self::HEAD);
        for (id, found) in [Stack::Encoder, Stack::Decoder].into_iter().zip(stacks.chunks_exact_mut(Self::STACK)) {
            let Some(stack) = spec.stack(id) else { continue };
            let (parts, found) = found.split_at_mut(StackPart::ALL.len());
            let Some((blocks, parts_of_block)) = found.split_first_chunk_mut::<2>() else { continue };
            place(parts, &StackPart::ALL, |part| Role::Stack(id, part).shape(spec), &mut end)?;
            let mut block_end = 0;
            let divided = |part| spec.divides(id, part);
            let in_block = |part| Role::Block(id, 0, part).shape(spec).filter(|_| !divided(part));
            place(parts_of_block, &BlockPart::ALL, in_block, &mut block_end)?;
            let count = stack.num_blocks();
            *blocks = [u32::try_from(end).ok()?, u32::try_from(block_end).ok()?];
            end += block_end * count as u64;
            for (offset, part) in parts_of_block.iter_mut().zip(BlockPart::ALL).filter(|(_, part)| divided(*part)) {
                *offset = u32::try_from(end).ok()?;
                let bytes = |block| Role::Block(id, block, part).shape(spec).map_or(0, Shape::bytes);
                end += (0..count as u16).map(bytes).sum::<u64>();
            }
        }
        place(head, &HeadPart::ALL, |part| Role::Head(part).shape(spec), &mut end)?;
        *head.last_mut()? = u32::try_from(end).ok()?;
        Some(())
    }

    /// The inverse of [`to_words`](Self::to_words), for exported constants.
    pub(crate) const fn from_words(words: [u32; Self::WORDS]) -> Self {
        Self(words)
    }

    #[cfg(feature = "alloc")]
    pub(crate) const fn to_words(self) -> [u32; Self::WORDS] {
        self.0
    }

    /// Bytes of the payload.
    pub(crate) fn bytes(&self) -> usize {
        self.word(Self::WORDS - 1)
    }

    /// The offset of a tensor of the model with specification `spec`.
    pub(crate) fn offset(&self, spec: &ModelSpec, role: Role) -> usize {
        match role {
            Role::Stack(id, part) => self.word(Self::stack(id) + part as usize),
            Role::Block(id, block, part) => self.block_offset(spec, (id, block, part)),
            Role::Head(part) => self.word(Self::HEAD + part as usize),
        }
    }

    /// The offset of a tensor of a block.
    pub(crate) fn block_offset(&self, spec: &ModelSpec, (id, block, part): (Stack, u16, BlockPart)) -> usize {
        let blocks = Self::stack(id) + StackPart::ALL.len();
        let begin = self.word(blocks + 2 + part as usize);
        if spec.divides(id, part) {
            return begin + spec.stack(id).map_or(0, |stack| before(spec, stack, (id, block, part)));
        }
        self.word(blocks) + block as usize * self.word(blocks + 1) + begin
    }

    const fn stack(id: Stack) -> usize {
        match id {
            Stack::Encoder => 0,
            Stack::Decoder => Self::STACK,
        }
    }

    fn word(&self, index: usize) -> usize {
        self.0.get(index).copied().unwrap_or(0) as usize
    }
}

/// Bytes of a part's tensors in the blocks before `block`. The blocks differ in the part.
fn before(spec: &ModelSpec, stack: &StackSpec, (id, block, part): (Stack, u16, BlockPart)) -> usize {
    let packed = spec.numerics.packed.stack(id).blocks(part);
    let group = spec.numerics.packed.group;
    // Bytes of `count` tensors like that of block `like`, of which `packed` are packed.
    let bytes_of = |like: u16, count: usize, packed: usize| {
        let Some((rows, cols, bias)) = part.matrix(stack, like) else {
            // Only blocks with and without attention differ in a norm.
            let shape = if features::SHORT_CONVOLUTIONS { part.shape(stack, like) } else { None };
            return count * shape.map_or(0, Shape::bytes) as usize;
        };
        let bytes = |layout| Shape::Matrix { rows, cols, bias, layout }.bytes() as usize;
        (count - packed) * bytes(WeightLayout::Tiled) + packed * bytes(WeightLayout::Packed { group })
    };
    let Some(convolution) = stack.convolution.short() else {
        return bytes_of(0, block as usize, packed.before(block) as usize);
    };
    let kinds = [Blocks(convolution.layers), Blocks(!convolution.layers)];
    let bytes_of_kind = |kind: Blocks| {
        let packed = Blocks(packed.0 & kind.0).before(block);
        bytes_of(kind.0.trailing_zeros() as u16, kind.before(block) as usize, packed as usize)
    };
    kinds.into_iter().map(bytes_of_kind).sum()
}

/// Assigns consecutive offsets, from `end` on, to the parts that have a shape.
fn place<P: Copy>(offsets: &mut [u32], parts: &[P], shape: impl Fn(P) -> Option<Shape>, end: &mut u64) -> Option<()> {
    for (offset, part) in offsets.iter_mut().zip(parts) {
        *offset = u32::try_from(*end).ok()?;
        *end += shape(*part).map_or(0, Shape::bytes);
    }
    Some(())
}
