//! What the loops of 32-bit cores without vectors ask of their arguments, and how these are
//! prepared.

use super::scalar;
use super::table::{Requantize, Weights};
use crate::format::places::{PACKED_COLS, TILE};

/// Groups of the widest row that is multiplied without being unpacked.
const GROUPS: usize = 64;

/// The sizes of packed weights, and what the sums of a token begin with.
pub(super) struct Groups<'a> {
    /// Blocks of four rows.
    #[cfg_attr(kinglet_thumb1, expect(dead_code, reason = "its loop ends where the sums end"))]
    pub(super) blocks: usize,
    /// Tiles in a row, of eight columns.
    pub(super) tiles: usize,
    pub(super) tiles_in_group: usize,
    /// With what the sums of each group begin: weights are offset by 8, so with -8 times the sum of
    /// the group's activations.
    pub(super) beginnings: &'a [i32],
}

/// A product over packed weights, as they lie: `one_token` gets the sums and the activations of
/// each token. Returns whether it could.
///
/// The weights begin at a word's boundary and, like the scales, are as many as the sizes say. A
/// token has `8 * tiles` activations and `4 * blocks` sums, and no size is 0.
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

/// A product over tiles of weights: `one_token` gets the sums and the activations of each token.
///
/// A token has `cols` activations, and as many sums as there are rows: both are multiples of four,
/// and neither is 0.
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

/// The shift to the right that takes the place of both of [`Requantize`]'s: accumulators have the
/// headroom, so the shift to the left can be taken off the one to the right.
#[inline(always)]
pub(super) fn folded_shift(by: &Requantize) -> i32 {
    by.shift.wrapping_sub_unsigned(by.headroom)
}

/// The longest table of an activation: where it ends, no sum has left an `i32`.
const TABLE: usize = 1 << 16;

/// The index and the value of a table's last entry, where the loops of `rectify` take it and the
/// values: there is an entry, and a value.
#[inline(always)]
pub(super) fn last_entry(values: &[i32], table: &[i16]) -> Option<(usize, i32)> {
    let (&last, others) = table.split_last().filter(|_| !values.is_empty() && table.len() <= TABLE)?;
    Some((others.len(), last.into()))
}
