//! Products over tiled weights, narrow or wide, with AVX2.
//!
//! For several tokens, eight rows of weights are widened once, with their columns in order, to a
//! panel that all tokens are multiplied by: each step broadcasts four columns of a token, so that
//! the innermost loop only multiplies and adds. For one token, weights are widened in the loop, and
//! the token's columns are reordered first.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::super::vectors::{Shape, ask_for, store_block};
use crate::format::places::{TILE, WIDE_TILE_ROWS, wide_tile_place};

/// Columns that are multiplied at a time: the panel and the columns of six tokens fit the L1 cache.
const COLUMNS: usize = 768;
/// Tokens whose sums, for two blocks of rows, are held in registers.
const TOKENS: usize = 6;
/// Tokens whose bytes are widened together.
const WIDENED: usize = 32;

/// Two blocks of four rows: the two tiles of each four columns, widened to 16 bits.
#[repr(align(32))]
struct Panel([[i16; 32]; COLUMNS / TILE]);

#[target_feature(enable = "avx2")]
pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let shape = Shape::new(out, x, weights, cols);
    if shape.tokens > 1 {
        return several::<false>(out, x, weights, shape);
    }
    let Some(x) = x.get(..cols) else { return };
    for (index, x) in x.chunks(COLUMNS).enumerate() {
        one(out, Reordered::uninit().fill(x), weights, shape, COLUMNS * index);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    let shape = Shape::new(out, x, weights, cols);
    if shape.tokens > 1 {
        return several8::<false>(out, x, weights, shape);
    }
    let Some(x) = x.get(..cols) else { return };
    for (index, x) in x.chunks(COLUMNS).enumerate() {
        one(out, Reordered::uninit().fill(x), weights, shape, COLUMNS * index);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn wide_tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let shape = Shape::new(out, x, weights, cols);
    if shape.tokens > 1 {
        return several::<true>(out, x, weights, shape);
    }
    one_by_wide_tiles(out, x.get(..cols).unwrap_or(&[]), weights, shape, 0);
}

#[target_feature(enable = "avx2")]
pub(super) fn wide_tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    let shape = Shape::new(out, x, weights, cols);
    if shape.tokens > 1 {
        return several8::<true>(out, x, weights, shape);
    }
    let mut wide = [0; COLUMNS];
    for (index, x) in x.get(..cols).unwrap_or(&[]).chunks(COLUMNS).enumerate() {
        for (wide, &x) in wide.iter_mut().zip(x) {
            *wide = x.into();
        }
        one_by_wide_tiles(out, wide.get(..x.len()).unwrap_or(&[]), weights, shape, COLUMNS * index);
    }
}

/// A token's columns in the order of a tile.
struct Reordered([MaybeUninit<[i16; TILE]>; COLUMNS / TILE]);

impl Reordered {
    /// Uninitialized, because many matrices are narrower.
    #[inline(always)]
    fn uninit() -> Self {
        Self([MaybeUninit::uninit(); COLUMNS / TILE])
    }

    #[inline(always)]
    fn fill<X: Copy + Into<i16>>(&mut self, x: &[X]) -> &[[i16; TILE]] {
        let (words, _) = x.as_chunks::<TILE>();
        for (&[a, b, c, d], to) in words.iter().zip(&mut self.0) {
            to.write([a, c, b, d].map(Into::into));
        }
        // SAFETY: the first `words.len()` elements, up to the capacity, were just written.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr().cast(), words.len().min(self.0.len())) }
    }
}

/// Widens bytes, of so few tokens and columns at a time that they stay in the L2 cache.
#[inline(never)]
#[target_feature(enable = "avx2")]
fn several8<const WIDE: bool>(out: &mut [i32], x: &[i8], weights: &[i8], shape: Shape) {
    let mut wide = [[0_i16; COLUMNS]; WIDENED];
    let Shape { tokens, rows, cols, .. } = shape;
    for first in (0..tokens).step_by(WIDENED) {
        let tokens = WIDENED.min(tokens - first);
        for start in (0..cols).step_by(COLUMNS) {
            let width = COLUMNS.min(cols - start);
            let rows_of_x = x.chunks_exact(cols).skip(first).take(tokens);
            for (x, wide) in rows_of_x.zip(wide.as_flattened_mut().chunks_exact_mut(width)) {
                for (&x, wide) in x.iter().skip(start).zip(wide) {
                    *wide = x.into();
                }
            }
            let out = out.get_mut(first * rows..(first + tokens) * rows).unwrap_or(&mut []);
            let wide = wide.as_flattened().get(..tokens * width).unwrap_or(&[]);
            columns::<WIDE>(out, (wide, width), weights, Shape { tokens, ..shape }, start..start + width);
        }
    }
}

