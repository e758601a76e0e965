//! Products of one token over tiles of weights, with VNNI of AVX-512.
//!
//! A vector is four tiles as they lie: each 32 bits are four columns of a row. The token's columns are brought into that order once.
//! Values of sixteen bits are cut in two: the upper byte, signed, is multiplied by weights that have 128 added, which is taken off all
//! sums beforehand; the lower one, unsigned, by the weights as they are.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::tiles::{ask_for, store_block};
use crate::format::spec::TILE;

/// Columns of a vector.
const WIDTH: usize = 4 * TILE;
/// Columns that are multiplied at a time.
const COLUMNS: usize = 2048;
/// Blocks of four rows whose sums make a vector.
const BLOCKS: usize = 4;
/// How far ahead weights are asked for, which the processor by itself does too late.
const AHEAD: usize = 16384;
/// The weights of a matrix that is not asked for: it is probably near, and asking takes its time.
const NEAR: usize = 65536;

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    product::<1>(out, bytemuck::cast_slice(x), weights, cols);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    product::<2>(out, bytemuck::cast_slice(x), weights, cols);
}

/// Over values of `W` bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn product<const W: usize>(out: &mut [i32], x: &[u8], weights: &[i8], cols: usize) {
    if cols == 0 || !cols.is_multiple_of(TILE) {
        return;
    }
    for start in (0..cols).step_by(COLUMNS) {
        let width = COLUMNS.min(cols - start);
        let Some(x) = x.get(W * start..W * (start + width)) else { return };
        let mut space = [MaybeUninit::uninit(); COLUMNS / WIDTH];
        let part = Part::<W>::new(x, weights.len() > NEAR, &mut space);
        let (groups, last) = out.as_chunks_mut::<{ BLOCKS * TILE }>();
        let mut weights = weights;
        for to in groups {
            let Some((group, rest)) = weights.split_at_checked(BLOCKS * TILE * cols) else { return };
            weights = rest;
            let block = |index: usize| group.as_ptr().wrapping_add(TILE * (index * cols + start));
            // SAFETY: each block has the part's columns there. Sixteen words are read and written, at any alignment.
            unsafe {
                let [a, b, c, d] = part.sums([block(0), block(1), block(2), block(3)]);
                let (ab, cd) = (halves(a, b), halves(c, d));
                let even = _mm512_shuffle_i64x2::<0b10_00_10_00>(ab, cd);
                let sums = _mm512_add_epi32(even, _mm512_shuffle_i64x2::<0b11_01_11_01>(ab, cd));
                let to = to.as_mut_ptr();
                let before = if start > 0 { _mm512_loadu_epi32(to) } else { _mm512_setzero_si512() };
                _mm512_storeu_epi32(to, _mm512_add_epi32(sums, before));
            }
        }
        for to in last.as_chunks_mut::<TILE>().0 {
            let Some((block, rest)) = weights.split_at_checked(TILE * cols) else { return };
            weights = rest;
            // SAFETY: the block has the part's columns there.
            let [sums] = unsafe { part.sums([block.as_ptr().wrapping_add(TILE * start)]) };
            let sums = halves(sums, sums);
            let sums = _mm512_add_epi32(sums, _mm512_shuffle_i64x2::<0b01>(sums, sums));
            store_block(to, _mm512_castsi512_si128(sums), start > 0);
        }
    }
}

/// The lower half of two vectors plus the upper one.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(_mm512_shuffle_i64x2::<0b01_00_01_00>(a, b), _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b))
}

/// Some columns of a token.
struct Part<'a, const W: usize> {
    /// In the order of tiles, a lane's for each of its rows: upper bytes, and lower ones where there are.
    columns: &'a [[__m512i; W]],
    /// What is taken off the products of upper bytes.
    less: __m512i,
    /// Columns in a last vector that is not whole.
    last: usize,
    /// Whether weights are to be asked for.
    far: bool,
}

