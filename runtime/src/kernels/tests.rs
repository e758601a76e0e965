//! Compares every set that this machine supports with the scalar kernels, on ragged and extreme
//! inputs.

use std::vec::Vec;

use super::attend::ScoreFactor;
use super::scalar::SCALAR;
use super::{Kernels, Weights};
use crate::features;
use crate::format::places::{
    GROUP_SIZES, MAX_GROUP_SCALE, TILE, WIDE_TILE_ROWS, group_place, packed_place, pair_byte, pair_place, tile_place,
    wide_tile_place,
};
use crate::format::spec::WeightLayout;
use crate::kernels::scalar::softmax::MAX_SCORE;
use crate::kernels::table::{NormRow, Requantize};

/// 8-bit weights in a layout.
fn laid(bytes: &[i8], layout: WeightLayout) -> Weights<'_> {
    Weights { bytes, scales: &[], layout }
}

/// A reproducible pseudorandom number generator, which returns extremes more often.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, least: i64, most: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let number = (self.0 >> 33) as i64;
        match number % 7 {
            0 => least,
            1 => most,
            _ => least + (number >> 3) % (most - least + 1),
        }
    }

    fn row<T: TryFrom<i64>>(&mut self, len: usize, least: i64, most: i64) -> Vec<T> {
        (0..len).filter_map(|_| T::try_from(self.next(least, most)).ok()).collect()
    }
}

const SHAPES: [(usize, usize, usize); 33] = [
    (1, 16, 64),
    (1, 48, 100),
    (2, 16, 8),
    (7, 80, 64),
    (17, 48, 68),
    (33, 32, 128),
    (130, 16, 64),
    (1, 32, 2052),
    (3, 32, 1540),
    (70, 48, 772),
    (35, 24, 1544),
    (11, 20, 776),
    (6, 8, 12),
    (3, 29, 32),
    (2, 43, 64),
    (1, 16, 32),
    (9, 12, 2052),
    (3, 36, 20),
    (4, 20, 1024),
    (1, 1, 1),
    (1, 4, 16),
    (2, 4, 16),
    (1, 5, 17),
    (3, 7, 15),
    (5, 3, 33),
    (2, 64, 64),
    (1, 172, 64),
    (4, 9, 172),
    (7, 6, 48),
    (1, 37, 8),
    (1, 33, 24),
    (1, 13, 1536),
    (32, 10, 100),
];

fn others() -> impl Iterator<Item = &'static Kernels> {
    all().filter(|set| set.name != SCALAR.name)
}

/// The sets that this machine supports, and emulated ones that it does not.
pub(super) fn all() -> impl Iterator<Item = &'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    let emulated = super::x86_64::vnni::emulated();
    #[cfg(not(target_arch = "x86_64"))]
    let emulated = None;
    Kernels::available().chain(emulated)
}

#[test]
fn every_set_multiplies_as_scalar_does() {
    let mut numbers = Numbers(1);
    for (tokens, rows, cols) in SHAPES {
        let weights: Vec<i8> = numbers.row(rows * cols, -128, 127);
        let narrow: Vec<i8> = numbers.row(tokens * cols, -127, 127);
        let qmax = (1 << crate::fixed::row_bits(cols)) - 1;
        let wide: Vec<i16> = numbers.row(tokens * cols, -qmax, qmax);
        let run = |set: &Kernels| {
            let (mut out8, mut out16) = (std::vec![7; tokens * rows], std::vec![7; tokens * rows]);
            (set.products8.rows)(&mut out8, &narrow, &weights, cols);
            (set.products16.rows)(&mut out16, &wide, &weights, cols);
            (out8, out16)
        };
        for set in others() {
            assert!(run(set) == run(&SCALAR), "{}: {tokens} tokens, {rows} rows, {cols} columns", set.name);
        }
        // If the shape allows tiles, test tiled layouts, too: every set must return the sums of the
        // row-major weights.
        if rows % TILE != 0 || cols % TILE != 0 {
            continue;
        }
        let (mut tiled, mut paired) = (weights.clone(), weights.clone());
        for (place, &weight) in weights.iter().enumerate() {
            let (row, col) = (place / cols, place % cols);
            tiled[tile_place(row, col, cols)] = weight;
            paired[pair_place(row, col, cols)] = pair_byte(row, weight);
        }
        let run_tiled = |set: &Kernels| {
            let (mut out8, mut out16) = (std::vec![7; tokens * rows], std::vec![7; tokens * rows]);
            (set.products8.tiles)(&mut out8, &narrow, &tiled, cols);
            (set.products16.tiles)(&mut out16, &wide, &tiled, cols);
            (out8, out16)
        };
        let run_paired = |set: &Kernels| {
            let (mut out8, mut out16) = (std::vec![7; tokens * rows], std::vec![7; tokens * rows]);
            set.products8.multiply(&mut out8, &narrow, &laid(&paired, WeightLayout::Paired), cols, &mut []);
            set.products16.multiply(&mut out16, &wide, &laid(&paired, WeightLayout::Paired), cols, &mut []);
            (out8, out16)
        };
        let mut wide_tiles = tiled.clone();
        if rows % WIDE_TILE_ROWS == 0 {
            for (place, &weight) in weights.iter().enumerate() {
                wide_tiles[wide_tile_place(place / cols, place % cols, cols)] = weight;
            }
        }
        let run_wide_tiles = |set: &Kernels| {
            let (mut out8, mut out16) = (std::vec![7; tokens * rows], std::vec![7; tokens * rows]);
            set.products8.multiply(&mut out8, &narrow, &laid(&wide_tiles, WeightLayout::WideTiled), cols, &mut []);
            set.products16.multiply(&mut out16, &wide, &laid(&wide_tiles, WeightLayout::WideTiled), cols, &mut []);
            (out8, out16)
        };
        let wanted = run(&SCALAR);
        for set in all() {
            assert!(run_tiled(set) == wanted, "{}: {tokens} tokens, {rows} rows, {cols} columns", set.name);
            if features::PAIRED_WEIGHTS {
                let found = run_paired(set);
                assert!(found == wanted, "{}: {tokens} tokens, {rows} rows, {cols} columns in pairs", set.name);
            }
            if features::WIDE_TILES && rows % WIDE_TILE_ROWS == 0 {
                let found = run_wide_tiles(set);
                assert!(found == wanted, "{}: {tokens} tokens, {rows} rows, {cols} columns, wide tiles", set.name);
            }
        }
    }
}