/// Multiplies all tokens, a range of columns at a time.
#[target_feature(enable = "avx2")]
fn several<const WIDE: bool>(out: &mut [i32], x: &[i16], weights: &[i8], shape: Shape) {
    for start in (0..shape.cols).step_by(COLUMNS) {
        let width = COLUMNS.min(shape.cols - start);
        columns::<WIDE>(out, (x.get(start..).unwrap_or(&[]), shape.cols), weights, shape, start..start + width);
    }
}

/// Multiplies a range of columns of all tokens. `x` begins with the first token's columns; tokens
/// have a stride of `stride` values.
#[target_feature(enable = "avx2")]
fn columns<const WIDE: bool>(
    out: &mut [i32],
    (x, stride): (&[i16], usize),
    weights: &[i8],
    shape: Shape,
    range: Range<usize>,
) {
    let Shape { tokens, blocks, rows, cols } = shape;
    let words = range.len() / TILE;
    let mut panel = Panel([[0; 32]; COLUMNS / TILE]);
    let Some(panel) = panel.0.get_mut(..words) else { return };
    let groups = tokens.div_ceil(TOKENS);
    for block in (0..blocks).step_by(2) {
        for (half, block) in (block..blocks.min(block + 2)).enumerate() {
            let (place, apart) = if WIDE {
                (wide_tile_place(TILE * block, range.start, cols), WIDE_TILE_ROWS / TILE)
            } else {
                (TILE * (block * cols + range.start), 1)
            };
            let tiles = weights.get(place..).unwrap_or(&[]).as_chunks().0;
            widen::<WIDE>(tiles.iter().step_by(apart), panel, half);
        }
        // Prefetch the next panel's weights while this panel is multiplied. Two panels share a row
        // of wide tiles, and each of them prefetches half of the next row.
        let next = block + if WIDE { WIDE_TILE_ROWS / TILE } else { 2 };
        let mut next = Upcoming::new(weights, (TILE * next * cols, TILE * cols), &range, groups);
        let mut first = 0;
        for _ in 0..groups {
            let size = (tokens - first).min(TOKENS);
            next.fetch();
            let x = x.get(first * stride..).unwrap_or(&[]);
            let out = out.get_mut(first * rows + TILE * block..).unwrap_or(&mut []);
            let to = (out, rows, blocks - block > 1, range.start > 0);
            match size {
                1 => multiply::<1>(panel, x, stride, to),
                2 => multiply::<2>(panel, x, stride, to),
                3 => multiply::<3>(panel, x, stride, to),
                4 => multiply::<4>(panel, x, stride, to),
                5 => multiply::<5>(panel, x, stride, to),
                _ => multiply_six(panel, x, stride, to),
            }
            first += size;
        }
    }
}

/// The weights of the next panel, prefetched a part at a time: prefetching a whole panel at once
/// would exceed the memory's bandwidth.
struct Upcoming<'w> {
    halves: [&'w [i8]; 2],
    part: usize,
}

impl<'w> Upcoming<'w> {
    fn new(weights: &'w [i8], (block, next): (usize, usize), columns: &Range<usize>, parts: usize) -> Self {
        let half = |block: usize| weights.get(block + TILE * columns.start..block + TILE * columns.end).unwrap_or(&[]);
        let part = (TILE * columns.len()).div_ceil(parts.max(1)).next_multiple_of(64);
        Self { halves: [half(block), half(block + next)], part }
    }

    fn fetch(&mut self) {
        for half in &mut self.halves {
            let (part, rest) = half.split_at_checked(self.part).unwrap_or((half, &[]));
            for line in part.chunks(64) {
                ask_for(line.as_ptr());
            }
            *half = rest;
        }
    }
}

/// Widens tiles of four rows, or quarters of wide tiles, to one half of a panel.
#[target_feature(enable = "avx2")]
fn widen<'w, const WIDE: bool>(tiles: impl Iterator<Item = &'w [i8; 16]>, panel: &mut [[i16; 32]], half: usize) {
    // Restore the order of columns 0, 2, 1, 3.
    let order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    for (tile, to) in tiles.zip(panel) {
        // SAFETY: sixteen bytes are read, at any alignment.
        let tile = unsafe { _mm_loadu_si128(tile.as_ptr().cast()) };
        if let Some(to) = to.as_chunks_mut::<16>().0.get_mut(half) {
            let wide = _mm256_cvtepi8_epi16(if WIDE { tile } else { _mm_shuffle_epi8(tile, order) });
            // SAFETY: 32 bytes are written, at any alignment.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), wide) };
        }
    }
}

