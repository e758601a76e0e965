//! Provides a checked view over a blob: finds tensors by role, and reads them in place.

use bytemuck::{Pod, try_cast_slice};

use crate::error::LoadError;
use crate::features;
use crate::format::blob::{self, Manifest, Sections};
use crate::format::check;
use crate::format::layout::{ALIGNMENT, BlockPart, HeadPart, Role, Shape, Stack, StackPart, roles};
use crate::format::offsets::Layout;
use crate::format::places::MAX_GROUP_SCALE;
use crate::format::spec::{AttentionPosition, ModelSpec, Multiplier, StackSpec, WeightLayout, at_least_one};
use crate::kernels::Weights;

/// A model in a blob. Borrows the blob; copies nothing but the manifest's numbers.
#[derive(Clone, Debug)]
pub struct Model<'m> {
    manifest: Manifest<'m>,
    layout: Layout,
    payload: &'m [u8],
    tokenizer: &'m [u8],
    golden: &'m [u8],
    checksum: u32,
}

impl<'m> Model<'m> {
    /// Checks a blob and returns a view of it.
    ///
    /// After this succeeds, no call on the model, or on a session with it, panics or reads out of
    /// bounds, even if the bytes change later: only results would be wrong then. The checksum
    /// detects accidental damage; it does not prove where the blob came from.
    ///
    /// # Errors
    /// The [`LoadError`] of the first fault found.
    #[inline(always)]
    pub fn from_bytes(blob: &'m [u8]) -> Result<Self, LoadError> {
        Self::from_bytes_with(blob, &mut || ())
    }

    /// [`from_bytes`](Self::from_bytes) that calls `pause` after every 16 KB of the blob, for
    /// example to feed a watchdog.
    ///
    /// # Errors
    /// The errors of [`from_bytes`](Self::from_bytes).
    // A model has about a kilobyte: inlined, it is built in the caller's variable, without a second
    // copy on the stack.
    #[inline(always)]
    pub fn from_bytes_with(blob: &'m [u8], pause: &mut dyn FnMut()) -> Result<Self, LoadError> {
        let mut read = Ok(Self::EMPTY);
        if let Ok(model) = &mut read
            && let Err(error) = model.read(blob, pause)
        {
            read = Err(error);
        }
        read
    }

    /// Checks the blob at the beginning of a flash slot that may be longer, as in over-the-air
    /// updates.
    ///
    /// # Errors
    /// The errors of [`from_bytes`](Self::from_bytes); [`LoadError::LengthMismatch`] when the slot
    /// is shorter than the blob.
    ///
    /// ```
    /// use kinglet::{LoadError, Model};
    ///
    /// /// Boots the newer of two slots if it is intact, else the older one.
    /// fn boot<'m>(newer: &'m [u8], older: &'m [u8]) -> Result<Model<'m>, LoadError> {
    ///     Model::from_slot(newer).or_else(|_| Model::from_slot(older))
    /// }
    /// assert_eq!(boot(&[0xff; 4096], &[0; 4096]).err(), Some(LoadError::BadMagic));
    /// ```
    #[inline(always)]
    pub fn from_slot(slot: &'m [u8]) -> Result<Self, LoadError> {
        let expected = blob::peek(slot)?.bytes;
        Self::from_bytes(slot.get(..expected).ok_or(LoadError::LengthMismatch { expected, given: slot.len() })?)
    }

    /// A constant model, for a module written by `kinglet export`, which has checked the blob.
    /// Nothing is read, checked or held in RAM at run time.
    ///
    /// # Panics
    /// If the blob is not the exported one, or needs a crate feature that is off: the constant then
    /// does not compile.
    #[doc(hidden)]
    pub const fn from_export(
        blob: &'m [u8],
        checksum: u32,
        manifest: Manifest<'m>,
        places: [u32; Layout::WORDS],
    ) -> Self {
        if let Some(off) = check::missing(&manifest.spec) {
            panic!("{}", off.sentence);
        }
        let sections = blob::known_sections(blob, checksum);
        let Sections { payload, tokenizer, golden, checksum, .. } = sections;
        Self { manifest, layout: Layout::from_words(places), payload, tokenizer, golden, checksum }
    }

    /// The offsets of the tensors, for [`from_export`](Self::from_export).
    #[cfg(feature = "alloc")]
    #[doc(hidden)]
    pub const fn places(&self) -> [u32; Layout::WORDS] {
        self.layout.to_words()
    }

    /// The initial value, to be overwritten by `read`.
    const EMPTY: Self = Self {
        manifest: Manifest::EMPTY,
        layout: Layout::EMPTY,
        payload: &[],
        tokenizer: &[],
        golden: &[],
        checksum: 0,
    };

