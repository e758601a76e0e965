//! Products of several tokens, with AVX-512 VNNI or AVX-VNNI.
//!
//! A lane is a row of weights and holds four 8-bit or two 16-bit columns, so that no sum is spread
//! over lanes. A panel holds the weights of two vectors of rows in that order, and all tokens are
//! multiplied by it: each step broadcasts the matching columns of a token. Products of bytes are
//! unsigned by signed, so weights carry an offset of 128, and 128 times the sum of a token's values
//! is subtracted.
//!
//! Single tokens go to `single` or `single_wide`.
#![allow(unsafe_code)]

/// Shuffles of a tile, whose columns are in the order 0, 2, 1, 3: to all four columns of each row
/// in order, or to columns 0 and 1 of all rows, then columns 2 and 3.
const TILE_ORDERS: [[i8; 16]; 2] =
    [[0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15], [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]];
/// [`TILE_ORDERS`] for a tile whose columns are in order.
const WIDE_TILE_ORDERS: [[i8; 16]; 2] =
    [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15]];

/// Words of a panel: each is four 8-bit columns or two 16-bit columns.
const WORDS: usize = 192;
/// Tokens whose sums are held in registers.
const TOKENS: usize = 6;
/// Tokens that are multiplied by one panel.
const TOGETHER: usize = 64;

/// Defines the products for `$features`, over vectors of `ROWS` lanes.
macro_rules! products {
    ($features:literal) => {
        use core::arch::x86_64::*;
        use core::ops::Range;

        use super::{TILE_ORDERS, TOGETHER, TOKENS, WIDE_TILE_ORDERS, WORDS};
        use crate::format::places::{TILE, WIDE_TILE_ROWS, wide_tile_place};
        use crate::kernels::x86_64::vectors::Shape;

        /// The weights of two vectors of rows, in words of four bytes.
        #[repr(align(64))]
        struct Panel([[[[u8; 4]; ROWS]; 2]; WORDS]);

        #[target_feature(enable = $features)]
        pub(in super::super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
            if x.len() < 2 * cols {
                return single::tiles8(out, x, weights, cols);
            }
            let shape = Shape::new(out, x, weights, cols);
            products::<1, false>(out, bytemuck::cast_slice(x), weights, shape);
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
            if x.len() < 2 * cols {
                return single::tiles16(out, x, weights, cols);
            }
            let shape = Shape::new(out, x, weights, cols);
            products::<2, false>(out, bytemuck::cast_slice(x), weights, shape);
        }

        /// The product over values of `W` bytes, with weights in tiles or in wide tiles.
        #[target_feature(enable = $features)]
        fn products<const W: usize, const WIDE: bool>(out: &mut [i32], x: &[u8], weights: &[i8], shape: Shape) {
            let Shape { tokens, blocks, rows, cols } = shape;
            let mut panel = Panel([[[[0; 4]; ROWS]; 2]; WORDS]);
            for start in (0..cols).step_by(WORDS * 4 / W) {
                let columns = start..cols.min(start + WORDS * 4 / W);
                let Some(panel) = panel.0.get_mut(..columns.len() * W / 4) else { return };
                for first in (0..tokens).step_by(TOGETHER) {
                    let tokens = TOGETHER.min(tokens - first);
                    let mut sums = [0; TOGETHER];
                    if W == 1 {
                        for (sum, x) in sums.iter_mut().zip(x.chunks_exact(cols).skip(first).take(tokens)) {
                            let x = x.get(columns.clone()).unwrap_or(&[]);
                            *sum = 128 * x.iter().map(|&x| i32::from(x.cast_signed())).sum::<i32>();
                        }
                    }
                    for block in (0..blocks).step_by(2 * ROWS / TILE) {
                        fill::<W, WIDE>(panel, weights.get(TILE * cols * block..).unwrap_or(&[]), cols, &columns);
                        let rows_left = TILE * (blocks - block);
                        for group in (0..tokens).step_by(TOKENS) {
                            let token = first + group;
                            let x = x.get(W * (token * cols + start)..).unwrap_or(&[]);
                            let out = out.get_mut(token * rows + TILE * block..).unwrap_or(&mut []);
                            let to = (out, rows, rows_left, start > 0);
                            let sums = sums.get(group..).unwrap_or(&[]);
                            match tokens - group {
                                1 => multiply::<1, W>(panel, x, cols, sums, to),
                                2 => multiply::<2, W>(panel, x, cols, sums, to),
                                3 => multiply::<3, W>(panel, x, cols, sums, to),
                                4 => multiply::<4, W>(panel, x, cols, sums, to),
                                5 => multiply::<5, W>(panel, x, cols, sums, to),
                                _ => multiply::<TOKENS, W>(panel, x, cols, sums, to),
                            }
                        }
                    }
                }
            }
        }

        /// Multiplies `T` tokens by a panel, as `multiply` in `avx2::tiles` does, and subtracts the
        /// correction for the weights' offset from each token's sums.
        #[target_feature(enable = $features)]
        fn multiply<const T: usize, const W: usize>(
            panel: &[[[[u8; 4]; ROWS]; 2]],
            x: &[u8],
            cols: usize,
            less: &[i32],
            (out, rows, rows_left, add): (&mut [i32], usize, usize, bool),
        ) {
            let mut words: [&[[u8; 4]]; T] = [&[]; T];
            for (token, words) in words.iter_mut().enumerate() {
                let of_token = x.get(W * token * cols..).unwrap_or(&[]).as_chunks().0;
                let Some(of_token) = of_token.get(..panel.len()) else { return };
                *words = of_token;
            }
            let mut sums = [[zero(); 2]; T];
            for (index, [first, second]) in panel.iter().enumerate() {
                let (first, second) = (load(first), load(second));
                for (sums, words) in sums.iter_mut().zip(words) {
                    // SAFETY: each token has as many words as the panel.
                    let x = broadcast(i32::from_le_bytes(unsafe { *words.get_unchecked(index) }));
                    if W == 1 {
                        sums[0] = dot4(sums[0], first, x);
                        sums[1] = dot4(sums[1], second, x);
                    } else {
                        sums[0] = dot2(sums[0], first, x);
                        sums[1] = dot2(sums[1], second, x);
                    }
                }
            }
            for ((token, sums), less) in sums.into_iter().enumerate().zip(less) {
                let out = out.get_mut(token * rows..).unwrap_or(&mut []);
                let (to, _) = out.split_at_mut(rows_left.min(2 * ROWS).min(out.len()));
                for (to, sums) in to.chunks_mut(ROWS).zip(sums) {
                    let mut lanes = [0; ROWS];
                    store(&mut lanes, sums);
                    for (to, sum) in to.iter_mut().zip(lanes) {
                        let before = if add { *to } else { 0 };
                        *to = before.wrapping_add(sum.wrapping_sub(*less));
                    }
                }
            }
        }
    };
}

