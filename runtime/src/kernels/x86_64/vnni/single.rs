//! Products of one token over tiled weights with VNNI.
//!
//! A vector is two tiles: each 32-bit lane is four columns of a row. The token's columns are
//! reordered once to match. 16-bit values are split: the signed high byte is multiplied by weights
//! with an offset of 128, which is subtracted from all sums beforehand; the unsigned low byte by
//! the signed weights.
//!
//! 512-bit vectors would multiply a fifth faster, but lower the clock by a tenth, so that the rest
//! of a token loses as much.
#![allow(unsafe_code)]

/// Columns that are multiplied at a time.
const COLUMNS: usize = 2048;

/// Byte shuffles within 16 bytes: for 8-bit values, and for the high and low bytes of 16-bit
/// values.
static ORDERS: [[[u8; 32]; 2]; 2] = {
    const COLUMN: [u8; 4] = [0, 2, 1, 3];
    let mut orders = [[[0; 32]; 2]; 2];
    let mut at = 0;
    while at < 32 {
        let column = (at / 16 * 4) as u8 + COLUMN[at % 4];
        orders[0][0][at] = column;
        orders[1][0][at] = 2 * column + 1;
        orders[1][1][at] = 2 * column;
        at += 1;
    }
    orders
};

/// Defines the products for `$features`. `$dot` adds to each lane the products of four unsigned and
/// four signed bytes.
macro_rules! products {
    ($features:literal, $dot:expr) => {
        use core::arch::x86_64::*;
        use core::mem::MaybeUninit;

        use super::{COLUMNS, ORDERS};
        use crate::format::places::TILE;
        use crate::kernels::x86_64::vectors::{FAR_AHEAD, NEAR, ask_for, halves, store_block, store_words};

        /// Columns of a vector.
        const WIDTH: usize = 2 * TILE;
        /// Blocks of four rows that are multiplied together.
        const BLOCKS: usize = 4;

        #[target_feature(enable = $features)]
        pub(in super::super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
            product::<1>(out, bytemuck::cast_slice(x), weights, cols);
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
            product::<2>(out, bytemuck::cast_slice(x), weights, cols);
        }

        /// The product over values of `W` bytes.
        #[inline]
        #[target_feature(enable = $features)]
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
                    // SAFETY: each block has the part's columns from here on.
                    let [a, b, c, d] = unsafe { part.sums([block(0), block(1), block(2), block(3)]) };
                    for (to, sums) in to.as_chunks_mut().0.iter_mut().zip([halves(a, b), halves(c, d)]) {
                        // SAFETY: eight words are read, at any alignment.
                        let before = unsafe { _mm256_loadu_si256(to.as_ptr().cast()) };
                        store_words(to, if start > 0 { _mm256_add_epi32(sums, before) } else { sums });
                    }
                }
                for to in last.as_chunks_mut::<TILE>().0 {
                    let Some((block, rest)) = weights.split_at_checked(TILE * cols) else { return };
                    weights = rest;
                    // SAFETY: the block has the part's columns from here on.
                    let [sums] = unsafe { part.sums([block.as_ptr().wrapping_add(TILE * start)]) };
                    store_block(to, _mm256_castsi256_si128(halves(sums, sums)), start > 0);
                }
            }
        }

        /// A range of columns of a token.
        struct Part<'a, const W: usize> {
            /// The columns in the order of tiles, repeated for each row of a tile: high bytes, then
            /// low bytes of 16-bit values.
            columns: &'a [[__m256i; W]],
            /// The correction of the high bytes' sums for the weights' offset: -128 times the sum.
            less: __m256i,
            /// Whether only half of the last vector is used.
            half: bool,
            /// Whether to prefetch weights.
            far: bool,
        }

        impl<'a, const W: usize> Part<'a, W> {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(x: &[u8], far: bool, space: &'a mut [MaybeUninit<[__m256i; W]>; COLUMNS / WIDTH]) -> Self {
                // SAFETY: 32 bytes are read, at any alignment.
                let orders = ORDERS[W - 1].map(|order| unsafe { _mm256_loadu_si256(order.as_ptr().cast()) });
                let mut sums = _mm256_setzero_si256();
                let mut vectors = 0;
                for (x, to) in x.chunks(W * WIDTH).zip(&mut *space) {
                    let at = x.as_ptr();
                    // SAFETY: `x.len()` bytes are read, at any alignment.
                    let x = unsafe {
                        match x.len() {
                            16 => _mm_loadu_si128(at.cast()),
                            8 => _mm_loadl_epi64(at.cast()),
                            _ => _mm_loadu_si32(at),
                        }
                    };
                    let mut bytes = [_mm256_broadcastsi128_si256(x); W];
                    for (bytes, order) in bytes.iter_mut().zip(orders) {
                        *bytes = _mm256_shuffle_epi8(*bytes, order);
                    }
                    sums = $dot(sums, _mm256_set1_epi8(1), bytes[0]);
                    to.write(bytes);
                    vectors += 1;
                }
                // SAFETY: the first `vectors` elements were just written.
                let columns = unsafe { core::slice::from_raw_parts(space.as_ptr().cast(), vectors) };
                let less = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32::<7>(sums));
                Self { columns, less, half: !x.len().is_multiple_of(W * WIDTH), far }
            }

            /// The sums of `B` blocks, each split between the halves of a vector.
            ///
            /// # Safety
            /// Each pointer is to a block with the columns of `self`.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn sums<const B: usize>(&self, blocks: [*const i8; B]) -> [__m256i; B] {
                let mut upper = [self.less; B];
                let mut lower = [_mm256_setzero_si256(); B];
                let mut add = |x: &[__m256i; W], weights: [__m256i; B]| {
                    for ((upper, lower), weights) in upper.iter_mut().zip(&mut lower).zip(weights) {
                        let unsigned = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
                        *upper = $dot(*upper, unsigned, x[0]);
                        if let Some(&x) = x.get(1) {
                            *lower = $dot(*lower, x, weights);
                        }
                    }
                };
                let (whole, half) = self.columns.split_at(self.columns.len() - usize::from(self.half));
                let ahead = blocks[0].wrapping_add(FAR_AHEAD);
                let mut at = 0;
                for x in whole {
                    if self.far {
                        for line in 0..B.div_ceil(2) {
                            ask_for(ahead.wrapping_add(B * at + 64 * line));
                        }
                    }
                    // SAFETY: each block has 32 more bytes from `at` on, at any alignment.
                    add(x, blocks.map(|block| unsafe { _mm256_loadu_si256(block.wrapping_add(at).cast()) }));
                    at += 32;
                }
                if let [x] = half {
                    // SAFETY: each block has one more tile, which is read at any alignment.
                    let tile = |block: *const i8| unsafe { _mm_loadu_si128(block.wrapping_add(at).cast()) };
                    add(x, blocks.map(|block| _mm256_zextsi128_si256(tile(block))));
                }
                for (upper, lower) in upper.iter_mut().zip(lower) {
                    if W == 2 {
                        *upper = _mm256_add_epi32(_mm256_slli_epi32::<8>(*upper), lower);
                    }
                }
                upper
            }
        }
    };
}

/// The products with AVX-512 VNNI.
pub(super) mod avx512 {
    products!("avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32);
}

/// The products with AVX-VNNI.
pub(super) mod avx {
    products!("avx2,avxvnni", _mm256_dpbusd_avx_epi32);
}

/// The products with VNNI emulated by AVX2, for tests on a processor without VNNI.
#[cfg(test)]
pub(super) mod emulated {
    products!("avx2", super::super::panel::emulated::dot4);
}
