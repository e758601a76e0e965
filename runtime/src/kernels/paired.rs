//! Products over weights with their rows in pairs. Sets that have no loop of their own for them put them into tiles first.

use super::restored::{Tiles, first, multiply};
use super::table::Kernels;
use crate::format::places::TILE;
use crate::format::spec::at_least_one;

impl Kernels {
    /// As [`tiles8`](Self::tiles8), over weights with their rows in pairs.
    pub(crate) fn paired8(&self, out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
        let done = self.paired8.is_some_and(|fused| fused(out, x, weights, cols));
        if !done {
            in_tiles(out, x, weights, cols, self.tiles8);
        }
    }

    /// As [`tiles16`](Self::tiles16), over weights with their rows in pairs.
    pub(crate) fn paired16(&self, out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
        let done = self.paired16.is_some_and(|fused| fused(out, x, weights, cols));
        if !done {
            in_tiles(out, x, weights, cols, self.tiles16);
        }
    }
}

fn in_tiles<X>(out: &mut [i32], x: &[X], mut weights: &[i8], cols: usize, tiles: fn(&mut [i32], &[X], &[i8], usize)) {
    let blocks = weights.len() / at_least_one(TILE * cols);
    multiply(out, x, (blocks, cols), tiles, &mut |width, to: &mut Tiles| {
        let pairs = first(&mut weights, TILE * width).as_chunks::<{ 2 * TILE }>().0;
        let tiles = pairs.as_chunks::<2>().0.iter().zip(to.as_chunks_mut::<TILE>().0);
        for ([upper, lower], [a, b, c, d]) in tiles {
            ([*a, *b], [*c, *d]) = (apart(upper), apart(lower));
        }
    });
}

/// Two rows of a tile, each in the columns' order 0, 2, 1, 3.
fn apart(pairs: &[i8; 2 * TILE]) -> [u32; 2] {
    const UPPER: u32 = 0x00ff_00ff;
    let [a, b, c, d, e, f, g, h] = pairs.map(i8::cast_unsigned);
    let (left, right) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let upper = (left & UPPER | (right & UPPER) << 8) ^ 0x8080_8080;
    let lower = left >> 8 & UPPER | right & !UPPER;
    [upper.to_le(), lower.to_le()]
}
