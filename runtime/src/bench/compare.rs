//! Compares a core's kernels with the scalar kernels, on targets that cannot run the crate's tests.

use super::part;
use crate::Aligned;
use crate::features;
use crate::fixed::row_bits;
use crate::format::places::WIDE_TILE_ROWS;
use crate::format::spec::{WeightLayout, at_least_one};
use crate::kernels::attend::ScoreFactor;
use crate::kernels::table::{NormRow, Requantize};
use crate::kernels::{Kernels, SCALAR, Weights};

/// A reproducible pseudorandom number generator.
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> i32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 ^ self.0 >> 13).wrapping_mul(0x9e37_79b1) as i32
    }

    /// A number of magnitude up to `most`; one in four is an extreme.
    fn within(&mut self, most: i32) -> i32 {
        match self.next() & 7 {
            0 => most,
            1 => -most,
            _ => (self.next().cast_unsigned() % (2 * most.cast_unsigned()).max(1)).cast_signed().wrapping_sub(most),
        }
    }
}

/// The longest row.
const LEN: usize = 288;
/// The length of the buffers of weights and activations.
const PRODUCTS: usize = 2 * 4 * 1800;
/// Words of room for activations: too few for two tokens of the longest rows.
const ROOM: usize = 1200;

/// Compares this core's kernels with the scalar kernels. Calls `wrong` with the name of each kernel
/// whose bits differ, and the case.
pub fn compare(wrong: &mut dyn FnMut(&'static str, u32)) {
    let mut numbers = Numbers(1);
    for len in (1..20).chain([24, 32, 64, 77, 128, 172]) {
        for bits in [2, 9, 15, 17, 24, 29, 30, 31] {
            compare_rows(len, bits, &mut numbers, wrong);
        }
    }
    for shape in [
        (1, 4, 4),
        (2, 4, 16),
        (3, 8, 16),
        (1, 12, 36),
        (4, 4, 200),
        (5, 8, 48),
        (2, 12, 64),
        (7, 4, 144),
        (6, 12, 128),
        (3, 4, 32),
        (3, 8, 400),
        (2, 4, 1800),
    ] {
        compare_products(shape, &mut numbers, wrong);
    }
    compare_extremes(wrong);
}

/// The kernel set under test and the reference.
fn sets() -> [&'static Kernels; 2] {
    [Kernels::best(), &SCALAR]
}

/// Compares the kernels on rows of `len` values of at most `bits` bits.
#[inline(never)]
fn compare_rows(len: usize, bits: u32, numbers: &mut Numbers, wrong: &mut dyn FnMut(&'static str, u32)) {
    let (mut row, mut multipliers, mut biases) = ([0; LEN], [0; LEN], [0; LEN]);
    let (mut angles, mut scales, mut table) = ([0_i16; LEN], [0_u16; LEN], [0_i16; LEN]);
    row.iter_mut().for_each(|x| *x = numbers.within((u32::MAX >> (32 - bits)) as i32));
    row.iter_mut().skip(7).step_by(31).for_each(|x| *x = i32::MIN >> (31 - bits));
    multipliers.iter_mut().for_each(|x| *x = numbers.next() & i32::MAX);
    biases.iter_mut().for_each(|x| *x = numbers.next());
    angles.iter_mut().for_each(|x| *x = numbers.within(32767) as i16);
    scales.iter_mut().for_each(|x| *x = numbers.next() as u16 | 1024);
    table.iter_mut().for_each(|x| *x = numbers.next() as i16);
    let (multipliers, biases, scales) = (part(&multipliers, len), part(&biases, len), part(&scales, len));
    let mut same = |what, change: &dyn Fn(&Kernels, &mut [i32]) -> u32| {
        let [first, second] = sets().map(|set| {
            let mut changed = row;
            let result = change(set, changed.get_mut(..len).unwrap_or(&mut []));
            (changed, result)
        });
        if first != second {
            wrong(what, len as u32 * 100 + bits);
        }
    };
    for (row, headroom, shift) in
        [(None, 0, 5), (None, 3, 0), (Some(0x5555_5555), 1, 1), (None, 0, -2), (Some(1 << 30), 2, 33), (None, 1, 300)]
            .into_iter()
            .chain([1, 9, 17].map(|more| (None, 31 - bits, (31 - bits + more) as i32)))
    {
        let by = Requantize { row, headroom, shift };
        same("requantize", &|set, row| {
            (set.requantize)(row, multipliers, biases, &by);
            0
        });
    }
    for (centered, epsilon, shift) in [(true, 1 << 20, 10), (false, 0, 9), (true, 0, -3), (false, 1, 40)] {
        let by = NormRow { centered, epsilon, shift, weights: multipliers, biases };
        same("norm", &|set, row| {
            (set.norm)(row, &by);
            0
        });
    }
    same("add", &|set, row| {
        (set.add)(row, biases);
        0
    });
    for head_dim in [len, len.div_ceil(2), len.div_ceil(3)] {
        same("rotate", &|set, row| {
            (set.rotate)(row, part(&angles, head_dim / 2 * 2), head_dim);
            0
        });
    }
    for fraction_bits in [3, 8, 16, 20] {
        same("gate", &|set, row| {
            (set.gate)(row, biases, fraction_bits);
            0
        });
        same("quantize16", &|set, row| {
            let mut out = [0; LEN];
            let scale = (set.quantize16)(out.get_mut(..len).unwrap_or(&mut []), row, fraction_bits.clamp(8, 15));
            row.iter_mut().zip(out).for_each(|(x, q)| *x = q.into());
            scale.to_bits().into()
        });
    }
    same("quantize8", &|set, row| {
        let mut out = [0; LEN];
        let scale = (set.quantize8)(out.get_mut(..len).unwrap_or(&mut []), row);
        row.iter_mut().zip(out).for_each(|(x, q)| *x = q.into());
        scale.to_bits().into()
    });
    for entries in [0, 1, 2, 200] {
        same("rectify", &|set, row| {
            (set.rectify)(row, part(&table, entries));
            0
        });
    }
    // Products have at most 19 bits after the shift by `narrow`.
    for (narrow, shift) in [(0, 40), (9, 6), (6, 14), (3, -3), (0, 300), (12, -40)] {
        let factor = ScoreFactor { narrow, shift };
        if bits <= narrow + 19 {
            same("scale_scores", &|set, row| (set.scale_scores)(row, scales, factor) as u32);
            same("powers", &|set, row| {
                let largest = (set.scale_scores)(row, scales, factor);
                (set.powers)(row, scales, largest, u32::from((set.largest_scale)(scales) >> 11) + 11)
            });
        }
    }
    same("largest_scale", &|set, _| u32::from((set.largest_scale)(scales)));
}

/// Compares the matrix products for a number of tokens, rows and columns.
#[inline(never)]
fn compare_products(
    (tokens, rows, cols): (usize, usize, usize),
    numbers: &mut Numbers,
    wrong: &mut dyn FnMut(&'static str, u32),
) {
    let mut weights = Aligned([0_i8; PRODUCTS]);
    let mut narrow = Aligned([0_i8; PRODUCTS]);
    let mut wide = Aligned([0_i16; PRODUCTS]);
    let (mut sums, mut scales) = ([0; LEN], Aligned([0_u8; LEN]));
    weights.0.iter_mut().for_each(|weight| *weight = numbers.within(127) as i8);
    narrow.0.iter_mut().for_each(|x| *x = numbers.within(127) as i8);
    wide.0.iter_mut().for_each(|x| *x = numbers.within((1 << row_bits(cols)) - 1) as i16);
    sums.iter_mut().for_each(|x| *x = numbers.within(32767) & 32767);
    scales.0.iter_mut().for_each(|x| *x = numbers.next() as u8 & 15);
    let mut same = |what, change: &dyn Fn(&Kernels, &mut [i32])| {
        let [first, second] = sets().map(|set| {
            let mut out = sums;
            change(set, out.get_mut(..tokens * rows).unwrap_or(&mut []));
            out
        });
        if first != second {
            wrong(what, (tokens * 1_000_000 + rows * 10_000 + cols) as u32);
        }
    };
    let (all, sums) = (&weights.0, &sums);
    let (weights, narrow, wide) =
        (part(all, rows * cols), part(&narrow.0, tokens * cols), part(&wide.0, tokens * cols));
    let mut multiply = |[what8, what16]: [&'static str; 2], weights: Weights<'_>| {
        same(what8, &|set, out| set.products8.multiply(out, narrow, &weights, cols, &mut [0; ROOM]));
        same(what16, &|set, out| set.products16.multiply(out, wide, &weights, cols, &mut [0; ROOM]));
    };
    let laid = |layout| Weights { bytes: weights, scales: &[], layout };
    multiply(["tiles8", "tiles16"], laid(WeightLayout::Tiled));
    multiply(["paired8", "paired16"], laid(WeightLayout::Paired));
    if features::WIDE_TILES && rows.is_multiple_of(WIDE_TILE_ROWS) {
        multiply(["wide_tiles8", "wide_tiles16"], laid(WeightLayout::WideTiled));
    }
    multiply(["rows8", "rows16"], laid(WeightLayout::RowMajor));
    for group in [32, 64] {
        if cols.is_multiple_of(8) {
            let layout = WeightLayout::Packed { group };
            let scales = part(&scales.0, rows * cols.div_ceil(at_least_one(group.into())));
            multiply(["packed8", "packed16"], Weights { bytes: part(all, rows * cols / 2), scales, layout });
        }
    }
    for head_dim in [4, 8, 12, 16, 24, 64] {
        let keys = (rows * cols / head_dim.max(1)).min(tokens * rows);
        let (values, query) = (part(all, keys * head_dim), part(wide, head_dim));
        // Attention limits the bits of queries so that no sum overflows.
        same("scores8", &|set, out| (set.scores8)(part_mut(out, keys), query, values));
        let wide_keys = keys.min(wide.len() / head_dim.max(1));
        let mut small = [0; 64];
        small.iter_mut().zip(query).for_each(|(small, &x)| *small = x >> 6);
        same("scores16", &|set, out| {
            (set.scores16)(part_mut(out, wide_keys), part(&small, query.len()), part(wide, wide_keys * head_dim));
        });
        same("weighted_sum", &|set, out| (set.weighted_sum)(part_mut(out, head_dim), part(sums, keys), values));
    }
    // No column is no turn of a loop.
    same("scores8", &|set, out| (set.scores8)(part_mut(out, 3), &[], part(all, 8)));
    same("scores16", &|set, out| (set.scores16)(part_mut(out, 3), &[], part(wide, 8)));
    same("weighted_sum", &|set, _| (set.weighted_sum)(&mut [], part(sums, 3), part(all, 8)));
}

/// Compares row-interleaved products at the largest sums: all weights are -128, and activations are
/// the extremes for rows of `COLS` columns, except the last.
#[inline(never)]
fn compare_extremes(wrong: &mut dyn FnMut(&'static str, u32)) {
    const COLS: usize = 1024;
    const EXTREME: i16 = 1 << row_bits(COLS);
    let mut weights = Aligned([-128_i8; 4 * COLS]);
    weights.0.iter_mut().step_by(2).for_each(|upper| *upper = 0);
    for (at, (x, last)) in [EXTREME, -EXTREME].into_iter().flat_map(|x| [x, x / 2, 0].map(|last| (x, last))).enumerate()
    {
        let mut wide = Aligned([x; 2 * COLS]);
        wide.0.iter_mut().skip(COLS - 1).step_by(COLS).for_each(|x| *x = last);
        for cols in [COLS, COLS / 4] {
            let run = |set: &Kernels| {
                let mut sums = [0; 8];
                let bytes = part(&weights.0, 4 * cols);
                let weights = Weights { bytes, scales: &[], layout: WeightLayout::Paired };
                set.products16.multiply(&mut sums, part(&wide.0, 2 * cols), &weights, cols, &mut [0; ROOM]);
                sums
            };
            let [first, second] = sets().map(run);
            if first != second {
                wrong("paired16", (at * 10_000 + cols) as u32);
            }
        }
    }
}

fn part_mut<T>(values: &mut [T], len: usize) -> &mut [T] {
    let len = len.min(values.len());
    values.get_mut(..len).unwrap_or(&mut [])
}