    #[inline(never)]
    fn read(&mut self, blob: &'m [u8], pause: &mut dyn FnMut()) -> Result<(), LoadError> {
        let sections = blob::sections(blob, pause)?;
        blob::describe(&sections, &mut self.manifest, &mut self.layout)?;
        let Sections { payload, tokenizer, golden, checksum, .. } = sections;
        (self.payload, self.tokenizer, self.golden, self.checksum) = (payload, tokenizer, golden, checksum);
        self.check_tensors(pause)
    }

    #[inline(never)]
    fn check_tensors(&self, pause: &mut dyn FnMut()) -> Result<(), LoadError> {
        roles(self.spec()).try_for_each(|(role, shape)| {
            pause();
            self.check_tensor(role, shape)
        })
    }

    /// The architecture.
    pub fn spec(&self) -> &ModelSpec {
        &self.manifest.spec
    }

    /// The blob's manifest: architecture, special tokens, defaults, labels, prompts, provenance.
    pub fn manifest(&self) -> &Manifest<'m> {
        &self.manifest
    }

    /// The labels of the head's outputs, in order.
    pub fn labels(&self) -> impl Iterator<Item = &'m str> + use<'m> {
        // A pattern of type `[char; 1]` is searched without code that can panic.
        self.manifest.labels.split_terminator(['\n'])
    }

    /// The prompts to put before a text: the name and the text of each.
    /// [`Model::default_prompt`] names the one to use by default.
    pub fn prompts(&self) -> impl Iterator<Item = (&'m str, &'m str)> + use<'m> {
        let mut parts = self.manifest.prompts.split_terminator(['\0']).skip(1);
        core::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }

    /// The name of the default prompt, if there is one.
    pub fn default_prompt(&self) -> Option<&'m str> {
        self.manifest.prompts.split_terminator(['\0']).next().filter(|name| !name.is_empty())
    }

    /// The tokenizer's section, for [`Tokenizer::from_bytes`](crate::tokenizer::Tokenizer); empty
    /// if the blob has none.
    pub const fn tokenizer_section(&self) -> &'m [u8] {
        self.tokenizer
    }

    /// The golden vectors' section, for [`Golden::all`](crate::golden::Golden::all).
    pub fn golden_section(&self) -> &'m [u8] {
        self.golden
    }

    /// The checksum at the end of the blob, which identifies it.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The bytes of all tensors.
    pub fn payload(&self) -> &'m [u8] {
        self.payload
    }

    fn check_tensor(&self, role: Role, shape: Shape) -> Result<(), LoadError> {
        let offset = self.tensor_offset(role);
        let invalid = LoadError::InvalidTensor { offset };
        let exponents = Multiplier::EXPONENTS;
        let holds = match shape {
            Shape::Matrix { layout, .. } => {
                let matrix = self.matrix_at(role, shape);
                // The scales and zero points of a 4-bit table may be any bytes.
                let scaled = matrix.weights.scales.iter().all(|&scale| scale <= MAX_GROUP_SCALE);
                (scaled || layout == WeightLayout::Table)
                    && matrix.multipliers.0.len() == shape.multipliers()
                    && exponents.contains(&matrix.exponent)
                    && matrix.multipliers.iter().all(|multiplier| multiplier >= 0)
            }
            Shape::Norm { size, .. } => {
                let norm = self.norm_at(offset, shape);
                norm.weight.0.len() == size && exponents.contains(&norm.exponent)
            }
            Shape::Words { len } => self.slice::<i32>(offset, len).len() == len,
            Shape::Halfwords { len } => {
                let halfwords = self.slice::<i16>(offset, len);
                halfwords.len() == len && self.may_hold(role, halfwords)
            }
        };
        if holds { Ok(()) } else { Err(invalid) }
    }

    /// Whether halfwords are in range for their role: a relative index must be below the number of
    /// a head's vectors; other tables are unrestricted.
    fn may_hold(&self, role: Role, halfwords: &[i16]) -> bool {
        let Role::Stack(id, StackPart::RelativeIndex) = role else { return true };
        match self.spec().stack(id).map(|stack| stack.block.attention.position) {
            Some(AttentionPosition::Disentangled { positions, .. }) if features::RELATIVE_ATTENTION => halfwords
                .iter()
                .all(|&vector| u16::try_from(i16::from_le(vector)).is_ok_and(|vector| vector < positions)),
            _ => true,
        }
    }

    /// `len` values at an offset of the payload; empty if they are out of bounds or misaligned.
    fn slice<T: Pod>(&self, offset: usize, len: usize) -> &'m [T] {
        let end = offset + len * size_of::<T>();
        self.payload.get(offset..end).and_then(|bytes| try_cast_slice(bytes).ok()).unwrap_or(&[])
    }

    fn matrix_at(&self, role: Role, shape: Shape) -> Matrix<'m> {
        let Shape::Matrix { rows, cols, bias, layout } = shape else { return Matrix::default() };
        self.matrix_of(self.tensor_offset(role), (rows, cols, bias), layout)
    }

    /// The matrix of shape `(rows, cols, bias)` at an offset of the payload. The products here fit
    /// 32 bits, because the layout was checked.
    fn matrix_of(&self, offset: usize, (rows, cols, bias): (usize, usize, bool), layout: WeightLayout) -> Matrix<'m> {
        let mut count = rows * cols;
        let mut scales: &[u8] = &[];
        let mut numbers = offset + count.next_multiple_of(ALIGNMENT);
        let mut multipliers = rows;
        if let (WeightLayout::Packed { .. } | WeightLayout::Table, true) = (layout, features::PACKED_WEIGHTS) {
            let shape = Shape::Matrix { rows, cols, bias, layout };
            let groups = shape.group_scales() as usize;
            count /= 2;
            numbers = offset + shape.weight_bytes() as usize;
            scales = self.slice(numbers - groups.next_multiple_of(ALIGNMENT), groups);
            multipliers = shape.multipliers();
        }
        let numbers: &[i32] = self.slice(numbers, 1 + multipliers + if bias { rows } else { 0 });
        let (exponent, numbers) = numbers.split_first().unwrap_or((&0, &[]));
        let (multipliers, biases) = numbers.split_at_checked(multipliers).unwrap_or((&[], &[]));
        Matrix {
            rows,
            cols,
            weights: Weights { bytes: self.slice(offset, count), scales, layout },
            exponent: bounded(i32::from_le(*exponent)),
            multipliers: Words(multipliers),
            bias: Words(biases),
        }
    }

    fn norm_at(&self, offset: usize, shape: Shape) -> Norm<'m> {
        let Shape::Norm { size, bias, .. } = shape else { return Norm::default() };
        Norm {
            exponent: bounded(Words(self.slice(offset, 1)).get(0)),
            weight: Words(self.slice(offset + 4, size)),
            bias: Words(self.slice(offset + 4 + 4 * size, if bias { size } else { 0 })),
        }
    }

    /// The matrix of a role; empty if the model has none.
    pub(crate) fn matrix(&self, role: Role) -> Matrix<'m> {
        role.shape(self.spec()).map_or_else(Matrix::default, |shape| self.matrix_at(role, shape))
    }

    /// The norm of a role; empty if the model has none.
    pub(crate) fn norm(&self, role: Role) -> Norm<'m> {
        role.shape(self.spec()).map_or_else(Norm::default, |shape| self.norm_at(self.tensor_offset(role), shape))
    }

    /// The 32-bit numbers of a role; empty if the model has none.
    pub(crate) fn words(&self, role: Role) -> Words<'m> {
        match role.shape(self.spec()) {
            Some(Shape::Words { len }) => Words(self.slice(self.tensor_offset(role), len)),
            _ => Words(&[]),
        }
    }

    /// The 16-bit numbers of a role; empty if the model has none.
    pub(crate) fn halfwords(&self, role: Role) -> Halfwords<'m> {
        match role.shape(self.spec()) {
            Some(Shape::Halfwords { len }) => Halfwords(self.slice(self.tensor_offset(role), len)),
            _ => Halfwords(&[]),
        }
    }

    /// The offset of a tensor in the payload.
    pub fn tensor_offset(&self, role: Role) -> usize {
        self.layout.offset(self.spec(), role)
    }

    /// A view of one of the model's stacks and its weights.
    pub(crate) fn stack(&self, id: Stack) -> Option<StackView<'_, 'm>> {
        Some(StackView { model: self, id, spec: self.spec().stack(id)? })
    }

    /// A matrix of the head.
    pub(crate) fn head_matrix(&self, part: HeadPart) -> Matrix<'m> {
        self.matrix(Role::Head(part))
    }
}

