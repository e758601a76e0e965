//! Checks and prepares the arguments of the loops for 32-bit cores without vectors.

use super::scalar;
use super::table::{Requantize, Weights};
use crate::format::places::{PACKED_COLS, TILE};

/// The most groups of a row that is multiplied in packed form.
const GROUPS: usize = 64;

/// The sizes of packed weights, and the initial sums of a token.
pub(super) struct Groups<'a> {
    /// The number of blocks of four rows.
    #[cfg_attr(kinglet_thumb1, expect(dead_code, reason = "its loop ends where the sums end"))]
    pub(super) blocks: usize,
    /// The number of tiles, of eight columns, in a row.
    pub(super) tiles: usize,
    pub(super) tiles_in_group: usize,
    /// The initial sum of each group: -8 times the sum of its activations, because weights carry an
    /// offset of 8.
    pub(super) beginnings: &'a [i32],
}

/// A product over packed weights: calls `one_token` with the sums and the activations of each
/// token. Returns `false` if the sizes or the address of the weights are not supported.
///
/// It guarantees to `one_token`: the weights begin at a word boundary; the numbers of weights and
/// scales match the sizes; a token has `8 * tiles` activations and `4 * blocks` sums; no size is 0.
#[inline(always)]
pub(super) fn packed<X: Copy + Into<i32>>(
    out: &mut [i32],
    x: &[X],
    packed: &Weights<'_>,
    cols: usize,
    one_token: impl Fn(&mut [i32], &[X], &Groups<'_>),
) -> bool {
    let (cols, group) = (cols.max(1), packed.group().max(1));
    let (groups, blocks) = (cols.div_ceil(group), packed.bytes.len() / 2 / cols);
    let rows = TILE * blocks;
    let whole = cols.is_multiple_of(PACKED_COLS) && group.is_multiple_of(PACKED_COLS) && groups <= GROUPS;
    let aligned = packed.bytes.as_ptr().addr().is_multiple_of(4);
    if !whole || !aligned || blocks == 0 || packed.scales.len() < rows * groups {
        return false;
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        let mut beginnings = [0; GROUPS];
        let beginnings = beginnings.get_mut(..groups).unwrap_or(&mut []);
        for (beginning, x) in beginnings.iter_mut().zip(x.chunks(group)) {
            *beginning = -8 * x.iter().map(|&x| x.into()).sum::<i32>();
        }
        let (tiles, tiles_in_group) = (cols / PACKED_COLS, group / PACKED_COLS);
        one_token(out, x, &Groups { blocks, tiles, tiles_in_group, beginnings });
    }
    true
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