#[cfg(feature = "packed-weights")]
#[test]
fn packed_weights_are_multiplied_as_the_bytes_that_they_stand_for() {
    let mut numbers = Numbers(5);
    for (tokens, rows, cols) in [
        (1, 4, 8),
        (2, 8, 40),
        (3, 4, 128),
        (1, 12, 64),
        (5, 8, 200),
        (2, 4, 1032),
        (1, 20, 40),
        (1, 16, 72),
        (1, 36, 2088),
        (1, 8, 24),
        (1, 12, 56),
        (1, 4, 120),
    ] {
        for group in GROUP_SIZES.map(usize::from) {
            let mut weights = std::vec![0_u8; rows * cols / 2];
            let scales: Vec<u8> = numbers.row(rows * cols.div_ceil(group), 0, MAX_GROUP_SCALE.into());
            let mut bytes = std::vec![0_i8; rows * cols];
            for (row, col) in (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col))) {
                let weight = numbers.next(-8, 7);
                let (byte, shift) = packed_place(row, col, cols);
                weights[byte] |= ((weight + 8) as u8) << shift;
                let scale = i64::from(scales[group_place(row, col, cols, group)]);
                bytes[row * cols + col] = (weight * scale) as i8;
            }
            let narrow: Vec<i8> = numbers.row(tokens * cols, -127, 127);
            let qmax = (1 << crate::fixed::row_bits(cols)) - 1;
            let wide: Vec<i16> = numbers.row(tokens * cols, -qmax, qmax);
            let (mut wanted8, mut wanted16) = (std::vec![7; tokens * rows], std::vec![7; tokens * rows]);
            (SCALAR.products8.rows)(&mut wanted8, &narrow, &bytes, cols);
            (SCALAR.products16.rows)(&mut wanted16, &wide, &bytes, cols);
            let layout = WeightLayout::Packed { group: group as u8 };
            let packed = Weights { bytes: bytemuck::cast_slice(&weights), scales: &scales, layout };
            for set in Kernels::available() {
                let (mut out8, mut out16) = (std::vec![7; tokens * rows], std::vec![7; tokens * rows]);
                set.products8.multiply(&mut out8, &narrow, &packed, cols, &mut []);
                set.products16.multiply(&mut out16, &wide, &packed, cols, &mut []);
                assert!((&out8, &out16) == (&wanted8, &wanted16), "{}: {tokens}, {rows}, {cols}, {group}", set.name);
            }
        }
    }
}

