//! Products over packed weights, four bits each. They are the products over tiles of the bytes that the weights stand for: a few
//! columns of four rows are unpacked at a time, and every set multiplies them as it does others.

use bytemuck::cast_slice;

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
    let group = at_least_one(packed.group);
    let block_bytes = at_least_one(TILE * cols / 2);
    let blocks = packed.weights.len() / block_bytes;
    let (rows, groups) = (blocks * TILE, cols.div_ceil(group));
    let (mut weights, mut scales) = (packed.weights, packed.scales);
    let mut unpacked = Unpacked([[0; TILE * PACKED_COLS / 4]; COLUMNS / PACKED_COLS]);
    for block in 0..blocks {
        let (mut weights, mut scales) = (first(&mut weights, block_bytes), first(&mut scales, TILE * groups));
        for run in 0..cols.div_ceil(COLUMNS) {
            let weights = first(&mut weights, TILE * COLUMNS / 2);
            let scales = first(&mut scales, TILE * COLUMNS / group);
            let tiles_in_group = at_least_one(group / PACKED_COLS);
            let words = weights.as_chunks::<{ TILE * PACKED_COLS / 2 }>().0;
            for (at, (words, to)) in words.iter().zip(&mut unpacked.0).enumerate() {
                let scales = scales.get(at / tiles_in_group * TILE..).and_then(<[u8]>::first_chunk);
                unpack(words, scales.unwrap_or(&[0; TILE]), to);
            }
            let width = 2 * weights.len() / TILE;
            let bytes = cast_slice(unpacked.0.as_flattened()).get(..TILE * width).unwrap_or(&[]);
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

/// Takes the first values of a slice, as many as there are of `len`: zips of chunks divide by sizes that the compiler does not always know
/// not to be 0.
fn first<'a, T>(rest: &mut &'a [T], len: usize) -> &'a [T] {
    let (first, others) = rest.split_at_checked(len).unwrap_or((rest, &[]));
    *rest = others;
    first
}

/// Tiles of bytes, a word for each row.
#[repr(align(16))]
struct Unpacked([[u32; TILE * PACKED_COLS / 4]; COLUMNS / PACKED_COLS]);

/// A tile of eight columns becomes two of four, a row of four weights at a time.
///
/// Pairs of neighbours are sixteen bits apart. Times the scale, of two pairs each four bytes: columns 0, 2, 1, 3, as a tile has them.
fn unpack(words: &[u8; TILE * PACKED_COLS / 2], scales: &[u8; TILE], to: &mut [u32; TILE * PACKED_COLS / 4]) {
    const PAIR: u32 = 0x000f_000f;
    const SIGNS: u32 = 0x8080_8080;
    let (left, right) = to.split_at_mut(TILE);
    let rows = words.as_chunks::<4>().0.iter().zip(scales);
    for ((word, &scale), (left, right)) in rows.zip(left.iter_mut().zip(right)) {
        let (word, scale) = (u32::from_le_bytes(*word), u32::from(scale));
        // What weights are raised by, in each byte.
        let raised = scale.wrapping_mul(0x0808_0808);
        let four = |word: u32| {
            let products = (word & PAIR).wrapping_mul(scale) | (word >> 4 & PAIR).wrapping_mul(scale) << 8;
            // A difference byte by byte: the uppermost bits lend to none.
            ((products | SIGNS).wrapping_sub(raised & !SIGNS) ^ ((products ^ !raised) & SIGNS)).to_le()
        };
        *left = four(word);
        *right = four(word >> 8);
    }
}