impl<'a, const W: usize> Part<'a, W> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn new(x: &[u8], far: bool, space: &'a mut [MaybeUninit<[__m512i; W]>; COLUMNS / WIDTH]) -> Self {
        // SAFETY: 64 bytes are read, at any alignment.
        let orders = ORDERS[W - 1].map(|order| unsafe { _mm512_loadu_si512(order.as_ptr().cast()) });
        let mut sums = _mm512_setzero_si512();
        let mut vectors = 0;
        for (x, to) in x.chunks(W * WIDTH).zip(&mut *space) {
            let mut whole = [0; 2 * WIDTH];
            let x = if x.len() == W * WIDTH {
                x.as_ptr()
            } else {
                whole.iter_mut().zip(x).for_each(|(to, &x)| *to = x);
                whole.as_ptr()
            };
            // SAFETY: as many bytes are read as there are, at any alignment.
            let x = unsafe {
                if W == 1 {
                    _mm512_broadcast_i32x4(_mm_loadu_si128(x.cast()))
                } else {
                    let x = _mm512_castsi256_si512(_mm256_loadu_si256(x.cast()));
                    _mm512_shuffle_i64x2::<0b01_01_00_00>(x, x)
                }
            };
            let mut bytes = [x; W];
            for (bytes, order) in bytes.iter_mut().zip(orders) {
                *bytes = _mm512_shuffle_epi8(x, order);
            }
            sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), bytes[0]);
            to.write(bytes);
            vectors += 1;
        }
        // SAFETY: so many were just written.
        let columns = unsafe { core::slice::from_raw_parts(space.as_ptr().cast(), vectors) };
        let less = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32::<7>(sums));
        Self { columns, less, last: x.len() / W % WIDTH, far }
    }

    /// The sums of some blocks, of which each lane has a part of each row's.
    ///
    /// # Safety
    /// Each of them has so many columns where it is pointed to.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn sums<const B: usize>(&self, blocks: [*const i8; B]) -> [__m512i; B] {
        let mut upper = [self.less; B];
        let mut lower = [_mm512_setzero_si512(); B];
        let mut add = |x: &[__m512i; W], weights: [__m512i; B]| {
            for ((upper, lower), weights) in upper.iter_mut().zip(&mut lower).zip(weights) {
                let unsigned = _mm512_xor_si512(weights, _mm512_set1_epi8(-128));
                *upper = _mm512_dpbusd_epi32(*upper, unsigned, x[0]);
                if let Some(&x) = x.get(1) {
                    *lower = _mm512_dpbusd_epi32(*lower, x, weights);
                }
            }
        };
        let (whole, last) = self.columns.split_at(self.columns.len() - usize::from(self.last > 0));
        let ahead = blocks[0].wrapping_add(AHEAD);
        let mut at = 0;
        for x in whole {
            if self.far {
                for line in 0..B {
                    ask_for(ahead.wrapping_add(B * at + 64 * line));
                }
            }
            // SAFETY: so many columns are there, at any alignment.
            add(x, blocks.map(|block| unsafe { _mm512_loadu_si512(block.wrapping_add(at).cast()) }));
            at += 64;
        }
        if let [x] = last {
            let there = !0 >> (WIDTH - self.last);
            // SAFETY: what is not there is not read.
            add(x, blocks.map(|block| unsafe { _mm512_maskz_loadu_epi32(there, block.wrapping_add(at).cast()) }));
        }
        for (upper, lower) in upper.iter_mut().zip(lower) {
            if W == 2 {
                *upper = _mm512_add_epi32(_mm512_slli_epi32::<8>(*upper), lower);
            }
        }
        upper
    }
}

/// Where each byte comes from in sixteen: for values of one byte, and the upper and lower ones of values of two.
static ORDERS: [[[u8; 64]; 2]; 2] = {
    const COLUMN: [u8; TILE] = [0, 2, 1, 3];
    let mut orders = [[[0; 64]; 2]; 2];
    let mut at = 0;
    while at < 64 {
        let column = (at / 16 * TILE) as u8 + COLUMN[at % TILE];
        orders[0][0][at] = column;
        orders[1][0][at] = 2 * column % 16 + 1;
        orders[1][1][at] = 2 * column % 16;
        at += 1;
    }
    orders
};