/// An exponent, or 0 if it is out of bounds because the bytes changed after they were checked.
fn bounded(exponent: i32) -> i32 {
    if Multiplier::EXPONENTS.contains(&exponent) { exponent } else { 0 }
}

/// A view of a model's stack.
#[derive(Clone, Copy)]
pub(crate) struct StackView<'a, 'm> {
    pub(crate) model: &'a Model<'m>,
    pub(crate) id: Stack,
    pub(crate) spec: &'a StackSpec,
}

impl<'m> StackView<'_, 'm> {
    /// Width of the residual stream.
    pub(crate) fn hidden_size(&self) -> usize {
        at_least_one(self.spec.hidden_size as usize)
    }

    pub(crate) fn matrix(&self, part: StackPart) -> Matrix<'m> {
        self.model.matrix(Role::Stack(self.id, part))
    }

    pub(crate) fn norm(&self, part: StackPart) -> Norm<'m> {
        self.model.norm(Role::Stack(self.id, part))
    }

    /// A matrix of a stored block. Avoids [`Role::shape`], which would link the shapes of all
    /// parts.
    #[inline(never)]
    pub(crate) fn block_matrix(&self, block: u16, part: BlockPart) -> Matrix<'m> {
        let Some(shape) = part.matrix(self.spec, block) else { return Matrix::default() };
        let spec = self.model.spec();
        let packed = features::PACKED_WEIGHTS && spec.numerics.packed.in_block(self.id, block, part);
        let layout = part.layout(shape.0, shape.1, &spec.numerics, packed);
        self.model.matrix_of(self.model.layout.block_offset(spec, (self.id, block, part)), shape, layout)
    }

    pub(crate) fn block_norm(&self, block: u16, part: BlockPart) -> Norm<'m> {
        self.model.norm(Role::Block(self.id, block, part))
    }

    /// The token table; the encoder's if the stacks share it.
    pub(crate) fn token_table(&self) -> Matrix<'m> {
        let id = if self.spec.embedding.shared { Stack::Encoder } else { self.id };
        self.model.matrix(Role::Stack(id, StackPart::TokenEmbedding))
    }
}