/// Defines the products over vectors of eight rows.
macro_rules! eights {
    ($features:literal) => {
        #[target_feature(enable = $features)]
        pub(in super::super) fn wide_tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
            if x.len() < 2 * cols {
                return single_wide::tiles8(out, x, weights, cols);
            }
            let shape = Shape::new(out, x, weights, cols);
            products::<1, true>(out, bytemuck::cast_slice(x), weights, shape);
        }

        #[target_feature(enable = $features)]
        pub(in super::super) fn wide_tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
            if x.len() < 2 * cols {
                return single_wide::tiles16(out, x, weights, cols);
            }
            let shape = Shape::new(out, x, weights, cols);
            products::<2, true>(out, bytemuck::cast_slice(x), weights, shape);
        }

        /// Fills a panel with the weights of two vectors of rows, or fewer at the end.
        #[target_feature(enable = "avx2")]
        fn fill<const W: usize, const WIDE: bool>(
            panel: &mut [[[[u8; 4]; ROWS]; 2]],
            weights: &[i8],
            cols: usize,
            columns: &Range<usize>,
        ) {
            for at in 0..(2 * ROWS / TILE).min(weights.len() / (TILE * cols)) {
                let (place, apart) = if WIDE {
                    (wide_tile_place(TILE * at, columns.start, cols), WIDE_TILE_ROWS / TILE)
                } else {
                    (TILE * (at * cols + columns.start), 1)
                };
                let tiles = weights.get(place..).unwrap_or(&[]).as_chunks().0;
                fill_block::<W, WIDE>(panel, at, tiles.iter().step_by(apart));
            }
        }

        /// Copies the weights of a block of four rows to block `at` of a panel.
        #[target_feature(enable = "avx2")]
        fn fill_block<'w, const W: usize, const WIDE: bool>(
            panel: &mut [[[[u8; 4]; ROWS]; 2]],
            at: usize,
            tiles: impl Iterator<Item = &'w [i8; 16]>,
        ) {
            let [in_order, by_twos] = if WIDE { WIDE_TILE_ORDERS } else { TILE_ORDERS };
            // SAFETY: sixteen bytes are read, at any alignment.
            let load = |bytes: &[i8; 16]| unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
            let (in_order, by_twos) = (load(&in_order), load(&by_twos));
            for (tile, words) in tiles.zip(panel.chunks_exact_mut(W)) {
                let tile = load(tile);
                let parts = if W == 1 {
                    let unsigned = _mm_xor_si128(_mm_shuffle_epi8(tile, in_order), _mm_set1_epi8(-128));
                    [unsigned, unsigned]
                } else {
                    let wide = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(tile, by_twos));
                    [_mm256_castsi256_si128(wide), _mm256_extracti128_si256::<1>(wide)]
                };
                for (word, part) in words.iter_mut().zip(parts) {
                    if let Some(to) = word.as_flattened_mut().as_chunks_mut::<TILE>().0.get_mut(at) {
                        // SAFETY: four words of four bytes are written, at any alignment.
                        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), part) };
                    }
                }
            }
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn zero() -> __m256i {
            _mm256_setzero_si256()
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn load(words: &[[u8; 4]; ROWS]) -> __m256i {
            // SAFETY: 32 bytes are read, at any alignment.
            unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn broadcast(word: i32) -> __m256i {
            _mm256_set1_epi32(word)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn store(to: &mut [i32; ROWS], words: __m256i) {
            crate::kernels::x86_64::vectors::store_words(to, words);
        }
    };
}

/// The products with AVX-512 VNNI: sixteen rows per vector.
pub(in super::super) mod avx512 {
    const ROWS: usize = 16;

    use super::super::single::avx512 as single;

    products!("avx2,avx512f,avx512bw,avx512vl,avx512vnni");

    /// Fills a panel with the weights of two vectors of rows, or fewer at the end: see
    /// [`fill_with`].
    #[target_feature(enable = "avx2,avx512f,avx512bw")]
    fn fill<const W: usize, const WIDE: bool>(
        panel: &mut [[[[u8; 4]; ROWS]; 2]],
        weights: &[i8],
        cols: usize,
        columns: &Range<usize>,
    ) {
        fill_with::<W, WIDE>(panel, weights, cols, columns, 128);
    }

    /// [`fill`] that adds `add` to each weight of 8 bits.
    ///
    /// A vector has four blocks of four rows. If there are fewer, the first is repeated.
    #[target_feature(enable = "avx2,avx512f,avx512bw")]
    pub(in super::super::super) fn fill_with<const W: usize, const WIDE: bool>(
        panel: &mut [[[[u8; 4]; ROWS]; 2]],
        weights: &[i8],
        cols: usize,
        columns: &Range<usize>,
        add: u8,
    ) {
        let [in_order, by_twos] = if WIDE { WIDE_TILE_ORDERS } else { TILE_ORDERS }.map(|order| {
            // SAFETY: sixteen bytes are read, at any alignment.
            _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(order.as_ptr().cast()) })
        });
        let add = _mm512_set1_epi8(add.cast_signed());
        // The tiles of a block of four rows. A wide tile has four such blocks, one after another.
        let block = |index: usize| {
            let from = if WIDE {
                wide_tile_place(TILE * index, columns.start, cols)
            } else {
                TILE * (cols * index + columns.start)
            };
            let apart = if WIDE { WIDE_TILE_ROWS } else { TILE };
            weights.get(from..from + apart * (columns.len() - TILE) + TILE * TILE)
        };
        for half in 0..2 {
            let Some(first) = block(half * ROWS / TILE) else { return };
            let rows = core::array::from_fn::<_, 4, _>(|index| block(half * ROWS / TILE + index).unwrap_or(first));
            for (tile, words) in panel.chunks_exact_mut(W).take(columns.len() / TILE).enumerate() {
                let tiles = if WIDE {
                    let from = first.as_ptr().wrapping_add(WIDE_TILE_ROWS * TILE * tile);
                    // SAFETY: the matrix has whole wide tiles: if the first of four tiles exists,
                    // all four do.
                    unsafe { _mm512_loadu_si512(from.cast()) }
                } else {
                    if tile % 4 == 0 {
                        for tiles in rows {
                            let next = TILE * TILE * tile + 2 * ROWS * cols;
                            _mm_prefetch::<_MM_HINT_T1>(tiles.as_ptr().wrapping_add(next));
                        }
                    }
                    let [a, b, c, d] = rows.map(|tiles| {
                        // SAFETY: all blocks have equally many tiles, of sixteen bytes, which are
                        // read at any alignment.
                        unsafe { _mm_loadu_si128(tiles.as_ptr().add(TILE * TILE * tile).cast()) }
                    });
                    let ab = _mm256_set_m128i(b, a);
                    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(ab), _mm256_set_m128i(d, c))
                };
                if let [word] = &mut *words {
                    store_row(&mut word[half], _mm512_add_epi8(_mm512_shuffle_epi8(tiles, in_order), add));
                } else if let [first, second, ..] = words {
                    let lower_first = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
                    let twos = _mm512_permutexvar_epi64(lower_first, _mm512_shuffle_epi8(tiles, by_twos));
                    store_row(&mut first[half], _mm512_cvtepi8_epi16(_mm512_castsi512_si256(twos)));
                    store_row(&mut second[half], _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64::<1>(twos)));
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store_row(to: &mut [[u8; 4]; ROWS], words: __m512i) {
        // SAFETY: 64 bytes are written, at any alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), words) };
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> __m512i {
        _mm512_setzero_si512()
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(words: &[[u8; 4]; ROWS]) -> __m512i {
        // SAFETY: 64 bytes are read, at any alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn broadcast(word: i32) -> __m512i {
        _mm512_set1_epi32(word)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(to: &mut [i32; ROWS], words: __m512i) {
        // SAFETY: 64 bytes are written, at any alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), words) };
    }

    /// Adds to each lane the products of four unsigned and four signed bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dot4(sums: __m512i, unsigned: __m512i, signed: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(sums, unsigned, signed)
    }

    /// Adds to each lane the products of two pairs of 16-bit values.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dot2(sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        _mm512_dpwssd_epi32(sums, a, b)
    }
}

/// The products with AVX-VNNI: eight rows per vector.
pub(super) mod avx {
    const ROWS: usize = 8;

    use super::super::single::avx as single;
    use super::super::single_wide::avx as single_wide;

    products!("avx2,avxvnni");
    eights!("avx2,avxvnni");

    /// Adds to each lane the products of four unsigned and four signed bytes.
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    fn dot4(sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(sums, unsigned, signed)
    }

    /// Adds to each lane the products of two pairs of 16-bit values.
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    fn dot2(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        _mm256_dpwssd_avx_epi32(sums, a, b)
    }
}

/// The products with VNNI emulated by AVX2: eight rows per vector.
#[cfg(test)]
pub(super) mod emulated {
    const ROWS: usize = 8;

    use super::super::single::emulated as single;
    use super::super::single_wide::emulated as single_wide;

    products!("avx2");
    eights!("avx2");

    /// Multiplies even and odd bytes separately, as 16-bit values.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn dot4(sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        let even = _mm256_and_si256(unsigned, _mm256_set1_epi16(255));
        let even = _mm256_madd_epi16(even, _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(signed)));
        let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(unsigned), _mm256_srai_epi16::<8>(signed));
        _mm256_add_epi32(sums, _mm256_add_epi32(even, odd))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn dot2(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(sums, _mm256_madd_epi16(a, b))
    }
}
