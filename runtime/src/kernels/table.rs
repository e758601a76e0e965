//! Defines a kernel set, which is a table of functions, and the types of their arguments.

use super::attend::ScoreFactor;
#[cfg(feature = "std")]
use super::attend::{Head, Queries};
use crate::fixed::{Scale, headroom};
use crate::format::spec::WeightLayout;

/// A matrix's weights in their layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'m> {
    /// The weights: one per byte, or two in a packed layout.
    pub(crate) bytes: &'m [i8],
    /// A scale for each group of a packed layout
    /// ([`group_place`](crate::format::places::group_place)); empty for the other layouts.
    pub(crate) scales: &'m [u8],
    pub(crate) layout: WeightLayout,
}

impl Weights<'_> {
    /// Columns in a group of a packed layout: a multiple of
    /// [`PACKED_COLS`](crate::format::places::PACKED_COLS) that divides
    /// [`COLUMNS`](super::scalar::COLUMNS). The other layouts have no groups: 0.
    #[inline(always)]
    pub(crate) fn group(&self) -> usize {
        match self.layout {
            WeightLayout::Packed { group } => group.into(),
            _ => 0,
        }
    }
}

/// The parameters of a norm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormRow<'a> {
    /// Whether the mean is subtracted first.
    pub(crate) centered: bool,
    /// The number added to the sum of squares, which has twice the fraction bits of the row.
    pub(crate) epsilon: u64,
    /// The right shift of the result, in addition to that of the reciprocal square root.
    pub(crate) shift: i32,
    /// The weights, little-endian.
    pub(crate) weights: &'a [i32],
    /// The biases, little-endian; empty for none.
    pub(crate) biases: &'a [i32],
}

/// The conversion of accumulators to fixed-point values: `(x << headroom) * multiplier * 2^-shift`,
/// where accumulators have at least `headroom` bits of headroom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requantize {
    /// The mantissa of the row's scale, in `2^30..2^31`, by which each multiplier is multiplied;
    /// `None` if the scale is a power of two.
    pub(crate) row: Option<i32>,
    pub(crate) headroom: u32,
    pub(crate) shift: i32,
}

impl Requantize {
    /// The conversion for a matrix of weights `q * multiplier * 2^-exponent`, a row with scale
    /// `scale`, and accumulators of magnitude at most `bound`.
    pub(crate) fn new(scale: Scale, exponent: i32, bound: u64) -> Self {
        let headroom = headroom(bound);
        let shift = exponent + headroom as i32 - 32 - scale.exponent();
        if scale.mantissa() == 1 << 10 {
            Self { row: None, headroom, shift: shift - 10 }
        } else {
            Self { row: Some(scale.mantissa() << 20), headroom, shift: shift - 12 }
        }
    }
}

