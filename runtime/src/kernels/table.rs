//! The table of functions that makes up a kernel set, and the types of their arguments.

use super::attend::ScoreFactor;
#[cfg(feature = "std")]
use super::attend::{Head, Queries};
use crate::fixed::{Scale, headroom};
use crate::format::spec::WeightLayout;

/// A matrix's weights as they lie in a blob.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'m> {
    /// A weight each, or two where the layout is packed.
    pub(crate) bytes: &'m [i8],
    /// A scale for each group of a packed layout
    /// ([`group_place`](crate::format::places::group_place)); empty for the other layouts.
    pub(crate) scales: &'m [u8],
    pub(crate) layout: WeightLayout,
}

impl Weights<'_> {
    /// Columns in a group of a packed layout: a multiple of
    /// [`PACKED_COLS`](crate::format::places::PACKED_COLS) that divides
    /// [`COLUMNS`](super::restored::COLUMNS). The other layouts have no groups: 0.
    #[inline(always)]
    pub(crate) fn group(&self) -> usize {
        match self.layout {
            WeightLayout::Packed { group } => group.into(),
            _ => 0,
        }
    }
}

/// The numbers of a norm, as its kernel takes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormRow<'a> {
    /// Whether the mean is subtracted first.
    pub(crate) centered: bool,
    /// Added to the sum of squares, which has twice the fraction bits of the row.
    pub(crate) epsilon: u64,
    /// The right shift of the result, besides the one that the inverse root of the sum of squares
    /// brings.
    pub(crate) shift: i32,
    /// As they lie in a blob.
    pub(crate) weights: &'a [i32],
    /// As they lie in a blob; empty for none.
    pub(crate) biases: &'a [i32],
}

/// How accumulators become fixed-point values: `x * multiplier * 2^-shift`, where the accumulator
/// is first shifted left by `headroom`, the number of its upper bits that are free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requantize {
    /// Folded into each multiplier: the row's mantissa in `2^30..2^31`, or `None` when it is a
    /// power of two.
    pub(crate) row: Option<i32>,
    pub(crate) headroom: u32,
    pub(crate) shift: i32,
}

impl Requantize {
    /// For a matrix whose weights are `q * multiplier * 2^-exponent`, over a row of scale `scale`,
    /// with accumulators of at most `bound`.
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

/// The sets of an architecture besides `scalar`, the fastest first.
pub(crate) type Sets = [Option<&'static Kernels>; 4];

/// See [`Kernels::attend`].
#[cfg(feature = "std")]
pub(crate) type Attend = fn(head: &Head<'_>, queries: &mut Queries<'_>) -> bool;

/// A matrix product over bytes: `out[token, row] = x[token] . weights[row]`, where `x` is
/// `[tokens, cols]`, and `weights` `[rows, cols]`.
pub(crate) type Product<X> = fn(out: &mut [i32], x: &[X], weights: &[i8], cols: usize);

/// A [`Product`] over weights as they lie in a blob. Returns false, and leaves `out` in any state,
/// when it cannot multiply these sizes or addresses.
pub(crate) type InPlace<X> = fn(out: &mut [i32], x: &[X], weights: &Weights<'_>, cols: usize) -> bool;

/// Matrix products with activations of one width, for every layout of the weights.
///
/// A set has its own `rows` and `tiles` in any case. Of the other layouts it may have a loop of its
/// own; where it has none, the weights are put into tiles first ([`multiply`](Self::multiply)).
pub(crate) struct Products<X: 'static> {
    /// Over weights row after row.
    pub(crate) rows: Product<X>,
    /// Over weights in tiles ([`tile_place`](crate::format::places::tile_place)).
    pub(crate) tiles: Product<X>,
    /// Over row-interleaved weights ([`pair_place`](crate::format::places::pair_place)).
    pub(crate) paired: Option<InPlace<X>>,
    /// Over weights in wide tiles ([`wide_tile_place`](crate::format::places::wide_tile_place)).
    pub(crate) wide_tiles: Option<InPlace<X>>,
    /// Over weights of four bits ([`packed_place`](crate::format::places::packed_place)).
    pub(crate) packed: Option<InPlace<X>>,
}

/// One implementation of every inner loop.
pub(crate) struct Kernels {
    /// As the vendor writes the instruction set.
    pub(crate) name: &'static str,
    /// Products with activations of eight bits.
    pub(crate) products8: Products<i8>,
    /// Products with activations of sixteen bits.
    pub(crate) products16: Products<i16>,
    /// Turns accumulators into fixed-point values in place: see [`Requantize::apply`]. Their upper
    /// `headroom` bits are free.
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
    /// `max(x, 0) + T(|x|)` on values with sixteen fraction bits. `table` holds `T` as the blob
    /// does, for linear interpolation ([`activate`](crate::ops::activation::activate)).
    pub(crate) rectify: fn(values: &mut [i32], table: &[i16]),
    /// `values[i] *= gates[i]` of fixed-point values, rounded half up and saturated.
    pub(crate) gate: fn(values: &mut [i32], gates: &[i32], fraction_bits: u32),
    /// `out[key] = query . keys[key]`: `keys` is `[n, head_dim]`.
    pub(crate) scores8: fn(out: &mut [i32], query: &[i16], keys: &[i8]),
    /// As `scores8`, over sixteen-bit keys.
    pub(crate) scores16: fn(out: &mut [i32], query: &[i16], keys: &[i16]),
    /// Turns products of `scores8` or `scores16` into scores, which are logarithms in base two, and
    /// returns the largest. `keys` are the bits of the keys' scales.
    pub(crate) scale_scores: fn(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32,
    /// Replaces each score by a weight of at most fifteen bits: `2^(score - largest)`, in Q15,
    /// times the value's scale without its bias, shifted right by `lowered`. Returns the sum of the
    /// powers of two; `values` are the bits of the values' scales.
    pub(crate) powers: fn(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32,
    /// `out += weights[n] * values[n]` over all `n`: `values` is `[n, head_dim]`, and weights have
    /// fifteen bits.
    pub(crate) weighted_sum: fn(out: &mut [i32], weights: &[i32], values: &[i8]),
    /// Attention of several queries to one head's keys at once: see [`Head`]. Returns false when it
    /// cannot for these sizes.
    #[cfg(feature = "std")]
    pub(crate) attend: Option<Attend>,
}