/// Multiplies `T` tokens by a panel. `to` is `(out, rows, both, add)`: `out` begins with the first
/// token's sums, and tokens have a stride of `rows`; a token has eight sums if `both` halves of the
/// panel are in use, else four; they are added to `out` if `add`.
#[target_feature(enable = "avx2")]
fn multiply<const T: usize>(panel: &[[i16; 32]], x: &[i16], stride: usize, to: (&mut [i32], usize, bool, bool)) {
    let mut four: [&[[i16; TILE]]; T] = [&[]; T];
    for (token, four) in four.iter_mut().enumerate() {
        let words = x.get(token * stride..).unwrap_or(&[]).as_chunks().0;
        let Some(words) = words.get(..panel.len()) else { return };
        *four = words;
    }
    let mut sums = [[_mm256_setzero_si256(); 2]; T];
    let tiles: *const __m256i = panel.as_ptr().cast();
    for word in 0..panel.len() {
        // SAFETY: a panel's word is twice 32 bytes, which are read at any alignment.
        let [first, second] =
            unsafe { [_mm256_loadu_si256(tiles.add(2 * word)), _mm256_loadu_si256(tiles.add(2 * word + 1))] };
        for (sums, four) in sums.iter_mut().zip(four) {
            // SAFETY: each token has as many words as the panel.
            let x = _mm256_set1_epi64x(unsafe { four.as_ptr().add(word).cast::<i64>().read_unaligned() });
            sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(x, first));
            sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(x, second));
        }
    }
    store(sums, to);
}

/// [`multiply`] for six tokens, whose sums leave four registers. In assembly, because the compiler
/// uses more and spills a sum.
#[target_feature(enable = "avx2")]
fn multiply_six(panel: &[[i16; 32]], x: &[i16], stride: usize, to: (&mut [i32], usize, bool, bool)) {
    let most = x.len().checked_sub(5 * stride);
    if panel.is_empty() || most.is_none_or(|most| most < TILE * panel.len()) {
        return;
    }
    let mut sums = [[_mm256_setzero_si256(); 2]; 6];
    let [[a, b], [c, d], [e, f], [g, h], [i, j], [k, l]] = &mut sums;
    macro_rules! token {
        ($x:literal, $a:literal, $b:literal) => {
            concat!(
                "vpbroadcastq ymm14, qword ptr [",
                $x,
                "]\n",
                "vpmaddwd ymm15, ymm14, ymm12\n",
                "vpmaddwd ymm14, ymm14, ymm13\n",
                "vpaddd ymm",
                $a,
                ", ymm",
                $a,
                ", ymm15\n",
                "vpaddd ymm",
                $b,
                ", ymm",
                $b,
                ", ymm14",
            )
        };
    }
    // SAFETY: it reads the panel's words, and as many of each token: the check above guarantees
    // that the last token has them.
    unsafe {
        core::arch::asm!(
            "2:",
            "vmovdqu ymm12, ymmword ptr [{panel}]",
            "vmovdqu ymm13, ymmword ptr [{panel} + 32]",
            token!("{x}", 0, 1),
            token!("{x} + {stride}", 2, 3),
            token!("{x} + 2 * {stride}", 4, 5),
            token!("{y}", 6, 7),
            token!("{y} + {stride}", 8, 9),
            token!("{y} + 2 * {stride}", 10, 11),
            "add {panel}, 64",
            "add {x}, 8",
            "add {y}, 8",
            "cmp {panel}, {end}",
            "jne 2b",
            panel = inout(reg) panel.as_ptr() => _,
            end = in(reg) panel.as_ptr_range().end,
            x = inout(reg) x.as_ptr() => _,
            y = inout(reg) x.as_ptr().add(3 * stride) => _,
            stride = in(reg) size_of::<i16>() * stride,
            inout("ymm0") *a, inout("ymm1") *b, inout("ymm2") *c, inout("ymm3") *d, inout("ymm4") *e, inout("ymm5") *f,
            inout("ymm6") *g, inout("ymm7") *h, inout("ymm8") *i, inout("ymm9") *j, inout("ymm10") *k, inout("ymm11") *l,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(readonly, nostack),
        );
    }
    store(sums, to);
}

/// Stores the sums of two blocks: see [`multiply`].
#[inline]
#[target_feature(enable = "avx2")]
fn store<const T: usize>(sums: [[__m256i; 2]; T], (out, rows, both, add): (&mut [i32], usize, bool, bool)) {
    for (token, [first, second]) in sums.into_iter().enumerate() {
        let Some(out) = out.get_mut(token * rows..) else { return };
        // The two partial sums of a row are neighbouring lanes.
        let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(first, second));
        if let (true, Some(to)) = (both, out.first_chunk_mut::<8>()) {
            // SAFETY: eight words, and neither access needs an alignment.
            unsafe {
                let to = to.as_mut_ptr().cast();
                let before = if add { _mm256_loadu_si256(to) } else { _mm256_setzero_si256() };
                _mm256_storeu_si256(to, _mm256_add_epi32(sums, before));
            }
        } else if let Some(to) = out.first_chunk_mut::<4>() {
            store_block(to, _mm256_castsi256_si128(sums), add);
        }
    }
}

