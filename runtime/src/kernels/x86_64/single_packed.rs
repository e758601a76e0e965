//! Products of one token over packed weights, with VNNI of AVX-512: they are not unpacked to bytes, but multiplied as they are, and the
//! sums of a group by its scale.
//!
//! A vector is four tiles as they lie, eight columns of four rows each. The token's columns are brought into the order of lower and
//! of upper half bytes once, their upper bytes apart from the lower ones. Weights are not negative, as they are raised by eight, which is
//! taken off each group.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::Packed;
use super::single::{AHEAD, NEAR};
use super::tiles::ask_for;
use crate::format::spec::{PACKED_COLS, TILE};

/// Columns of a vector.
const WIDTH: usize = 4 * PACKED_COLS;
/// Columns that are multiplied at a time.
const COLUMNS: usize = 2048;
/// Blocks of four rows whose sums make a vector.
const BLOCKS: usize = 4;

/// Columns in the order of tiles, a lane's for each of its rows.
#[derive(Clone, Copy)]
struct Columns {
    /// Upper bytes of those that meet lower half bytes, and of those that meet upper ones.
    upper: [__m512i; 2],
    /// Their lower bytes.
    lower: [__m512i; 2],
    /// What eight in each weight makes, negative.
    less: __m512i,
}

/// Says whether it could: for one token.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn product(out: &mut [i32], x: &[i16], packed: &Packed<'_>, cols: usize) -> bool {
    let in_group = packed.group / WIDTH;
    if x.len() < cols || x.len() >= 2 * cols || !cols.is_multiple_of(PACKED_COLS) || in_group == 0 {
        return false;
    }
    let mut space = [MaybeUninit::uninit(); COLUMNS / WIDTH];
    for (index, x) in x.get(..cols).unwrap_or(&[]).chunks(COLUMNS).enumerate() {
        let part =
            Part { columns: arrange(&mut space, x), last: x.len() % WIDTH, start: index * COLUMNS, in_group, cols };
        let (groups, last) = out.as_chunks_mut::<{ BLOCKS * TILE }>();
        let mut block = 0;
        for to in groups {
            let [a, b, c, d] = [0, 1, 2, 3].map(|of_group| part.sums(packed, block + of_group));
            let (ab, cd) = (halves(a, b), halves(c, d));
            let even = _mm512_shuffle_i64x2::<0b10_00_10_00>(ab, cd);
            let sums = _mm512_add_epi32(even, _mm512_shuffle_i64x2::<0b11_01_11_01>(ab, cd));
            // SAFETY: sixteen words are read and written, at any alignment.
            unsafe {
                let before = if index > 0 { _mm512_loadu_epi32(to.as_ptr()) } else { _mm512_setzero_si512() };
                _mm512_storeu_epi32(to.as_mut_ptr(), _mm512_add_epi32(sums, before));
            }
            block += BLOCKS;
        }
        for to in last.as_chunks_mut::<TILE>().0 {
            let sums = part.sums(packed, block);
            let sums = halves(sums, sums);
            let sums = _mm512_add_epi32(sums, _mm512_shuffle_i64x2::<0b01>(sums, sums));
            super::tiles::store_block(to, _mm512_castsi512_si128(sums), index > 0);
            block += 1;
        }
    }
    true
}

/// The lower halves of two vectors plus the upper ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(_mm512_shuffle_i64x2::<0b01_00_01_00>(a, b), _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b))
}

