//! Selects a set's product by the layout of the weights.

use super::table::{Products, Weights};
use super::{packed, paired, wide_tiles};
use crate::features;
use crate::format::spec::WeightLayout;

impl<X> Products<X> {
    /// `out[token, row] = x[token] . weights[row]`: `x` is `[tokens, cols]`, and `out`
    /// `[tokens, rows]`. Overwrites `room`: see [`WithRoom`](super::table::WithRoom).
    #[inline(always)]
    pub(crate) fn multiply(&self, out: &mut [i32], x: &[X], weights: &Weights<'_>, cols: usize, room: &mut [i32]) {
        match weights.layout {
            WeightLayout::RowMajor => (self.rows)(out, x, weights.bytes, cols),
            WeightLayout::Packed { .. } if features::PACKED_WEIGHTS => {
                if !self.packed.is_some_and(|product| product(out, x, weights, cols)) {
                    packed::in_tiles(out, x, weights, cols, self.tiles);
                }
            }
            WeightLayout::Paired if features::PAIRED_WEIGHTS => {
                if !self.paired.is_some_and(|product| product(out, x, weights, cols, room)) {
                    paired::in_tiles(out, x, weights, cols, self.tiles);
                }
            }
            WeightLayout::WideTiled if features::WIDE_TILES => {
                if !self.wide_tiles.is_some_and(|product| product(out, x, weights, cols)) {
                    wide_tiles::in_tiles(out, x, weights, cols, self.tiles);
                }
            }
            _ => {
                if !self.tiles_with_room.is_some_and(|product| product(out, x, weights, cols, room)) {
                    (self.tiles)(out, x, weights.bytes, cols);
                }
            }
        }
    }
}
