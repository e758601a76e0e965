//! The choice among the products of a set, by the layout of the weights.

use super::table::{Product, Products, Weights};
use super::{packed, paired, wide_tiles};
use crate::features;
use crate::format::spec::WeightLayout;

impl<X> Products<X> {
    /// `out[token, row] = x[token] . weights[row]`: `x` is `[tokens, cols]`, and `out`
    /// `[tokens, rows]`.
    #[inline(always)]
    pub(crate) fn multiply(&self, out: &mut [i32], x: &[X], weights: &Weights<'_>, cols: usize) {
        let (in_place, restore) = match weights.layout {
            WeightLayout::RowMajor => return (self.rows)(out, x, weights.bytes, cols),
            WeightLayout::Packed { .. } if features::PACKED_WEIGHTS => (self.packed, packed::in_tiles as Restore<X>),
            WeightLayout::Paired if features::PAIRED_WEIGHTS => (self.paired, paired::in_tiles as Restore<X>),
            WeightLayout::WideTiled if features::WIDE_TILES => (self.wide_tiles, wide_tiles::in_tiles as Restore<X>),
            _ => return (self.tiles)(out, x, weights.bytes, cols),
        };
        let done = in_place.is_some_and(|product| product(out, x, weights, cols));
        if !done {
            restore(out, x, weights, cols, self.tiles);
        }
    }
}

/// Puts a few columns of four rows at a time into tiles, and multiplies these by `tiles`.
type Restore<X> = fn(out: &mut [i32], x: &[X], weights: &Weights<'_>, cols: usize, tiles: Product<X>);
