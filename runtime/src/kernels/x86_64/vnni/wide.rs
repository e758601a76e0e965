//! Products of several tokens over wide tiles of weights, with AVX-512 VNNI.
//!
//! A vector is a wide tile: each lane has four columns of a row, and is multiplied by a broadcast
//! of a token's columns, which the instruction takes as unsigned. So 128 is added to a token's
//! bytes, and 128 times the sum of a row's weights is subtracted. 16-bit values are split: 128 is
//! added to the high byte, and the low byte is unsigned.
//!
//! For one token, summing the weights would not pay off: see `single_wide`.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::vectors::Shape;
use super::single_wide::avx512 as single_wide;
use crate::format::places::{TILE, WIDE_TILE_ROWS, wide_tile_place};

/// Columns that are multiplied at a time: the weights of 32 rows stay in the L1 cache.
const COLUMNS: usize = 768;
/// Tokens that are multiplied by a part of the weights before the next part is read.
const TOGETHER: usize = 128;
/// Partial sums of a row's weights, to shorten the dependency chains.
const SUMS: usize = 4;

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(in super::super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    if x.len() < 2 * cols {
        return single_wide::tiles8(out, x, weights, cols);
    }
    several::<1>(out, x, weights, Shape::new(out, x, weights, cols));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(in super::super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    if x.len() < 2 * cols {
        return single_wide::tiles16(out, x, weights, cols);
    }
    several::<2>(out, x, weights, Shape::new(out, x, weights, cols));
}

/// A value as unsigned bytes: for 16-bit values, the high byte, then the low byte.
trait Bytes<const W: usize>: Copy {
    fn bytes(self) -> [u8; W];
}

impl Bytes<1> for i8 {
    #[inline(always)]
    fn bytes(self) -> [u8; 1] {
        [self.cast_unsigned() ^ 128]
    }
}

impl Bytes<2> for i16 {
    #[inline(always)]
    fn bytes(self) -> [u8; 2] {
        let [lower, upper] = self.to_le_bytes();
        [upper ^ 128, lower]
    }
}

/// The bytes of several tokens, plane by plane.
struct Planes<const W: usize>([[[MaybeUninit<u8>; COLUMNS]; TOGETHER]; W]);

/// A wide tile: four columns of sixteen rows.
type Tile = [i8; WIDE_TILE_ROWS * TILE];

/// The destination of sums: `sums` begins with the first token's sums, and tokens have a stride of
/// `rows`. Each token has `left` rows left.
struct To<'o> {
    sums: &'o mut [i32],
    rows: usize,
    left: usize,
    add: bool,
}

/// Not inlined: the planes' stack is probed page by page.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn several<const W: usize>(out: &mut [i32], x: &[impl Bytes<W>], weights: &[i8], shape: Shape) {
    let Shape { tokens, blocks, rows, cols } = shape;
    let mut planes = Planes([[[MaybeUninit::uninit(); COLUMNS]; TOGETHER]; W]);
    for start in (0..cols).step_by(COLUMNS) {
        let width = COLUMNS.min(cols - start);
        for first in (0..tokens).step_by(TOGETHER) {
            let tokens = TOGETHER.min(tokens - first);
            for (token, x) in x.chunks_exact(cols).skip(first).take(tokens).enumerate() {
                let x = x.get(start..start + width).unwrap_or(&[]);
                for (index, plane) in planes.0.iter_mut().enumerate() {
                    for (to, x) in plane[token].iter_mut().zip(x) {
                        to.write(x.bytes()[index]);
                    }
                }
            }
            let half = |row: usize| {
                let from = wide_tile_place(row, start, cols);
                weights.get(from..from + WIDE_TILE_ROWS * width).map(|half| half.as_chunks().0)
            };
            for row in (0..TILE * blocks).step_by(2 * WIDE_TILE_ROWS) {
                let Some(one) = half(row) else { return };
                let halves = [one, half(row + WIDE_TILE_ROWS).unwrap_or(one)];
                let less = halves.map(|half| less(half));
                let mut token = 0;
                while token < tokens {
                    let to = out.get_mut((first + token) * rows + row..).unwrap_or(&mut []);
                    let to = To { sums: to, rows, left: rows - row, add: start > 0 };
                    // SAFETY: the planes of `tokens` tokens were just written, with four bytes for
                    // each tile of a half.
                    token += unsafe {
                        match (W, tokens - token) {
                            (1, 12..) => multiply::<W, 12>(&planes, token, halves, less, to),
                            (1, 8..) => multiply::<W, 8>(&planes, token, halves, less, to),
                            (_, 6..) => multiply::<W, 6>(&planes, token, halves, less, to),
                            (_, 4..) => multiply::<W, 4>(&planes, token, halves, less, to),
                            (_, 2..) => multiply::<W, 2>(&planes, token, halves, less, to),
                            _ => multiply::<W, 1>(&planes, token, halves, less, to),
                        }
                    };
                }
            }
        }
    }
}

