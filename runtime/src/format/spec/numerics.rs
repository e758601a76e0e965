//! Describes a model's number formats and weight layouts.

use serde::{Deserialize, Serialize};

use super::packed::PackedSpec;

/// Number formats and weight layouts, for the whole model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NumericsSpec {
    /// Binary point of the `i32` values between layers: 16 means Q16.16.
    pub fraction_bits: u8,
    /// Width of a quantized row of activations.
    pub activations: ActivationWidth,
    /// Width of the keys in the cache.
    pub keys: KeyWidth,
    /// The layout of matrices with 8-bit weights.
    pub weights: WeightLayout,
    /// The matrices with 4-bit weights.
    pub packed: PackedSpec,
    /// The default number of tokens that go through a layer together.
    pub tile: u16,
}

impl NumericsSpec {
    /// The values of `fraction_bits` that the runtime supports. The least leaves room for results
    /// of a hundred million.
    pub const FRACTION_BITS: core::ops::RangeInclusive<u8> = 3..=20;
}

/// Width of a quantized row of activations (`--activations`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ActivationWidth {
    /// Eight bits, scaled to the row's largest absolute value.
    A8,
    /// Up to sixteen bits, limited by the accumulator, with a power-of-two scale.
    A16,
}

/// Width of the keys in the cache (`--keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KeyWidth {
    /// Eight bits.
    K8,
    /// Sixteen bits: for small heads, in which 8-bit keys cause most of the loss of accuracy.
    K16,
}

/// The layout of a matrix's weights in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WeightLayout {
    /// Int8, row-major: for vector units that multiply long runs of bytes.
    RowMajor,
    /// Int8, in tiles of four output channels by four columns (see
    /// [`tile_place`](crate::format::places::tile_place)), so that one load-multiple of a Cortex-M
    /// reads a tile. A matrix whose rows or columns are not a multiple of four is row-major.
    Tiled,
    /// Four bits a weight, for matrices with a multiple of four rows and of eight columns (see
    /// [`packed_place`](crate::format::places::packed_place)). Each group of columns has a scale,
    /// and a weight is its group's scale times a number in `-8 ..= 7`: at most eight bits.
    /// [`NumericsSpec::packed`] says which matrices are packed.
    Packed {
        /// Columns in a group; the last group of a row may be shorter.
        group: u8,
    },
    /// Int8, in tiles of [`Tiled`](Self::Tiled)'s size, with two output channels in each halfword
    /// (see [`pair_place`](crate::format::places::pair_place)): for cores that multiply pairs of
    /// halfwords, such as Cortex-M4, M7 and M33.
    Paired,
    /// Int8, in tiles of sixteen output channels by four input channels
    /// ([`wide_tile_place`](crate::format::places::wide_tile_place)): a cache line, for vectors of
    /// sixteen 32-bit lanes. A matrix whose rows are not a multiple of sixteen is
    /// [`Tiled`](Self::Tiled).
    WideTiled,
    /// Four bits a weight, row-major, for tables whose rows are looked up (see
    /// [`table_place`](crate::format::places::table_place)). Each group of 32 columns has a scale
    /// and a zero point, and the table has one multiplier. [`NumericsSpec::packed`] says which
    /// tables are packed.
    Table,
}

/// A positive real number as an integer and a power of two: `mantissa * 2^-exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Multiplier {
    /// The mantissa, in `2^30 .. 2^31`.
    pub mantissa: i32,
    /// The negated exponent, in `-32 ..= 94`.
    pub exponent: i8,
}

impl Multiplier {
    /// The smallest and the largest exponent a blob may hold.
    pub const EXPONENTS: core::ops::RangeInclusive<i32> = -32..=94;
}

/// A count of a specification as a divisor. Checked specifications have no zero counts; this
/// tells the compiler, which would insert a panic otherwise.
#[inline(always)]
pub(crate) const fn at_least_one(count: usize) -> usize {
    if count == 0 { 1 } else { count }
}
