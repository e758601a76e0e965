//! Products over packed weights, four bits each. They are the products over tiles of the bytes that the weights stand for: a few
//! columns of four rows are unpacked at a time, and every set multiplies them as it does others.

use super::{Kernels, scalar};
use crate::format::spec::{PACKED_COLS, TILE, at_least_one};

/// Weights of four bits with the scales of their groups, as [`packed_place`](crate::format::spec::packed_place) and
/// [`group_place`](crate::format::spec::group_place) have them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed<'m> {
    pub(crate) weights: &'m [u8],
    pub(crate) scales: &'m [u8],
    /// Columns in a group: a multiple of [`PACKED_COLS`] that divides [`COLUMNS`].
    pub(crate) group: usize,
}

/// Columns that are unpacked at a time.
const COLUMNS: usize = 128;

/// Columns 0, 2, 1, 3 of a row of a tile are neighbours.
const ORDER: [usize; TILE] = [0, 2, 1, 3];

impl Kernels {
    /// As [`tiles8`](Self::tiles8), over packed weights.
    pub(crate) fn packed8(&self, out: &mut [i32], x: &[i8], weights: &Packed<'_>, cols: usize) {
        multiply(out, x, weights, cols, self.tiles8);
    }

    /// As [`tiles16`](Self::tiles16), over packed weights.
    pub(crate) fn packed16(&self, out: &mut [i32], x: &[i16], weights: &Packed<'_>, cols: usize) {
        let done = self.packed16.is_some_and(|fused| fused(out, x, weights, cols));
        if !done {
            multiply(out, x, weights, cols, self.tiles16);
        }
    }
}

fn multiply<X>(out: &mut [i32], x: &[X], packed: &Packed<'_>, cols: usize, tiles: fn(&mut [i32], &[X], &[i8], usize)) {
    let block_bytes = at_least_one(TILE * cols / 2);
    let rows = packed.weights.len() / block_bytes * TILE;
    let group = at_least_one(packed.group);
    let groups = cols.div_ceil(group);
    let mut unpacked = Unpacked([[0; TILE * PACKED_COLS]; COLUMNS / PACKED_COLS]);
    // Chunks of weights and of scales are not zipped: that is a function of its own, which does not know that their lengths are not 0.
    for (block, weights) in packed.weights.chunks_exact(block_bytes).enumerate() {
        for (run, weights) in weights.chunks(TILE * COLUMNS / 2).enumerate() {
            let scales = packed.scales.get(TILE * (block * groups + run * (COLUMNS / group))..).unwrap_or(&[]);
            let tiles_in_group = at_least_one(group / PACKED_COLS);
            let words = weights.as_chunks::<{ TILE * PACKED_COLS / 2 }>().0;
            for (at, (words, to)) in words.iter().zip(&mut unpacked.0).enumerate() {
                let scales = scales.get(at / tiles_in_group * TILE..).and_then(<[u8]>::first_chunk);
                unpack(words, scales.unwrap_or(&[0; TILE]), to);
            }
            let width = 2 * weights.len() / TILE;
            let bytes = unpacked.0.as_flattened().get(..TILE * width).unwrap_or(&[]);
            for (x, out) in scalar::tokens(x, cols, out, rows) {
                let Some(x) = x.get(run * COLUMNS..run * COLUMNS + width) else { continue };
                let mut sums = [0; TILE];
                tiles(&mut sums, x, bytes, width);
                for (out, sum) in out.iter_mut().skip(TILE * block).zip(sums) {
                    *out = if run == 0 { sum } else { out.wrapping_add(sum) };
                }
            }
        }
    }
}

/// Tiles of bytes, at a word's boundary.
#[repr(align(16))]
struct Unpacked([[i8; TILE * PACKED_COLS]; COLUMNS / PACKED_COLS]);

/// A tile of eight columns becomes two of four.
fn unpack(words: &[u8; TILE * PACKED_COLS / 2], scales: &[u8; TILE], to: &mut [i8; TILE * PACKED_COLS]) {
    for (row, (word, &scale)) in words.as_chunks::<4>().0.iter().zip(scales).enumerate() {
        let word = u32::from_le_bytes(*word);
        for (half, tile) in to.as_chunks_mut::<{ TILE * TILE }>().0.iter_mut().enumerate() {
            for (to, column) in tile.iter_mut().skip(TILE * row).zip(ORDER) {
                let (pair, high) = (2 * half + column / 2, column % 2);
                let weight = (word >> (4 * pair + 16 * high) & 15) as i8 - 8;
                *to = weight.wrapping_mul(scale as i8);
            }
        }
    }
}
