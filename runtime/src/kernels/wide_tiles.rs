//! Products over weights in wide tiles, for sets without a loop of their own: converts the weights
//! to tiles of four rows first.

use super::restored::{Tiles, multiply};
use super::table::{Product, Weights};
use crate::format::places::{TILE, wide_tile_place};
use crate::format::spec::at_least_one;

pub(super) fn in_tiles<X>(out: &mut [i32], x: &[X], weights: &Weights<'_>, cols: usize, tiles: Product<X>) {
    let weights = weights.bytes;
    let blocks = weights.len() / at_least_one(TILE * cols);
    let mut from = 0;
    multiply(out, x, (blocks, cols), tiles, &mut |width, to: &mut Tiles| {
        let (block, first) = (from / at_least_one(cols), from % at_least_one(cols));
        for (at, tile) in to.as_chunks_mut::<TILE>().0.iter_mut().enumerate().take(width / TILE) {
            let place = wide_tile_place(TILE * block, first + TILE * at, cols);
            let rows = weights.get(place..).unwrap_or(&[]).as_chunks::<TILE>().0;
            // Reorder the columns to 0, 2, 1, 3.
            for (to, &[a, b, c, d]) in tile.iter_mut().zip(rows) {
                *to = u32::from_ne_bytes([a, c, b, d].map(i8::cast_unsigned));
            }
        }
        from += width;
    });
}
