//! Products of one token over wide tiles of weights, with VNNI of AVX-512.
//!
//! A vector is a wide tile as it lies: each lane has four columns of a row, and meets a broadcast of the token's. Values of sixteen bits
//! are cut in two: the upper byte, signed, is multiplied by weights that have 128 added, which is taken off in the end; the lower one,
//! unsigned, by the weights as they are.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::tiles::ask_for;
use crate::format::spec::{TILE, WIDE_TILE_ROWS};

/// Columns that are multiplied at a time.
const COLUMNS: usize = 2048;
/// Sums of each row, so that one instruction need not wait for another.
const SUMS: usize = 4;
/// How far ahead weights are asked for, which the processor by itself does too late.
const AHEAD: usize = 4096;
/// The weights of a matrix that is not asked for: it is probably near, and asking takes its time.
const NEAR: usize = 65536;

/// Four columns of a token: upper bytes, and lower ones where there are.
type Four<const W: usize> = [[u8; TILE]; W];

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    let x: &[u8] = bytemuck::cast_slice(x);
    for (index, x) in x.get(..cols).unwrap_or(&[]).chunks(COLUMNS).enumerate() {
        product::<1>(out, bytemuck::cast_slice(x.as_chunks::<TILE>().0), weights, (cols, COLUMNS * index));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let mut planes: [MaybeUninit<Four<2>>; COLUMNS / TILE] = [MaybeUninit::uninit(); COLUMNS / TILE];
    for (index, x) in x.get(..cols).unwrap_or(&[]).chunks(COLUMNS).enumerate() {
        let (fours, _) = x.as_chunks::<TILE>();
        for (to, four) in planes.iter_mut().zip(fours) {
            let bytes = four.map(i16::to_le_bytes);
            to.write([bytes.map(|[_, upper]| upper), bytes.map(|[lower, _]| lower)]);
        }
        // SAFETY: so many were just written.
        let fours = unsafe { core::slice::from_raw_parts(planes.as_ptr().cast(), fours.len()) };
        product::<2>(out, fours, weights, (cols, COLUMNS * index));
    }
}

/// Some columns of a token, from `start` on of `cols`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn product<const W: usize>(out: &mut [i32], x: &[Four<W>], weights: &[i8], (cols, start): (usize, usize)) {
    let far = weights.len() > NEAR;
    let flip = _mm512_set1_epi8(-128);
    let sum = x.iter().flat_map(|four| four[0]).map(|x| i32::from(x.cast_signed())).sum::<i32>();
    let less = _mm512_set1_epi32(-128 * sum);
    let blocks = weights.chunks_exact((WIDE_TILE_ROWS * cols).max(1));
    for (to, block) in out.as_chunks_mut::<WIDE_TILE_ROWS>().0.iter_mut().zip(blocks) {
        let tiles = block.get(WIDE_TILE_ROWS * start..).unwrap_or(&[]).as_chunks::<{ WIDE_TILE_ROWS * TILE }>().0;
        let (mut upper, mut lower) = ([_mm512_setzero_si512(); SUMS], [_mm512_setzero_si512(); SUMS]);
        upper[0] = less;
        let mut add = |at: usize, x: &Four<W>, tile: &[i8; WIDE_TILE_ROWS * TILE]| {
            // SAFETY: 64 bytes are read, at any alignment.
            let tile = unsafe { _mm512_loadu_si512(tile.as_ptr().cast()) };
            let word = |bytes: [u8; TILE]| _mm512_set1_epi32(i32::from_ne_bytes(bytes));
            upper[at] = _mm512_dpbusd_epi32(upper[at], _mm512_xor_si512(tile, flip), word(x[0]));
            if let Some(&x) = x.get(1) {
                lower[at] = _mm512_dpbusd_epi32(lower[at], word(x), tile);
            }
        };
        let (fours, last) = x.as_chunks::<SUMS>();
        let (of_fours, of_last) = tiles.as_chunks::<SUMS>();
        for (x, tiles) in fours.iter().zip(of_fours) {
            for (at, (x, tile)) in x.iter().zip(tiles).enumerate() {
                if far {
                    ask_for(tile.as_ptr().wrapping_add(AHEAD));
                }
                add(at, x, tile);
            }
        }
        let of_last = of_fours.get(fours.len()).map_or(of_last, |tiles| tiles.as_slice());
        for (x, tile) in last.iter().zip(of_last) {
            add(0, x, tile);
        }
        let all = |[a, b, c, d]: [__m512i; SUMS]| _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
        let mut sums = all(upper);
        if W == 2 {
            sums = _mm512_add_epi32(_mm512_slli_epi32::<8>(sums), all(lower));
        }
        // SAFETY: sixteen words are read and written, at any alignment.
        unsafe {
            let before = if start > 0 { _mm512_loadu_epi32(to.as_ptr()) } else { _mm512_setzero_si512() };
            _mm512_storeu_epi32(to.as_mut_ptr(), _mm512_add_epi32(sums, before));
        }
    }
}