/// The correction of sixteen rows' sums for the offset of columns: -128 times the sum of weights.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn less(tiles: &[Tile]) -> __m512i {
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for tiles in tiles.chunks(SUMS) {
        for (sum, tile) in sums.iter_mut().zip(tiles) {
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi8(-128), load(tile));
        }
    }
    _mm512_sub_epi32(_mm512_setzero_si512(), all(sums))
}

/// Multiplies `T` tokens, from `token` on, by twice sixteen rows. Returns `T`.
///
/// # Safety
/// The planes of these tokens are initialized, with four bytes for each tile of a half, and both
/// halves have equally many tiles.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn multiply<const W: usize, const T: usize>(
    planes: &Planes<W>,
    token: usize,
    [one, other]: [&[Tile]; 2],
    less: [__m512i; 2],
    to: To<'_>,
) -> usize {
    let mut sums = [[[_mm512_setzero_si512(); 2]; T]; W];
    sums[0] = [less; T];
    let from = planes.0.each_ref().map(|plane| plane.as_ptr().cast::<u8>().wrapping_add(COLUMNS * token));
    for (index, (one, other)) in one.iter().zip(other).enumerate() {
        let (one, other) = (load(one), load(other));
        for (sums, from) in sums.iter_mut().zip(from) {
            for (token, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the caller guarantees these bytes of each token.
                let word = unsafe { from.add(COLUMNS * token + TILE * index).cast::<i32>().read_unaligned() };
                let word = _mm512_set1_epi32(word);
                sums[0] = _mm512_dpbusd_epi32(sums[0], word, one);
                sums[1] = _mm512_dpbusd_epi32(sums[1], word, other);
            }
        }
    }
    for token in 0..T {
        let Some(to_token) = to.sums.get_mut(token * to.rows..) else { break };
        let (to_token, _) = to_token.split_at_mut(to_token.len().min(to.left));
        for (half, to_half) in to_token.as_chunks_mut().0.iter_mut().take(2).enumerate() {
            let mut sum = sums[0][token][half];
            if let Some(lower) = sums.get(1) {
                sum = _mm512_add_epi32(_mm512_slli_epi32::<8>(sum), lower[token][half]);
            }
            put(to_half, sum, to.add);
        }
    }
    T
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(tile: &Tile) -> __m512i {
    // SAFETY: 64 bytes are read, at any alignment.
    unsafe { _mm512_loadu_si512(tile.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn all([a, b, c, d]: [__m512i; SUMS]) -> __m512i {
    _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d))
}

/// Stores sixteen sums, or adds them if `add`.
#[inline]
#[target_feature(enable = "avx512f")]
fn put(to: &mut [i32; WIDE_TILE_ROWS], sums: __m512i, add: bool) {
    // SAFETY: sixteen words are read and written, at any alignment.
    unsafe {
        let before = if add { _mm512_loadu_epi32(to.as_ptr()) } else { _mm512_setzero_si512() };
        _mm512_storeu_epi32(to.as_mut_ptr(), _mm512_add_epi32(sums, before));
    }
}
