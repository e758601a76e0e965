//! Products over row-interleaved weights, for sets without a loop of their own: converts the
//! weights to tiles first.

use super::restored::{Tiles, first, multiply};
use super::table::{Product, Weights};
use crate::format::places::TILE;
use crate::format::spec::at_least_one;

pub(super) fn in_tiles<X>(out: &mut [i32], x: &[X], weights: &Weights<'_>, cols: usize, tiles: Product<X>) {
    let mut weights = weights.bytes;
    let blocks = weights.len() / at_least_one(TILE * cols);
    multiply(out, x, (blocks, cols), tiles, &mut |width, to: &mut Tiles| {
        let pairs = first(&mut weights, TILE * width).as_chunks::<{ 2 * TILE }>().0;
        let tiles = pairs.as_chunks::<2>().0.iter().zip(to.as_chunks_mut::<TILE>().0);
        for ([upper, lower], [a, b, c, d]) in tiles {
            ([*a, *b], [*c, *d]) = (apart(upper), apart(lower));
        }
    });
}

/// Separates a pair of rows into two rows of a tile, with columns in the order 0, 2, 1, 3.
fn apart(pairs: &[i8; 2 * TILE]) -> [u32; 2] {
    const UPPER: u32 = 0x00ff_00ff;
    let [a, b, c, d, e, f, g, h] = pairs.map(i8::cast_unsigned);
    let (left, right) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let upper = (left & UPPER | (right & UPPER) << 8) ^ 0x8080_8080;
    let lower = left >> 8 & UPPER | right & !UPPER;
    [upper.to_le(), lower.to_le()]
}
