//! Products over packed 4-bit weights: unpacks some columns of four rows at a time to tiles of
//! bytes, which every set can multiply.

use bytemuck::cast_slice;

use super::restored::{Tiles, first, multiply};
use super::table::{Product, Weights};
use crate::format::places::{PACKED_COLS, TILE};
use crate::format::spec::at_least_one;

pub(super) fn in_tiles<X>(out: &mut [i32], x: &[X], packed: &Weights<'_>, cols: usize, tiles: Product<X>) {
    let blocks = packed.bytes.len() / at_least_one(TILE * cols / 2);
    let (mut weights, mut scales) = (cast_slice(packed.bytes), packed.scales);
    multiply(out, x, (blocks, cols), tiles, &mut |width, to: &mut Tiles| {
        let group = at_least_one(packed.group());
        let tiles_in_group = at_least_one(group / PACKED_COLS);
        let words = first(&mut weights, TILE * width / 2).as_chunks::<{ TILE * PACKED_COLS / 2 }>().0;
        let scales = first(&mut scales, TILE * width.div_ceil(group));
        for (at, (words, to)) in words.iter().zip(to.as_chunks_mut().0).enumerate() {
            let scales = scales.get(at / tiles_in_group * TILE..).and_then(<[u8]>::first_chunk);
            unpack(words, scales.unwrap_or(&[0; TILE]), to);
        }
    });
}

/// Unpacks a tile of eight columns to two tiles of four columns, four weights at a time.
///
/// Neighbouring columns are 16 bits apart. Two such pairs, multiplied by the scale, give four
/// bytes: columns 0, 2, 1, 3, the order of a tile.
fn unpack(words: &[u8; TILE * PACKED_COLS / 2], scales: &[u8; TILE], to: &mut [u32; TILE * PACKED_COLS / 4]) {
    const PAIR: u32 = 0x000f_000f;
    const SIGNS: u32 = 0x8080_8080;
    let (left, right) = to.split_at_mut(TILE);
    let rows = words.as_chunks::<4>().0.iter().zip(scales);
    for ((word, &scale), (left, right)) in rows.zip(left.iter_mut().zip(right)) {
        let (word, scale) = (u32::from_le_bytes(*word), u32::from(scale));
        // The weights' offset of 8, times the scale, in each byte.
        let raised = scale.wrapping_mul(0x0808_0808);
        let four = |word: u32| {
            let products = (word & PAIR).wrapping_mul(scale) | (word >> 4 & PAIR).wrapping_mul(scale) << 8;
            // Subtract byte by byte: setting the top bits keeps borrows inside their bytes.
            ((products | SIGNS).wrapping_sub(raised & !SIGNS) ^ ((products ^ !raised) & SIGNS)).to_le()
        };
        *left = four(word);
        *right = four(word >> 8);
    }
}