/// A matrix of quantized weights: a weight `q` stands for `q * multiplier * 2^-exponent`, with a
/// multiplier for each row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'m> {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// The weights, `[rows, cols]`.
    pub(crate) weights: Weights<'m>,
    pub(crate) exponent: i32,
    pub(crate) multipliers: Words<'m>,
    pub(crate) bias: Words<'m>,
}

impl Default for Matrix<'_> {
    fn default() -> Self {
        Self {
            rows: 0,
            cols: 0,
            weights: Weights { bytes: &[], scales: &[], layout: WeightLayout::RowMajor },
            exponent: 0,
            multipliers: Words::default(),
            bias: Words::default(),
        }
    }
}

impl<'m> Matrix<'m> {
    /// `len` rows from `start` on; fewer at the matrix's end. In a tiled matrix, `start` and `len`
    /// must be multiples of the tile's rows.
    pub(crate) fn rows(&self, start: usize, len: usize) -> Self {
        let (start, end) = (start.min(self.rows), (start + len).min(self.rows));
        let Weights { bytes, scales, layout } = self.weights;
        // Bytes of weights and of scales per row.
        let (byte_count, scale_count) = match layout {
            WeightLayout::Packed { group } if features::PACKED_WEIGHTS => {
                (self.cols / 2, self.cols.div_ceil(at_least_one(group.into())))
            }
            _ => (self.cols, 0),
        };
        Self {
            rows: end - start,
            weights: Weights {
                bytes: bytes.get(start * byte_count..end * byte_count).unwrap_or(&[]),
                scales: scales.get(start * scale_count..end * scale_count).unwrap_or(&[]),
                layout,
            },
            multipliers: self.multipliers.from(start),
            bias: self.bias.from(start),
            ..*self
        }
    }
}

/// A norm's weights, times the square root of their number, in units of `2^-exponent`, and biases.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Norm<'m> {
    pub(crate) exponent: i32,
    pub(crate) weight: Words<'m>,
    pub(crate) bias: Words<'m>,
}

/// Little-endian 32-bit numbers in the blob.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words<'m>(&'m [i32]);

impl<'m> Words<'m> {
    #[cfg(any(test, feature = "bench"))]
    pub(crate) fn new(values: &'m [i32]) -> Self {
        Self(values)
    }

    pub(crate) fn get(self, index: usize) -> i32 {
        self.0.get(index).copied().map_or(0, i32::from_le)
    }

    /// The numbers as a slice.
    pub(crate) fn as_slice(self) -> &'m [i32] {
        self.0
    }

    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = i32> + 'm {
        self.0.iter().copied().map(i32::from_le)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// The numbers from `start` on.
    pub(crate) fn from(self, start: usize) -> Self {
        Self(self.0.get(start..).unwrap_or(&[]))
    }
}

/// Little-endian 16-bit numbers in the blob.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Halfwords<'m>(&'m [i16]);

impl<'m> Halfwords<'m> {
    #[cfg(test)]
    pub(crate) fn new(values: &'m [i16]) -> Self {
        Self(values)
    }

    #[inline(always)]
    pub(crate) fn get(self, index: usize) -> i32 {
        self.0.get(index).copied().map_or(0, |value| i16::from_le(value).into())
    }

    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// The numbers as a slice.
    pub(crate) fn as_slice(self) -> &'m [i16] {
        self.0
    }

    /// `len` numbers from `start` on.
    pub(crate) fn row(self, start: usize, len: usize) -> &'m [i16] {
        self.0.get(start..start + len).unwrap_or(&[])
    }
}
