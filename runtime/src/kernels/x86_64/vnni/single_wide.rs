//! Products of one token over wide tiles of weights with VNNI.
//!
//! Each lane of a vector is a row of weights and has four columns, so that no lanes are added at
//! the end. 16-bit values are split into bytes as in `single`.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::vectors::NEAR;
use crate::format::places::TILE;

/// Columns that are multiplied at a time.
const COLUMNS: usize = 2048;

/// Buffer for words of four bytes.
type Space<const W: usize> = [MaybeUninit<[i32; W]>; COLUMNS / TILE];

/// Splits each four 16-bit values into a word of their high bytes and a word of their low bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn split<'s>(x: &[i16], space: &'s mut Space<2>) -> &'s [[i32; 2]] {
    let apart = _mm_setr_epi8(1, 3, 5, 7, 0, 2, 4, 6, 9, 11, 13, 15, 8, 10, 12, 14);
    let (eights, four) = x.as_chunks::<{ 2 * TILE }>();
    for (x, to) in eights.iter().zip(space.as_chunks_mut::<2>().0) {
        // SAFETY: sixteen bytes are read and written, at any alignment.
        unsafe {
            let x = _mm_loadu_si128(x.as_ptr().cast());
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_shuffle_epi8(x, apart));
        }
    }
    if let (Some(x), Some(to)) = (four.first_chunk::<TILE>(), space.get_mut(2 * eights.len())) {
        // SAFETY: eight bytes are read and written, at any alignment.
        unsafe {
            let x = _mm_loadl_epi64(x.as_ptr().cast());
            _mm_storel_epi64(to.as_mut_ptr().cast(), _mm_shuffle_epi8(x, apart));
        }
    }
    // SAFETY: a pair of words was just written for each four values of `x`, up to the capacity.
    unsafe { core::slice::from_raw_parts(space.as_ptr().cast(), (x.len() / TILE).min(COLUMNS / TILE)) }
}

/// Copies 8-bit values, which are their own high bytes.
fn copied<'s>(x: &[i8], space: &'s mut Space<1>) -> &'s [[i32; 1]] {
    let words = x.as_chunks::<TILE>().0;
    for (&x, to) in words.iter().zip(&mut *space) {
        to.write([i32::from_le_bytes(x.map(i8::cast_unsigned))]);
    }
    // SAFETY: the first `words.len()` elements were just written, up to the capacity.
    unsafe { core::slice::from_raw_parts(space.as_ptr().cast(), words.len().min(COLUMNS / TILE)) }
}

/// Whether to prefetch the weights of a matrix.
fn is_far(weights: &[i8]) -> bool {
    weights.len() > NEAR
}

/// Defines the products for `$features`, over vectors of `LANES` lanes.
macro_rules! products {
    ($features:literal) => {
        use core::mem::MaybeUninit;

        use super::{COLUMNS, copied, is_far, split};
        use crate::format::places::{TILE, WIDE_TILE_ROWS};
        use crate::kernels::x86_64::vectors::{FAR_AHEAD, ask_for};

        /// Vectors per tile.
        const PARTS: usize = WIDE_TILE_ROWS / LANES;
        /// The bytes of a tile.
        type Tile = [[i8; TILE * LANES]; PARTS];

        #[target_feature(enable = $features)]
        pub(in super::super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
            for (index, x) in x.get(..cols).unwrap_or(&[]).chunks(COLUMNS).enumerate() {
                let mut space = [MaybeUninit::uninit(); COLUMNS / TILE];
                let upper = x.iter().map(|&x| i32::from(x)).sum();
                product(out, (copied(x, &mut space), upper), weights, (cols, COLUMNS * index));
            }
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
            for (index, x) in x.get(..cols).unwrap_or(&[]).chunks(COLUMNS).enumerate() {
                let mut space = [MaybeUninit::uninit(); COLUMNS / TILE];
                let upper = x.iter().map(|&x| i32::from(x >> 8)).sum();
                product(out, (split(x, &mut space), upper), weights, (cols, COLUMNS * index));
            }
        }

        /// The product over the columns from `start` on. `words` has their high bytes and, for
        /// 16-bit values, their low bytes; `upper` is the sum of the high bytes.
        #[inline]
        #[target_feature(enable = $features)]
        fn product<const W: usize>(
            out: &mut [i32],
            (words, upper): (&[[i32; W]], i32),
            mut weights: &[i8],
            (cols, start): (usize, usize),
        ) {
            let far = is_far(weights);
            for to in out.as_chunks_mut::<WIDE_TILE_ROWS>().0 {
                let Some((rows, rest)) = weights.split_at_checked(WIDE_TILE_ROWS * cols) else { return };
                weights = rest;
                let bytes = rows.get(WIDE_TILE_ROWS * start..).unwrap_or(&[]).as_chunks::<{ TILE * LANES }>().0;
                let tiles: &[Tile] = bytes.as_chunks().0;
                // Separate sums for even and odd words, to shorten the dependency chains.
                let mut sums = [[[broadcast(-128 * upper), zero()]; PARTS], [[zero(); 2]; PARTS]];
                let (pairs, last) = words.as_chunks::<2>();
                for (pair, tiles) in pairs.iter().zip(tiles.as_chunks::<2>().0) {
                    for ((sums, words), tile) in sums.iter_mut().zip(pair).zip(tiles) {
                        if far {
                            ask_for(tile.as_ptr().cast::<i8>().wrapping_add(FAR_AHEAD));
                        }
                        add(sums, words, tile);
                    }
                }
                if let ([words], Some(tile)) = (last, tiles.get(2 * pairs.len())) {
                    add(&mut sums[0], words, tile);
                }
                let [even, odd] = sums;
                for ((even, odd), to) in even.into_iter().zip(odd).zip(to.as_chunks_mut::<LANES>().0) {
                    let upper = plus(even[0], odd[0]);
                    let sum = if W == 1 { upper } else { plus(raised(upper), plus(even[1], odd[1])) };
                    store(to, if start > 0 { plus(sum, load(bytemuck::cast_ref(to))) } else { sum });
                }
            }
        }

        /// Adds the products of a tile with the high bytes and with the low bytes of four columns.
        #[inline]
        #[target_feature(enable = $features)]
        fn add<const W: usize>(sums: &mut [[Vector; 2]; PARTS], words: &[i32; W], tile: &Tile) {
            for ([upper, lower], weights) in sums.iter_mut().zip(tile) {
                let weights = load(weights);
                *upper = dot4(*upper, unsigned(weights), broadcast(words[0]));
                if let Some(&word) = words.get(1) {
                    *lower = dot4(*lower, broadcast(word), weights);
                }
            }
        }
    };
}

