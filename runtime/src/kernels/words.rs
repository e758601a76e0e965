//! Checks and prepares the arguments of the loops for 32-bit cores without vectors.

use core::mem::MaybeUninit;

use super::restored::first;
use super::scalar;
use super::scalar::COLUMNS;
use super::table::{Requantize, Weights};
use crate::format::places::{PACKED_COLS, TILE};

/// A factor of the loops over packed weights. Factors after the last column stay uninitialized.
pub(super) type Factor = MaybeUninit<i32>;

/// Arguments of a loop over one group of packed weights, in addition to the addresses of its
/// weights, its factors and the sums.
#[repr(C)]
pub(super) struct OneGroup {
    /// The address where the group's factors end.
    factors_end: usize,
    /// The initial sum of each row: -8 times the sum of the group's activations, because weights
    /// carry an offset of 8.
    beginning: i32,
    /// Bytes of the weights of four rows.
    block_bytes: usize,
    /// The scales of the first four rows.
    scales: *const u8,
    /// Bytes from the scales of four rows to those of the next four.
    scale_bytes: usize,
    /// The address where the sums end.
    sums_end: usize,
}

/// A product over packed weights: calls `one_group` with the sums of a token for each group of
/// columns. Returns `false` if the sizes or the address of the weights are not supported.
///
/// It guarantees to `one_group`: the weights begin at a word boundary with the first four rows of
/// the group; there is a factor for each column, in the order of a word's bits, and their number is
/// a multiple of eight; there are `4 * blocks` sums; each block of four rows has two bytes of
/// weights per factor, `block_bytes` apart, and four scales, `scale_bytes` apart; no size is 0.
///
/// A word, shifted down to one weight, equals that weight plus sixteen times the word shifted down
/// to the next one. So the sum of weights times activations equals the sum of shifted words times
/// factors, where a factor is an activation minus sixteen times the previous one: no bits are
/// masked. Intermediate sums wrap; the group's sum fits in 32 bits, so the result is exact.
#[inline(always)]
pub(super) fn packed<X: Copy + Into<i32>>(
    out: &mut [i32],
    x: &[X],
    packed: &Weights<'_>,
    cols: usize,
    one_group: impl Fn(&[i8], &[Factor], &mut [i32], &OneGroup),
) -> bool {
    let (cols, group_cols) = (cols.max(1), packed.group().max(1));
    let (groups, blocks) = (cols.div_ceil(group_cols), packed.bytes.len() / 2 / cols);
    let rows = TILE * blocks;
    let whole = cols.is_multiple_of(PACKED_COLS) && group_cols.is_multiple_of(PACKED_COLS) && group_cols <= COLUMNS;
    let aligned = packed.bytes.as_ptr().addr().is_multiple_of(4);
    if !whole || !aligned || blocks == 0 || packed.scales.len() < rows * groups {
        return false;
    }
    for (mut x, out) in scalar::tokens(x, cols, out, rows) {
        out.fill(0);
        let (mut weights, mut scales) = (packed.bytes, packed.scales);
        for _ in 0..groups {
            let x = first(&mut x, group_cols);
            let mut factors = [const { Factor::uninit() }; COLUMNS];
            let Some(factors) = factors.get_mut(..x.len()) else { return false };
            let group = OneGroup {
                factors_end: factors.as_ptr_range().end.addr(),
                beginning: -8 * to_factors(factors, x),
                block_bytes: TILE * cols / 2,
                scales: scales.as_ptr(),
                scale_bytes: TILE * groups,
                sums_end: out.as_ptr_range().end.addr(),
            };
            one_group(weights, factors, out, &group);
            first(&mut weights, TILE * x.len() / 2);
            first(&mut scales, TILE);
        }
    }
    true
}

/// Writes the factors of some activations, and returns the sum of the activations.
#[inline(always)]
fn to_factors<X: Copy + Into<i32>>(factors: &mut [Factor], x: &[X]) -> i32 {
    let factor = |x: i32, before: i32| Factor::new(x - 16 * before);
    let mut sum = 0;
    for (factors, &[a, b, c, d, e, f, g, h]) in factors.as_chunks_mut().0.iter_mut().zip(x.as_chunks().0) {
        let (a, c, e, g): (i32, i32, i32, i32) = (a.into(), c.into(), e.into(), g.into());
        let (b, d, f, h): (i32, i32, i32, i32) = (b.into(), d.into(), f.into(), h.into());
        *factors = [
            factor(a, 0),
            factor(c, a),
            factor(e, c),
            factor(g, e),
            factor(b, g),
            factor(d, b),
            factor(f, d),
            factor(h, f),
        ];
        sum += a + b + c + d + e + f + g + h;
    }
    sum
}

/// A product over tiled weights: calls `one_token` with the sums and the activations of each token.
///
/// It guarantees to `one_token`: a token has `cols` activations and a sum for each row; both
/// numbers are multiples of four and not 0.
#[cfg(not(kinglet_thumb1))]
#[inline(always)]
pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize, one_token: impl Fn(&mut [i32], &[i16])) {
    let rows = weights.len() / cols.max(1);
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) {
        return (scalar::SCALAR.products16.tiles)(out, x, weights, cols);
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        one_token(out, x);
    }
}

/// The right shift that replaces both of [`Requantize`]'s shifts: the left shift by `headroom` can
/// be subtracted from the right shift.
#[inline(always)]
pub(super) fn folded_shift(by: &Requantize) -> i32 {
    by.shift.wrapping_sub_unsigned(by.headroom)
}

/// The longest table of an activation for which no sum overflows an `i32`.
const TABLE: usize = 1 << 16;

/// The index and the value of a table's last entry; `None` if the loops of `rectify` do not support
/// the arguments: the table is empty or too long, or there are no values.
#[inline(always)]
pub(super) fn last_entry(values: &[i32], table: &[i16]) -> Option<(usize, i32)> {
    let (&last, others) = table.split_last().filter(|_| !values.is_empty() && table.len() <= TABLE)?;
    Some((others.len(), last.into()))
}