/// Brings columns into order; those that lack in the last vector are zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn arrange<'s>(space: &'s mut [MaybeUninit<Columns>; COLUMNS / WIDTH], x: &[i16]) -> &'s [Columns] {
    let every_row = |bytes: i32| _mm512_set1_epi32(bytes);
    // Of a tile's columns 0, 4, 1, 5 and 2, 6, 3, 7.
    let lower = [every_row(0x0a02_0800), every_row(0x0e06_0c04)];
    let upper = lower.map(|order| _mm512_add_epi8(order, _mm512_set1_epi8(1)));
    let eight = _mm512_set1_epi8(8);
    let mut vectors = 0;
    for (x, to) in x.chunks(WIDTH).zip(&mut *space) {
        let there = !0 >> (WIDTH - x.len());
        // SAFETY: as many values are read as there are.
        let x = unsafe { _mm512_maskz_loadu_epi16(there, x.as_ptr()) };
        let [upper, lower] = [upper, lower].map(|orders| orders.map(|order| _mm512_shuffle_epi8(x, order)));
        let mut less = _mm512_setzero_si512();
        for upper in upper {
            less = _mm512_dpbusd_epi32(less, eight, upper);
        }
        less = _mm512_slli_epi32::<8>(less);
        for lower in lower {
            less = _mm512_dpbusd_epi32(less, lower, eight);
        }
        to.write(Columns { upper, lower, less: _mm512_sub_epi32(_mm512_setzero_si512(), less) });
        vectors += 1;
    }
    // SAFETY: so many were just written.
    unsafe { core::slice::from_raw_parts(space.as_ptr().cast(), vectors) }
}

/// Some columns of a token.
struct Part<'a> {
    columns: &'a [Columns],
    /// Columns in a last vector that is not whole.
    last: usize,
    /// Where they begin among so many.
    start: usize,
    cols: usize,
    /// Vectors to a group.
    in_group: usize,
}

impl Part<'_> {
    /// The sums of a block of four rows, of which each of four lanes has a part of each row's.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn sums(&self, packed: &Packed<'_>, block: usize) -> __m512i {
        let far = packed.weights.len() > NEAR;
        let mut all = _mm512_setzero_si512();
        let from = TILE / 2 * (block * self.cols + self.start);
        let bytes = TILE / 2 * (WIDTH * (self.columns.len() - usize::from(self.last > 0)) + self.last);
        let Some(weights) = packed.weights.get(from..from + bytes) else { return all };
        let groups = self.cols.div_ceil(packed.group);
        let scales = packed.scales.get(TILE * (block * groups + self.start / packed.group)..).unwrap_or(&[]);
        let mut at = weights.as_ptr();
        let (nibbles, mut left) = (_mm512_set1_epi8(15), self.columns.len());
        for (columns, scales) in self.columns.chunks(self.in_group).zip(scales.as_chunks::<TILE>().0) {
            let (mut upper, mut lower) = ([_mm512_setzero_si512(); 2], [_mm512_setzero_si512(); 2]);
            for columns in columns {
                left -= 1;
                let there = if left == 0 && self.last > 0 { !0 >> (16 - self.last / 2) } else { !0 };
                if far {
                    ask_for(at.cast::<i8>().wrapping_add(AHEAD));
                }
                // SAFETY: what is read are weights that are there.
                let weights = unsafe { _mm512_maskz_loadu_epi32(there, at.cast()) };
                at = at.wrapping_add(64);
                let halves = [weights, _mm512_srli_epi16::<4>(weights)].map(|half| _mm512_and_si512(half, nibbles));
                for (half, weights) in halves.into_iter().enumerate() {
                    upper[half] = _mm512_dpbusd_epi32(upper[half], weights, columns.upper[half]);
                    lower[half] = _mm512_dpbusd_epi32(lower[half], columns.lower[half], weights);
                }
                lower[0] = _mm512_add_epi32(lower[0], columns.less);
            }
            let upper = _mm512_slli_epi32::<8>(_mm512_add_epi32(upper[0], upper[1]));
            let sums = _mm512_add_epi32(upper, _mm512_add_epi32(lower[0], lower[1]));
            let scales = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(i32::from_le_bytes(*scales)));
            all = _mm512_add_epi32(all, _mm512_mullo_epi32(sums, _mm512_broadcast_i32x4(scales)));
        }
        all
    }
}