/// Multiplies a range of columns of one token, reordered to match tiles. Weights are read
/// sequentially.
#[target_feature(enable = "avx2")]
fn one(out: &mut [i32], x: &[[i16; TILE]], weights: &[i8], shape: Shape, start: usize) {
    let add = start > 0;
    let (pairs, last) = out.as_chunks_mut::<{ 2 * TILE }>();
    let from = |block: usize| weights.get(TILE * (block * shape.cols + start)..).unwrap_or(&[]);
    let mut block = 0;
    for to in pairs.iter_mut().take(shape.blocks / 2) {
        let sums = _mm256_hadd_epi32(dot_block(x, from(block)), dot_block(x, from(block + 1)));
        let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(sums);
        // SAFETY: eight words, and neither access needs an alignment.
        unsafe {
            let to = to.as_mut_ptr().cast();
            let before = if add { _mm256_loadu_si256(to) } else { _mm256_setzero_si256() };
            _mm256_storeu_si256(to, _mm256_add_epi32(sums, before));
        }
        block += 2;
    }
    if let (Some(to), true) = (last.first_chunk_mut(), block < shape.blocks) {
        let sums = dot_block(x, from(block));
        let sums = _mm256_permute4x64_epi64::<0b00_00_10_00>(_mm256_hadd_epi32(sums, sums));
        store_block(to, _mm256_castsi256_si128(sums), add);
    }
}

/// Multiplies the columns of a token from `start` on by wide tiles, which are read sequentially.
#[target_feature(enable = "avx2")]
fn one_by_wide_tiles(out: &mut [i32], x: &[i16], weights: &[i8], shape: Shape, start: usize) {
    let add = start > 0;
    let blocks = weights.chunks_exact(WIDE_TILE_ROWS * shape.cols);
    for (to, block) in out.as_chunks_mut::<WIDE_TILE_ROWS>().0.iter_mut().zip(blocks) {
        let tiles = block.get(WIDE_TILE_ROWS * start..).unwrap_or(&[]).as_chunks::<{ WIDE_TILE_ROWS * TILE }>().0;
        let mut sums = [_mm256_setzero_si256(); WIDE_TILE_ROWS / TILE];
        for (x, tile) in x.as_chunks::<TILE>().0.iter().zip(tiles) {
            ask_for(tile.as_ptr().wrapping_add(AHEAD));
            for (sum, tile) in sums.iter_mut().zip(tile.as_chunks().0) {
                *sum = _mm256_add_epi32(*sum, dot_tile(x, tile));
            }
        }
        let [a, b, c, d] = sums;
        for (to, (a, b)) in to.as_chunks_mut::<{ 2 * TILE }>().0.iter_mut().zip([(a, b), (c, d)]) {
            store([[a, b]], (to, 2 * TILE, true, add));
        }
    }
}

/// The distance in bytes at which weights are prefetched, because the hardware prefetcher is too
/// late.
const AHEAD: usize = 2048;

/// The sums of four rows, each in two partial sums.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_block(x: &[[i16; TILE]], block: &[i8]) -> __m256i {
    let mut sums = [_mm256_setzero_si256(); 2];
    let (tiles, rest) = block.as_chunks::<16>().0.as_chunks::<4>();
    let (fours, last) = x.as_chunks::<4>();
    for (x, tiles) in fours.iter().zip(tiles) {
        ask_for(tiles.as_ptr().cast::<i8>().wrapping_add(AHEAD));
        let [a, b, c, d] = tiles;
        let [xa, xb, xc, xd] = x;
        sums[0] = _mm256_add_epi32(sums[0], dot_tile(xa, a));
        sums[1] = _mm256_add_epi32(sums[1], dot_tile(xb, b));
        sums[0] = _mm256_add_epi32(sums[0], dot_tile(xc, c));
        sums[1] = _mm256_add_epi32(sums[1], dot_tile(xd, d));
    }
    let others = tiles.get(fours.len()).map_or(rest, |tiles| tiles.as_slice());
    for (x, tile) in last.iter().zip(others) {
        sums[0] = _mm256_add_epi32(sums[0], dot_tile(x, tile));
    }
    _mm256_add_epi32(sums[0], sums[1])
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot_tile(x: &[i16; TILE], tile: &[i8; 16]) -> __m256i {
    // SAFETY: eight and sixteen bytes are read, at any alignment.
    let (word, tile) = unsafe { (x.as_ptr().cast::<i64>().read_unaligned(), _mm_loadu_si128(tile.as_ptr().cast())) };
    let word = _mm256_set1_epi64x(word);
    _mm256_madd_epi16(word, _mm256_cvtepi8_epi16(tile))
}