/// The products with AVX-512 VNNI: sixteen rows per vector.
pub(super) mod avx512 {
    use core::arch::x86_64::*;

    const LANES: usize = 16;
    type Vector = __m512i;

    products!("avx512f,avx512bw,avx512vnni");

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Vector {
        _mm512_setzero_si512()
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(bytes: &[i8; 64]) -> Vector {
        // SAFETY: 64 bytes are read, at any alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(to: &mut [i32; LANES], x: Vector) {
        // SAFETY: 64 bytes are written, at any alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), x) };
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn broadcast(word: i32) -> Vector {
        _mm512_set1_epi32(word)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn plus(a: Vector, b: Vector) -> Vector {
        _mm512_add_epi32(a, b)
    }

    /// `x * 256`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn raised(x: Vector) -> Vector {
        _mm512_slli_epi32::<8>(x)
    }

    /// Adds 128 to each byte.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn unsigned(weights: Vector) -> Vector {
        _mm512_xor_si512(weights, _mm512_set1_epi8(-128))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dot4(sums: Vector, unsigned: Vector, signed: Vector) -> Vector {
        _mm512_dpbusd_epi32(sums, unsigned, signed)
    }
}

/// Defines the products over vectors of eight rows.
macro_rules! eights {
    ($features:literal, $dot:expr) => {
        use core::arch::x86_64::*;

        const LANES: usize = 8;
        type Vector = __m256i;

        products!($features);

        #[inline]
        #[target_feature(enable = "avx2")]
        fn zero() -> Vector {
            _mm256_setzero_si256()
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn load(bytes: &[i8; 32]) -> Vector {
            // SAFETY: 32 bytes are read, at any alignment.
            unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn store(to: &mut [i32; LANES], x: Vector) {
            crate::kernels::x86_64::vectors::store_words(to, x);
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn broadcast(word: i32) -> Vector {
            _mm256_set1_epi32(word)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn plus(a: Vector, b: Vector) -> Vector {
            _mm256_add_epi32(a, b)
        }

        /// `x * 256`.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn raised(x: Vector) -> Vector {
            _mm256_slli_epi32::<8>(x)
        }

        /// Adds 128 to each byte.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn unsigned(weights: Vector) -> Vector {
            _mm256_xor_si256(weights, _mm256_set1_epi8(-128))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn dot4(sums: Vector, unsigned: Vector, signed: Vector) -> Vector {
            $dot(sums, unsigned, signed)
        }
    };
}

/// The products with AVX-VNNI: eight rows per vector.
pub(super) mod avx {
    eights!("avx2,avxvnni", _mm256_dpbusd_avx_epi32);
}

/// The products with VNNI emulated by AVX2, for tests on a processor without VNNI.
#[cfg(test)]
pub(super) mod emulated {
    eights!("avx2", super::super::panel::emulated::dot4);
}
