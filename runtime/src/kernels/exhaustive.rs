//! Tests small domains exhaustively: every pair of bytes in every lane of a product, every 16-bit
//! number through each table and quantizer, every shift.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::Kernels;
use super::scalar::SCALAR;
use super::tests::all;
use crate::fixed::{Scale, shift_round};
use crate::format::places::{TILE, tile_place};

/// All 16-bit numbers.
fn sixteen_bits() -> impl Iterator<Item = i32> + Clone {
    (i16::MIN..=i16::MAX).map(i32::from)
}

/// Columns of the products: the longest step of any set, plus a tile.
const COLS: usize = 68;
/// The number of 8-bit weights, each of which gets a row.
const WEIGHTS: usize = 256;

/// Checks products with one nonzero activation: each sum must be a weight times that activation.
fn wrong_products<X: Copy>(
    set: &Kernels,
    numbers: &[X],
    zero: X,
    run: impl Fn(&mut [i32], &[X], &[i8]) -> bool,
) -> String
where
    i32: From<X>,
{
    let weight = |row: usize| row as u8 as i8;
    let mut rows = vec![0; WEIGHTS * COLS];
    let mut out = vec![0; WEIGHTS * numbers.len()];
    for lane in 0..COLS {
        for (row, weights) in rows.chunks_exact_mut(COLS).enumerate() {
            // Neighbouring lanes must not influence the sum.
            weights.fill(if row % 2 == 0 { i8::MIN } else { i8::MAX });
            weights[lane] = weight(row);
        }
        let mut x = vec![zero; COLS * numbers.len()];
        x.iter_mut().skip(lane).step_by(COLS).zip(numbers).for_each(|(x, &number)| *x = number);
        out.fill(7);
        if !run(&mut out, &x, &rows) {
            return String::new();
        }
        for (sums, &number) in out.chunks_exact(WEIGHTS).zip(numbers) {
            for (row, &sum) in sums.iter().enumerate() {
                let wanted = i32::from(number) * <i32 as From<i8>>::from(weight(row));
                if sum != wanted {
                    return format!("{}: {} * {} is {sum} in lane {lane}", set.name, weight(row), i32::from(number));
                }
            }
        }
    }
    String::new()
}

fn tiled(rows: &[i8]) -> Vec<i8> {
    let mut tiled = vec![0; rows.len()];
    for (place, &weight) in rows.iter().enumerate() {
        tiled[tile_place(place / COLS, place % COLS, COLS)] = weight;
    }
    tiled
}

#[test]
fn every_pair_of_bytes_has_its_product_in_every_lane() {
    assert!(COLS.is_multiple_of(TILE));
    let bytes: Vec<i8> = (-127..=127).collect();
    // One less than each power of two, with both signs, up to the bits of a row of `COLS` columns.
    let bits = crate::fixed::row_bits(COLS);
    let words: Vec<i16> =
        (0..=bits).flat_map(|bit| [((1_i32 << bit) - 1) as i16, (1 - (1_i32 << bit)) as i16]).collect();
    for set in all() {
        for wrong in [
            wrong_products(set, &bytes, 0, |out, x, rows| {
                (set.products8.rows)(out, x, rows, COLS);
                true
            }),
            wrong_products(set, &bytes, 0, |out, x, rows| {
                (set.products8.tiles)(out, x, &tiled(rows), COLS);
                true
            }),
            wrong_products(set, &words, 0, |out, x, rows| {
                (set.products16.rows)(out, x, rows, COLS);
                true
            }),
            wrong_products(set, &words, 0, |out, x, rows| {
                (set.products16.tiles)(out, x, &tiled(rows), COLS);
                true
            }),
        ] {
            assert_eq!(wrong, "");
        }
    }
}

#[test]
fn every_shift_rounds_as_its_definition_says() {
    for shift in -40..=40 {
        for x in sixteen_bits().flat_map(|x| [x, x << 16, x << 16 | 0xffff, x << 8 | 0x80]) {
            let exact = match shift {
                ..=0 => (i128::from(x) << -shift).clamp(i32::MIN.into(), i32::MAX.into()),
                _ => (i128::from(x) + (1 << (shift - 1))) >> shift,
            };
            assert_eq!(i128::from(shift_round(x, shift)), exact, "{x} >> {shift}");
        }
    }
}

/// Rows of all 16-bit numbers, shifted by different amounts, so that their scales differ.
fn rows() -> impl Iterator<Item = Vec<i32>> {
    let lifted = (0..=16).map(|lift| sixteen_bits().map(|x| x << lift).collect::<Vec<_>>());
    let short = (1..=16).map(|bits| sixteen_bits().map(|x| x >> bits).collect());
    lifted.chain(short)
}

#[test]
fn every_number_of_sixteen_bits_is_quantized_as_the_definition_says() {
    for row in rows() {
        let (mut wanted8, mut wanted16) = (vec![0; row.len()], vec![0; row.len()]);
        let scale = (SCALAR.quantize8)(&mut wanted8, &row);
        for (&q, &x) in wanted8.iter().zip(&row) {
            let step = i64::from(scale.mantissa()) << (scale.exponent() + Scale::BIAS);
            let off = (i64::from(q) * step - (i64::from(x) << Scale::BIAS)).abs();
            // Half a step, and the rounding of the value to 16 bits.
            assert!(off <= step * 17 / 32 + (1 << Scale::BIAS), "{x} becomes {q} of {scale:?}");
        }
        for set in all() {
            let (mut out8, mut out16) = (vec![7; row.len()], vec![7; row.len()]);
            assert_eq!((set.quantize8)(&mut out8, &row), scale, "{}", set.name);
            assert!(out8 == wanted8, "{}: {scale:?}", set.name);
            for bits in 1..=15 {
                let wanted = (SCALAR.quantize16)(&mut wanted16, &row, bits);
                assert_eq!((set.quantize16)(&mut out16, &row, bits), wanted, "{}", set.name);
                assert!(out16 == wanted16, "{}: {bits} bits", set.name);
            }
        }
    }
}

#[test]
fn every_number_of_sixteen_bits_is_looked_up_as_the_definition_says() {
    // Tables that rise, fall and jump, up to the extremes of an `i16`.
    let tables: [Vec<i16>; 3] = [
        (0..513).map(|n| (n * 64 - 16_384) as i16).collect(),
        (0..513).map(|n| (n * n % 65_536 - 32_768) as i16).collect(),
        (0..513).map(|n| if n % 2 == 0 { i16::MIN } else { i16::MAX }).collect(),
    ];
    for table in &tables {
        // From values far below a table's step to values far beyond its end.
        for lift in [0, 3, 4, 5, 8, 12, 16] {
            let values: Vec<i32> = sixteen_bits().map(|x| x << lift).collect();
            let mut wanted = values.clone();
            (SCALAR.rectify)(&mut wanted, table);
            for (&found, &x) in wanted.iter().zip(&values) {
                let (place, between) = ((x.unsigned_abs() >> 10) as usize, i64::from(x.unsigned_abs() & 0x3ff));
                let at = |place: usize| i64::from(table[place.min(512)]);
                let line = at(place) + ((at(place + 1) - at(place)) * between).div_euclid(1024);
                assert_eq!(i64::from(found), i64::from(x.max(0)) + line, "T({x})");
            }
            for set in all() {
                let mut found = values.clone();
                (set.rectify)(&mut found, table);
                assert!(found == wanted, "{}: lifted by {lift}", set.name);
            }
        }
    }
}
