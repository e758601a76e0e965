//! Numbers of a model: how they are held, and the positive reals among them.

use serde::{Deserialize, Serialize};

use super::packed::PackedSpec;

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
    /// How matrices with weights of eight bits lie in the payload.
    pub weights: WeightLayout,
    /// Which matrices have weights of four bits.
    pub packed: PackedSpec,
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
    /// [`tile_place`](crate::format::places::tile_place)): four channels are read with one pointer,
    /// and one load-multiple of a Cortex-M is a tile.
    Tiled,
    /// Four bits a weight, for matrices whose rows are whole fours and columns whole eights (see
    /// [`packed_place`](crate::format::places::packed_place)). Groups of columns have a scale each,
    /// and a weight is its group's scale times a number in `-8 ..= 7`: never more than eight bits.
    /// Which matrices are packed is in [`NumericsSpec::packed`].
    Packed {
        /// Columns in a group, of which the last of a row may be shorter.
        group: u8,
    },
    /// Int8, in tiles where [`Tiled`](Self::Tiled) is, with two output channels in each halfword
    /// (see [`pair_place`](crate::format::places::pair_place)): for cores that multiply pairs of
    /// halfwords, as Cortex-M4, M7 and M33 do.
    Paired,
    /// Int8, in tiles of sixteen output channels by four input channels where a matrix has whole
    /// ones ([`wide_tile_place`](crate::format::places::wide_tile_place)), and as
    /// [`Tiled`](Self::Tiled) where it has not: a line of a cache of processors whose vectors have
    /// as many lanes.
    WideTiled,
    /// Four bits a weight, row after row, for tables whose rows are looked up (see
    /// [`table_place`](crate::format::places::table_place)). Groups of 32 columns have a scale and
    /// a zero each, and the table has one multiplier. Which tables lie so is in
    /// [`NumericsSpec::packed`].
    Table,
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

/// A divisor that is a count in a specification: never 0 once it is checked, which the compiler
/// cannot know.
#[inline(always)]
pub(crate) const fn at_least_one(count: usize) -> usize {
    if count == 0 { 1 } else { count }
}
