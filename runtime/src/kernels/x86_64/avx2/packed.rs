//! Products of one token over packed weights, without unpacking: nibbles are multiplied directly,
//! and the sums of a group by its scale.
//!
//! A vector is two tiles, each of eight columns of four rows. The token's columns are reordered
//! once to match low and high nibbles, and split into high and low bytes. Weights carry an offset
//! of 8, which makes them unsigned and is subtracted from each group's sum. With 4-bit weights,
//! `VPMADDUBSW` does not saturate, so that it replaces VNNI.
#![allow(unsafe_code)]

/// Defines the products for `$features`. `$dot` adds to each lane the products of four unsigned and
/// four signed bytes, where one of the factors has at most four bits.
macro_rules! products {
    ($features:literal, $dot:expr) => {
        use core::arch::x86_64::*;
        use core::mem::MaybeUninit;

        use crate::format::places::{PACKED_COLS, TILE};
        use crate::kernels::table::Weights;
        use crate::kernels::x86_64::vectors::{FAR_AHEAD, NEAR, ask_for, halves, store_block, store_words};

        /// Columns of a vector.
        const WIDTH: usize = 2 * PACKED_COLS;
        /// Columns that are multiplied at a time.
        const COLUMNS: usize = 2048;

        /// Sixteen columns of a token in the order of tiles, repeated for each of their rows.
        #[derive(Clone, Copy)]
        struct Columns {
            /// The high bytes of columns whose weights are low nibbles, then of the others.
            upper: [__m256i; 2],
            /// The low bytes, in the order of `upper`.
            lower: [__m256i; 2],
            /// The correction for the weights' offset: -8 times the columns' sum.
            less: __m256i,
        }

        /// Computes the product if `x` is one token and the sizes are supported. Returns whether it
        /// did.
        #[target_feature(enable = $features)]
        pub(in super::super) fn product(out: &mut [i32], x: &[i16], packed: &Weights<'_>, cols: usize) -> bool {
            let one = x.len() < 2 * cols && cols.is_multiple_of(PACKED_COLS);
            match packed.group() / WIDTH {
                2 if one => by_groups::<2>(out, x, packed, cols),
                4 if one => by_groups::<4>(out, x, packed, cols),
                _ => return false,
            }
            true
        }

        /// The product for groups of `G` vectors.
        #[inline]
        #[target_feature(enable = $features)]
        fn by_groups<const G: usize>(out: &mut [i32], x: &[i16], packed: &Weights<'_>, cols: usize) {
            let mut space = [MaybeUninit::uninit(); COLUMNS / WIDTH];
            for (index, x) in x.get(..cols).unwrap_or(&[]).chunks(COLUMNS).enumerate() {
                let half = !x.len().is_multiple_of(WIDTH);
                let part = Part { columns: arrange(&mut space, x), half, start: index * COLUMNS, cols };
                let (pairs, last) = out.as_chunks_mut::<{ 2 * TILE }>();
                let single = 2 * pairs.len();
                for (pair, to) in pairs.iter_mut().enumerate() {
                    let sums = halves(part.sums::<G>(packed, 2 * pair), part.sums::<G>(packed, 2 * pair + 1));
                    // SAFETY: eight words are read, at any alignment.
                    let before = unsafe { _mm256_loadu_si256(to.as_ptr().cast()) };
                    store_words(to, if index > 0 { _mm256_add_epi32(sums, before) } else { sums });
                }
                if let Some(to) = last.first_chunk_mut() {
                    let sums = part.sums::<G>(packed, single);
                    store_block(to, _mm256_castsi256_si128(halves(sums, sums)), index > 0);
                }
            }
        }

        /// Reorders columns; pads the last vector with zeros.
        #[inline]
        #[target_feature(enable = $features)]
        fn arrange<'s>(space: &'s mut [MaybeUninit<Columns>; COLUMNS / WIDTH], x: &[i16]) -> &'s [Columns] {
            // Select a tile's columns 0, 4, 1, 5 and 2, 6, 3, 7.
            let lower = [_mm256_set1_epi32(0x0a02_0800), _mm256_set1_epi32(0x0e06_0c04)];
            let upper = lower.map(|order| _mm256_add_epi8(order, _mm256_set1_epi8(1)));
            let eight = _mm256_set1_epi8(8);
            let mut vectors = 0;
            for (x, to) in x.chunks(WIDTH).zip(&mut *space) {
                // SAFETY: sixteen values are read, or the remaining eight, at any alignment.
                let x = unsafe {
                    match x.first_chunk::<WIDTH>() {
                        Some(whole) => _mm256_loadu_si256(whole.as_ptr().cast()),
                        None => _mm256_zextsi128_si256(_mm_loadu_si128(x.as_ptr().cast())),
                    }
                };
                let [upper, lower] = [upper, lower].map(|orders| orders.map(|order| _mm256_shuffle_epi8(x, order)));
                let [a, b] = upper;
                let less = _mm256_slli_epi32::<8>($dot($dot(_mm256_setzero_si256(), eight, a), eight, b));
                let [a, b] = lower;
                let less = _mm256_sub_epi32(_mm256_setzero_si256(), $dot($dot(less, a, eight), b, eight));
                to.write(Columns { upper, lower, less });
                vectors += 1;
            }
            // SAFETY: the first `vectors` elements were just written.
            unsafe { core::slice::from_raw_parts(space.as_ptr().cast(), vectors) }
        }

        /// A range of columns of a token.
        struct Part<'a> {
            columns: &'a [Columns],
            /// Whether only half of the last vector is used.
            half: bool,
            /// The first column of the range, of `cols` columns.
            start: usize,
            cols: usize,
        }

        impl Part<'_> {
            /// The sums of a block of four rows, each split between the halves of the vector. A
            /// group has `G` vectors.
            #[inline]
            #[target_feature(enable = $features)]
            fn sums<const G: usize>(&self, packed: &Weights<'_>, block: usize) -> __m256i {
                let mut all = _mm256_setzero_si256();
                let groups = self.cols.div_ceil(G * WIDTH);
                let scales = packed.scales.get(TILE * (block * groups + self.start / (G * WIDTH))..).unwrap_or(&[]);
                let from = TILE * (block * self.cols + self.start) / 2;
                let bytes = TILE * WIDTH / 2 * self.columns.len() - if self.half { TILE * PACKED_COLS / 2 } else { 0 };
                let Some(weights) = packed.bytes.get(from..from + bytes) else { return all };
                let far = packed.bytes.len() > NEAR;
                let (vectors, half) = weights.as_chunks::<{ TILE * WIDTH / 2 }>();
                let (whole, last) = vectors.as_chunks::<G>();
                let (columns, last_columns) = self.columns.split_at(G * whole.len());
                let scales = scales.as_chunks::<TILE>().0;
                for ((weights, columns), scales) in whole.iter().zip(columns.as_chunks::<G>().0).zip(scales) {
                    if far {
                        for line in 0..G / 2 {
                            ask_for(weights.as_ptr().cast::<i8>().wrapping_add(FAR_AHEAD + 64 * line));
                        }
                    }
                    let mut sums = Sums::zero();
                    for (weights, columns) in weights.iter().zip(columns) {
                        // SAFETY: 32 bytes are read, at any alignment.
                        sums.add(columns, unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) });
                    }
                    all = _mm256_add_epi32(all, sums.scaled(scales));
                }
                if let (Some(scales), false) = (scales.get(whole.len()), last_columns.is_empty()) {
                    let mut sums = Sums::zero();
                    for (weights, columns) in last.iter().zip(last_columns) {
                        // SAFETY: 32 bytes are read, at any alignment.
                        sums.add(columns, unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) });
                    }
                    if let (Some(weights), Some(columns)) = (half.first_chunk::<16>(), last_columns.last()) {
                        // SAFETY: sixteen bytes are read, at any alignment.
                        let weights = unsafe { _mm_loadu_si128(weights.as_ptr().cast()) };
                        sums.add(columns, _mm256_zextsi128_si256(weights));
                    }
                    all = _mm256_add_epi32(all, sums.scaled(scales));
                }
                all
            }
        }

        /// The sums of a group: with high bytes and with low bytes, each for low nibbles and for
        /// high nibbles.
        struct Sums {
            upper: [__m256i; 2],
            lower: [__m256i; 2],
        }

        impl Sums {
            #[inline]
            #[target_feature(enable = "avx2")]
            fn zero() -> Self {
                Self { upper: [_mm256_setzero_si256(); 2], lower: [_mm256_setzero_si256(); 2] }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn add(&mut self, columns: &Columns, weights: __m256i) {
                let bits = _mm256_set1_epi8(15);
                let halves = [weights, _mm256_srli_epi16::<4>(weights)].map(|half| _mm256_and_si256(half, bits));
                for (half, weights) in halves.into_iter().enumerate() {
                    self.upper[half] = $dot(self.upper[half], weights, columns.upper[half]);
                    self.lower[half] = $dot(self.lower[half], columns.lower[half], weights);
                }
                self.lower[0] = _mm256_add_epi32(self.lower[0], columns.less);
            }

            #[inline]
            #[target_feature(enable = "avx2")]
            fn scaled(self, scales: &[u8; TILE]) -> __m256i {
                let upper = _mm256_slli_epi32::<8>(_mm256_add_epi32(self.upper[0], self.upper[1]));
                let sums = _mm256_add_epi32(upper, _mm256_add_epi32(self.lower[0], self.lower[1]));
                let scales = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(i32::from_le_bytes(*scales)));
                _mm256_mullo_epi32(sums, _mm256_broadcastsi128_si256(scales))
            }
        }
    };
}

#[cfg(any(test, feature = "std"))]
pub(in super::super) use products;

products!("avx2", dot);

#[inline]
#[target_feature(enable = "avx2")]
fn dot(sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(unsigned, signed);
    _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}