/// An architecture's supported sets other than `scalar`, the fastest first.
pub(crate) type Sets = [Option<&'static Kernels>; 4];

/// See [`Kernels::attend`].
#[cfg(feature = "std")]
pub(crate) type Attend = fn(head: &Head<'_>, queries: &mut Queries<'_>) -> bool;

/// A matrix product with 8-bit weights: `out[token, row] = x[token] . weights[row]`, where `x` is
/// `[tokens, cols]` and `weights` is `[rows, cols]`.
pub(crate) type Product<X> = fn(out: &mut [i32], x: &[X], weights: &[i8], cols: usize);

/// A [`Product`] that reads the weights in their layout. Returns `false`, with `out` unspecified,
/// if it does not support these sizes or addresses.
pub(crate) type InPlace<X> = fn(out: &mut [i32], x: &[X], weights: &Weights<'_>, cols: usize) -> bool;

/// An [`InPlace`] that widens or reorders activations in `room`, a buffer that the caller does not
/// need meanwhile. It needs half a word for each column, or a word to multiply two tokens at a time.
pub(crate) type WithRoom<X> =
    fn(out: &mut [i32], x: &[X], weights: &Weights<'_>, cols: usize, room: &mut [i32]) -> bool;

/// Matrix products with activations of one width, for every layout of the weights.
///
/// Every set has `rows` and `tiles`. For tiles and the other layouts it may have a loop of its own;
/// without one, the weights are converted to tiles first ([`multiply`](Self::multiply)).
pub(crate) struct Products<X: 'static> {
    /// The product over row-major weights.
    pub(crate) rows: Product<X>,
    /// The product over tiled weights ([`tile_place`](crate::format::places::tile_place)).
    pub(crate) tiles: Product<X>,
    /// `tiles` on cores that multiply widened or reordered activations faster.
    pub(crate) tiles_with_room: Option<WithRoom<X>>,
    /// The product over row-interleaved weights
    /// ([`pair_place`](crate::format::places::pair_place)).
    pub(crate) paired: Option<WithRoom<X>>,
    /// The product over weights in wide tiles
    /// ([`wide_tile_place`](crate::format::places::wide_tile_place)).
    pub(crate) wide_tiles: Option<InPlace<X>>,
    /// The product over 4-bit weights ([`packed_place`](crate::format::places::packed_place)).
    pub(crate) packed: Option<InPlace<X>>,
}

/// One implementation of every inner loop.
pub(crate) struct Kernels {
    /// The vendor's name of the instruction set.
    pub(crate) name: &'static str,
    /// Products with 8-bit activations.
    pub(crate) products8: Products<i8>,
    /// Products with 16-bit activations.
    pub(crate) products16: Products<i16>,
    /// Converts accumulators to fixed-point values in place: see [`Requantize::apply`].
    pub(crate) requantize: fn(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize),
    /// `row += other`, saturated.
    pub(crate) add: fn(row: &mut [i32], other: &[i32]),
    /// See [`quantize8`](crate::kernels::scalar::rows::quantize8).
    pub(crate) quantize8: fn(out: &mut [i8], row: &[i32]) -> Scale,
    /// See [`quantize16`](crate::kernels::scalar::rows::quantize16).
    pub(crate) quantize16: fn(out: &mut [i16], row: &[i32], bits: u32) -> Scale,
    /// See [`NormRow::apply`].
    pub(crate) norm: fn(row: &mut [i32], by: &NormRow<'_>),
    /// See [`rotate`](crate::kernels::scalar::rotary::rotate).
    pub(crate) rotate: fn(row: &mut [i32], angles: &[i16], head_dim: usize),
    /// Replaces values `x` with 16 fraction bits by `max(x, 0) + T(|x|)`. `table` samples `T` for
    /// linear interpolation ([`activate`](crate::ops::activation::activate)).
    pub(crate) rectify: fn(values: &mut [i32], table: &[i16]),
    /// `values[i] *= gates[i]` of fixed-point values, rounded half up and saturated.
    pub(crate) gate: fn(values: &mut [i32], gates: &[i32], fraction_bits: u32),
    /// `out[key] = query . keys[key]`: `keys` is `[n, head_dim]`.
    pub(crate) scores8: fn(out: &mut [i32], query: &[i16], keys: &[i8]),
    /// `scores8` over 16-bit keys.
    pub(crate) scores16: fn(out: &mut [i32], query: &[i16], keys: &[i16]),
    /// Converts products of `scores8` or `scores16` to scores, which are base-two logarithms, and
    /// returns the largest. `keys` has the bits of the keys' scales.
    pub(crate) scale_scores: fn(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32,
    /// Returns the bits of the largest scale, or 0 if there is none.
    pub(crate) largest_scale: fn(scales: &[u16]) -> u16,
    /// Replaces each score by a weight of at most 15 bits: `2^(score - largest)`, Q15, times the
    /// value's scale without its bias, shifted right by `lowered`. Returns the sum of the
    /// exponentials. `values` has the bits of the values' scales.
    pub(crate) powers: fn(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32,
    /// `out += weights[n] * values[n]` over all `n`, where `values` is `[n, head_dim]` and weights
    /// have 15 bits.
    pub(crate) weighted_sum: fn(out: &mut [i32], weights: &[i32], values: &[i8]),
    /// Attention of several queries to one head's keys at once: see [`Head`]. Returns `false` if it
    /// does not support these sizes.
    #[cfg(feature = "std")]
    pub(crate) attend: Option<Attend>,
}
