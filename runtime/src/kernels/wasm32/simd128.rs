//! WebAssembly's 16-byte vectors, with their one multiply-add: eight products of 16-bit values,
//! added in pairs. Relaxed instructions are not used, because their results depend on the machine.
//! `scale_scores` is scalar, because there is no per-lane shift. Kernels over rows have no code
//! here: the compiler vectorizes the reference kernels.
#![allow(unsafe_code)]

use core::arch::wasm32::*;

use super::super::scalar;
use super::super::table::{Kernels, Products};
use super::super::tiles::{self, COLUMNS, Part};
use crate::format::places::TILE;

/// The kernel set for `simd128`.
pub(crate) static SIMD128: Kernels = Kernels {
    name: "wasm-simd128",
    products8: Products { tiles: |out, x, weights, cols| tiles(out, x, weights, cols), ..scalar::SCALAR.products8 },
    products16: Products { tiles: |out, x, weights, cols| tiles(out, x, weights, cols), ..scalar::SCALAR.products16 },
    scores8: |out, query, keys| {
        if !scores(out, query, keys) {
            (scalar::SCALAR.scores8)(out, query, keys);
        }
    },
    scores16: |out, query, keys| {
        if !scores(out, query, keys) {
            (scalar::SCALAR.scores16)(out, query, keys);
        }
    },
    weighted_sum,
    ..scalar::SCALAR
};

/// Columns of a row in the order of a tile, four to a word.
type Row = [u64; COLUMNS / TILE];

fn reorder<X: Copy + Into<i16>>(x: &[X], to: &mut Row) {
    for (&x, to) in x.as_chunks::<TILE>().0.iter().zip(to) {
        let [a, b, c, d] = x.map(|x| u64::from(x.into().cast_unsigned()));
        *to = a | c << 16 | b << 32 | d << 48;
    }
}

fn tiles<X: Copy + Into<i16>>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
    tiles::multiply((out, x, weights, cols), [0; COLUMNS / TILE], reorder, multiply::<1, 4>, multiply::<4, 1>);
}

/// Multiplies `T` tokens by `B` blocks of four rows at a time.
fn multiply<const T: usize, const B: usize>(mut out: [&mut [i32]; T], x: &[Row; T], part: Part<'_>) {
    for (index, blocks) in part.blocks::<B>().enumerate() {
        // A vector holds the sums of two rows, two for each.
        let mut sums = [[[i32x4_splat(0); 2]; B]; T];
        for place in 0..part.tiles() {
            let mut four = [i32x4_splat(0); T];
            for (to, x) in four.iter_mut().zip(x) {
                if let Some(&x) = x.get(place) {
                    *to = u64x2_splat(x);
                }
            }
            for (block, tiles) in blocks.iter().enumerate() {
                let Some(tile) = tiles.get(place) else { continue };
                let [upper, lower] = halves(tile);
                for (sums, x) in sums.iter_mut().zip(four) {
                    let [a, b] = &mut sums[block];
                    *a = i32x4_add(*a, i32x4_dot_i16x8(x, upper));
                    *b = i32x4_add(*b, i32x4_dot_i16x8(x, lower));
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            part.put(out, index, sums.map(|[a, b]| words(pairs(a, b))));
        }
    }
}

/// Widens sixteen bytes to two vectors of eight 16-bit lanes.
fn halves(bytes: &[i8; 16]) -> [v128; 2] {
    // SAFETY: there are twice eight bytes, and the loads need no alignment.
    unsafe { [i16x8_load_extend_i8x8(bytes.as_ptr()), i16x8_load_extend_i8x8(bytes.as_ptr().add(8))] }
}

/// The lanes as an array.
fn words(lanes: v128) -> [i32; 4] {
    let mut words = [0_i32; 4];
    // SAFETY: sixteen bytes are written, at any alignment.
    unsafe { v128_store(words.as_mut_ptr().cast(), lanes) };
    words
}

fn load_words(words: &[i32; 4]) -> v128 {
    // SAFETY: sixteen bytes are read, at any alignment.
    unsafe { v128_load(words.as_ptr().cast()) }
}

/// The sums of adjacent lanes: two of `a`, two of `b`.
fn pairs(a: v128, b: v128) -> v128 {
    i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b))
}

/// A key's value type, eight of which load into 16-bit lanes.
trait Wide: Copy {
    fn load(values: &[Self; 8]) -> v128;
}

impl Wide for i8 {
    #[inline(always)]
    fn load(values: &[Self; 8]) -> v128 {
        // SAFETY: eight bytes are read, at any alignment.
        unsafe { i16x8_load_extend_i8x8(values.as_ptr()) }
    }
}

impl Wide for i16 {
    #[inline(always)]
    fn load(values: &[Self; 8]) -> v128 {
        // SAFETY: sixteen bytes are read, at any alignment.
        unsafe { v128_load(values.as_ptr().cast()) }
    }
}

/// Computes the scores, four keys at a time, if `head_dim` is a multiple of eight. Returns whether
/// it did.
#[inline(always)]
fn scores<K: Wide>(out: &mut [i32], query: &[i16], keys: &[K]) -> bool {
    let (query, rest) = query.as_chunks::<8>();
    let head_dim = 8 * query.len();
    if head_dim == 0 || !rest.is_empty() {
        return false;
    }
    for (out, keys) in out.chunks_mut(4).zip(keys.chunks(4 * head_dim)) {
        let mut sums = [i32x4_splat(0); 4];
        for (sum, key) in sums.iter_mut().zip(keys.chunks_exact(head_dim)) {
            for (query, key) in query.iter().zip(key.as_chunks().0) {
                *sum = i32x4_add(*sum, i32x4_dot_i16x8(i16::load(query), K::load(key)));
            }
        }
        let [a, b, c, d] = sums;
        for (out, sum) in out.iter_mut().zip(words(pairs(pairs(a, b), pairs(c, d)))) {
            *out = sum;
        }
    }
    true
}

fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let width = out.len();
    if width == 0 || !width.is_multiple_of(8) {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    }
    for (index, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        columns(out, weights, values.get(8 * index..).unwrap_or(&[]), width);
    }
}

/// The weighted sum of eight columns. Weights have 15 bits, so that two rows are multiplied and
/// added by one instruction.
fn columns(out: &mut [i32; 8], weights: &[i32], values: &[i8], width: usize) {
    let (mut low, mut high) = (i32x4_splat(0), i32x4_splat(0));
    let mut rows = values.chunks(width).map(|row| row.first_chunk().unwrap_or(&[0; 8]));
    for weights in weights.chunks(2) {
        let (a, b) = (i8::load(rows.next().unwrap_or(&[0; 8])), i8::load(rows.next().unwrap_or(&[0; 8])));
        let weights = i32x4_splat(match *weights {
            [first, second, ..] => first | second << 16,
            [only] => only,
            [] => 0,
        });
        let neighbours = i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b);
        low = i32x4_add(low, i32x4_dot_i16x8(neighbours, weights));
        let neighbours = i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b);
        high = i32x4_add(high, i32x4_dot_i16x8(neighbours, weights));
    }
    for (out, sums) in out.as_chunks_mut::<4>().0.iter_mut().zip([low, high]) {
        *out = words(i32x4_add(load_words(out), sums));
    }
}
