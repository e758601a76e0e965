//! Selects a set's product by the layout of the weights.

use super::table::{InPlace, Products, Weights};
use super::{packed, paired, wide_tiles};
use crate::features;
use crate::format::spec::WeightLayout;

impl<X> Products<X> {
    /// `out[token, row] = x[token] . weights[row]`: `x` is `[tokens, cols]`, and `out`
    /// `[tokens, rows]`.
    #[inline(always)]
    pub(crate) fn multiply(&self, out: &mut [i32], x: &[X], weights: &Weights<'_>, cols: usize) {
        let mut in_place = |product: Option<InPlace<X>>| product.is_some_and(|product| product(out, x, weights, cols));
        match weights.layout {
            WeightLayout::RowMajor => (self.rows)(out, x, weights.bytes, cols),
            WeightLayout::Packed { .. } if features::PACKED_WEIGHTS => {
                if !in_place(self.packed) {
                    packed::in_tiles(out, x, weights, cols, self.tiles);
                }
            }
            WeightLayout::Paired if features::PAIRED_WEIGHTS => {
                if !in_place(self.paired) {
                    paired::in_tiles(out, x, weights, cols, self.tiles);
                }
            }
            WeightLayout::WideTiled if features::WIDE_TILES => {
                if !in_place(self.wide_tiles) {
                    wide_tiles::in_tiles(out, x, weights, cols, self.tiles);
                }
            }
            _ => (self.tiles)(out, x, weights.bytes, cols),
        }
    }
}