#[test]
fn every_set_attends_as_scalar_does() {
    let mut numbers = Numbers(2);
    for (_, keys, head_dim) in SHAPES {
        let of_narrow: Vec<i16> = numbers.row(head_dim, -4000, 4000);
        let of_wide: Vec<i16> = numbers.row(head_dim, -127, 127);
        let narrow: Vec<i8> = numbers.row(keys * head_dim, -127, 127);
        let wide: Vec<i16> = numbers.row(keys * head_dim, -1000, 1000);
        let weights: Vec<i32> = numbers.row(keys, 0, 32767);
        for shift in [-15, -3, 0, 2, 5, 14, 40] {
            let scales: Vec<u16> =
                numbers.row(keys, 0, 31).into_iter().map(|e: u16| e << 11 | 1024 | (e * 7)).collect();
            let run = |set: &Kernels| {
                let (mut scores8, mut scores16, mut sums) =
                    (std::vec![7; keys], std::vec![7; keys], std::vec![7; head_dim]);
                (set.scores8)(&mut scores8, &of_narrow, &narrow);
                (set.scores16)(&mut scores16, &of_wide, &wide);
                (set.weighted_sum)(&mut sums, &weights, &narrow);
                // Scores of all magnitudes, and scales of close and distant exponents.
                let mut logarithms = scores8.clone();
                let largest = (set.scale_scores)(&mut logarithms, &scales, ScoreFactor { narrow: 9, shift });
                let mut powers = logarithms.clone();
                let lowered = 11 + u32::from(scales.iter().copied().max().unwrap_or(0) >> 11);
                let sum = (set.powers)(&mut powers, &scales, largest, lowered);
                (scores8, scores16, sums, logarithms, largest, powers, sum)
            };
            let wanted = run(&SCALAR);
            assert_eq!(wanted.4, wanted.3.iter().copied().max().unwrap_or(i32::MIN));
            assert!(wanted.3.iter().all(|score| score.abs() <= MAX_SCORE));
            assert!(wanted.5.iter().all(|weight| (0..1 << 15).contains(weight)));
            for set in others() {
                assert!(run(set) == wanted, "{}: {keys} keys of {head_dim}, {shift}", set.name);
            }
        }
    }
}

#[test]
fn every_set_does_to_rows_what_scalar_does() {
    let mut numbers = Numbers(4);
    for len in [1, 2, 3, 7, 8, 9, 16, 24, 64, 77, 172, 333] {
        for bits in [2, 11, 17, 24, 31] {
            let most = (1_i64 << bits) - 1;
            let row: Vec<i32> = numbers.row(len, -most - 1, most);
            let others_of: Vec<i32> = numbers.row(len, -most, most);
            let multipliers: Vec<i32> = numbers.row(len, 0, i32::MAX.into());
            let biases: Vec<i32> = numbers.row(len, i32::MIN.into(), i32::MAX.into());
            let angles: Vec<i16> = numbers.row(len / 2 * 2, -32767, 32767);
            let run = |set: &Kernels| {
                let (mut q8, mut q16) = (std::vec![7; len], std::vec![7; len]);
                let mut scales = std::vec![(set.quantize8)(&mut q8, &row)];
                let mut rows = Vec::new();
                for quantized in [8, 13, 15] {
                    scales.push((set.quantize16)(&mut q16, &row, quantized));
                    rows.push(q16.iter().copied().map(i32::from).collect());
                }
                rows.push(q8.into_iter().map(i32::from).collect());
                let mut add = |change: &dyn Fn(&mut [i32])| {
                    let mut changed = row.clone();
                    change(&mut changed);
                    rows.push(changed);
                };
                for (factor, headroom, shift) in
                    [(None, 0, 5), (None, 3, 0), (Some(0x5555_5555), 1, 1), (None, 0, -2), (Some(1 << 30), 2, 33)]
                {
                    let by = Requantize { row: factor, headroom, shift };
                    add(&|row| (set.requantize)(row, &multipliers, &[], &by));
                    add(&|row| (set.requantize)(row, &multipliers, &biases, &by));
                }
                for (centered, epsilon, shift) in [(true, 1 << 20, 10), (false, 0, 9), (true, 0, -3), (false, 1, 40)] {
                    let by = NormRow { centered, epsilon, shift, weights: &multipliers, biases: &biases };
                    add(&|row| (set.norm)(row, &by));
                    add(&|row| (set.norm)(row, &NormRow { biases: &[], ..by }));
                }
                for head_dim in [len, len.div_ceil(2)] {
                    let angles = angles.get(..head_dim / 2 * 2).unwrap_or(&[]);
                    add(&|row| (set.rotate)(row, angles, head_dim));
                }
                add(&|row| (set.add)(row, &biases));
                for fraction_bits in [8, 16, 20] {
                    add(&|row| (set.gate)(row, &others_of, fraction_bits));
                }
                (scales, rows)
            };
            for set in others() {
                assert_eq!(run(set), run(&SCALAR), "{}: {len} values of {bits} bits", set.name);
            }
        }
    }
}

#[test]
fn every_set_looks_up_as_scalar_does() {
    let mut numbers = Numbers(3);
    for len in [0, 1, 7, 8, 64, 333] {
        let table: Vec<i16> = numbers.row(513, -32768, 32767);
        for (least, most) in
            [(-600_000, 600_000), (i64::from(i32::MIN), i64::from(i32::MAX)), (2_147_450_000, 2_147_483_647)]
        {
            let values: Vec<i32> = numbers.row(len, least, most);
            let run = |set: &Kernels| {
                let mut values = values.clone();
                (set.rectify)(&mut values, &table);
                values
            };
            for set in others() {
                assert!(run(set) == run(&SCALAR), "{}: {values:?}", set.name);
            }
        }
    }
}

#[test]
fn the_scalar_set_is_always_there_and_the_best_comes_first() {
    assert!(Kernels::available().any(|set| set.name == "scalar"));
    assert_eq!(Kernels::best().name, Kernels::available().next().map_or("", |set| set.name));
}
