//! The definition of every kernel, written for the eye. Any other set must give these bits.

use super::attend::ScoreFactor;
use super::table::Kernels;
use crate::fixed::{Scale, multiply, quantize8, quantize16, shift_round};
use crate::format::places::TILE;
#[cfg(kinglet_dsp)]
use crate::format::places::tile_place;
use crate::ops::softmax::{MAX_SCORE, exp2_neg};
use crate::position::rotate;

/// Runs anywhere.
pub(crate) static SCALAR: Kernels = Kernels {
    name: "scalar",
    matmul8: |out, x, weights, cols| matmul(out, x, weights, cols),
    matmul16: |out, x, weights, cols| matmul(out, x, weights, cols),
    tiles8: |out, x, weights, cols| tiles(out, x, weights, cols),
    tiles16: |out, x, weights, cols| tiles(out, x, weights, cols),
    packed16: None,
    paired8: None,
    paired16: None,
    wide_tiles8: None,
    wide_tiles16: None,
    requantize: |accumulators, multipliers, biases, by| by.apply(accumulators, multipliers, biases),
    add: |row, other| add(row, other),
    quantize8: |out, row| quantize8(out, row),
    quantize16: |out, row, bits| quantize16(out, row, bits),
    norm: |row, by| by.apply(row),
    rotate: |row, angles, head_dim| rotate(row, angles, head_dim),
    rectify,
    gate: |values, gates, fraction_bits| gate(values, gates, fraction_bits),
    scores8: |out, query, keys| scores(out, query, keys),
    scores16: |out, query, keys| scores(out, query, keys),
    scale_scores,
    powers,
    weighted_sum,
    #[cfg(feature = "std")]
    attend: None,
};

/// The sum of products. Exact: callers bound the factors so that no sum leaves an `i32`.
#[inline(always)]
fn dot<A: Copy + Into<i32>, B: Copy + Into<i32>>(a: &[A], b: &[B]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| a.into().wrapping_mul(b.into())).fold(0, i32::wrapping_add)
}

/// Each token's activations with its sums. What a zip of chunks would do, without a division that could panic.
pub(super) fn tokens<'a, X>(
    mut x: &'a [X],
    cols: usize,
    mut out: &'a mut [i32],
    rows: usize,
) -> impl Iterator<Item = (&'a [X], &'a mut [i32])> {
    core::iter::from_fn(move || {
        let (activations, others) = x.split_at_checked(cols).filter(|(first, _)| !first.is_empty())?;
        let (sums, rest) = core::mem::take(&mut out).split_at_mut_checked(rows)?;
        (x, out) = (others, rest);
        Some((activations, sums))
    })
}

#[inline(always)]
pub(super) fn matmul<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
    let cols = cols.max(1);
    let rows = weights.len() / cols;
    for (row, weights) in weights.chunks_exact(cols).enumerate() {
        for (x, out) in tokens(x, cols, out, rows) {
            if let Some(out) = out.get_mut(row) {
                *out = dot(x, weights);
            }
        }
    }
}

/// Columns of a row that is widened on the stack.
#[cfg(any(all(kinglet_thumb2, not(kinglet_dsp)), target_arch = "riscv32"))]
const WIDENED: usize = 512;

/// The product over eight-bit activations by that over sixteen-bit ones, where multiplying bytes is no faster.
#[cfg(any(all(kinglet_thumb2, not(kinglet_dsp)), target_arch = "riscv32"))]
pub(super) fn widened(
    out: &mut [i32],
    x: &[i8],
    weights: &[i8],
    cols: usize,
    tiles16: fn(&mut [i32], &[i16], &[i8], usize),
) {
    #[repr(align(4))]
    struct Row([i16; WIDENED]);
    let mut row = Row([0; WIDENED]);
    let Some(wide) = row.0.get_mut(..cols) else { return tiles(out, x, weights, cols) };
    for (x, out) in tokens(x, cols, out, weights.len() / cols.max(1)) {
        for (wide, &narrow) in wide.iter_mut().zip(x) {
            *wide = narrow.into();
        }
        tiles16(out, wide, weights, cols);
    }
}

/// Four rows at a time, which is also the fastest way that a core without a multiplier of pairs has.
#[inline(always)]
fn tiles<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
    let cols = cols.max(1);
    let rows = weights.len() / cols;
    for (block, weights) in weights.chunks_exact((TILE * cols).max(1)).enumerate() {
        for (x, out) in tokens(x, cols, out, rows) {
            let mut sums = [0_i32; TILE];
            for (x, tile) in x.as_chunks::<TILE>().0.iter().zip(weights.as_chunks::<{ TILE * TILE }>().0) {
                let [x0, x1, x2, x3] = x.map(Into::into);
                let [a0, a2, a1, a3, b0, b2, b1, b3, c0, c2, c1, c3, d0, d2, d1, d3] = tile.map(i32::from);
                let [a, b, c, d] = &mut sums;
                *a = a.wrapping_add(x0.wrapping_mul(a0)).wrapping_add(x1.wrapping_mul(a1));
                *b = b.wrapping_add(x0.wrapping_mul(b0)).wrapping_add(x1.wrapping_mul(b1));
                *c = c.wrapping_add(x0.wrapping_mul(c0)).wrapping_add(x1.wrapping_mul(c1));
                *d = d.wrapping_add(x0.wrapping_mul(d0)).wrapping_add(x1.wrapping_mul(d1));
                *a = a.wrapping_add(x2.wrapping_mul(a2)).wrapping_add(x3.wrapping_mul(a3));
                *b = b.wrapping_add(x2.wrapping_mul(b2)).wrapping_add(x3.wrapping_mul(b3));
                *c = c.wrapping_add(x2.wrapping_mul(c2)).wrapping_add(x3.wrapping_mul(c3));
                *d = d.wrapping_add(x2.wrapping_mul(d2)).wrapping_add(x3.wrapping_mul(d3));
            }
            for (out, sum) in out.iter_mut().skip(TILE * block).zip(sums) {
                *out = sum;
            }
        }
    }
}

/// The same in few instructions, for shapes that no model has.
#[cfg(kinglet_dsp)]
#[cold]
pub(super) fn tiles_at_places<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    for (x, out) in tokens(x, cols, out, rows) {
        for (row, out) in out.iter_mut().enumerate() {
            *out = x.iter().enumerate().fold(0, |sum, (col, &x)| {
                let weight = weights.get(tile_place(row, col, cols)).copied().unwrap_or(0);
                sum.wrapping_add(x.into().wrapping_mul(weight.into()))
            });
        }
    }
}

#[inline(always)]
fn scores<K: Copy + Into<i32>>(out: &mut [i32], query: &[i16], keys: &[K]) {
    for (out, key) in out.iter_mut().zip(keys.chunks_exact(query.len().max(1))) {
        *out = dot(query, key);
    }
}

fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let mut largest = i32::MIN;
    for (score, &key) in scores.iter_mut().zip(keys) {
        let key = Scale::from_bits(key);
        let product = (*score >> (factor.narrow & 31)).wrapping_mul(key.mantissa());
        let shift = factor.shift - key.exponent();
        *score = match shift {
            0.. => product >> shift.min(31),
            _ => shift_round(product, shift).clamp(-MAX_SCORE, MAX_SCORE),
        };
        largest = largest.max(*score);
    }
    largest
}

fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let mut sum = 0_u32;
    for (score, &value) in scores.iter_mut().zip(values) {
        let power = exp2_neg(largest.wrapping_sub(*score));
        sum = sum.wrapping_add(power);
        let shift = lowered.wrapping_sub(u32::from(value >> 11)).min(31);
        *score = ((power * u32::from(value & 0x7ff)) >> shift) as i32;
    }
    sum
}

#[inline(always)]
pub(super) fn add(row: &mut [i32], other: &[i32]) {
    for (x, &y) in row.iter_mut().zip(other) {
        *x = x.saturating_add(y);
    }
}

#[inline(always)]
pub(super) fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
    for (value, &gate) in values.iter_mut().zip(gates) {
        *value = multiply(*value, gate, fraction_bits);
    }
}

fn rectify(values: &mut [i32], table: &[i16]) {
    let last = table.last().map_or(0, |&last| i16::from_le(last).into());
    for x in values {
        let magnitude = x.saturating_abs();
        let pair = table.get((magnitude >> 10) as usize..).and_then(|table| table.first_chunk());
        let even = pair.map_or(last, |pair| {
            let [low, high] = pair.map(|value| i32::from(i16::from_le(value)));
            low + (((high - low) * (magnitude & 1023)) >> 10)
        });
        *x = (*x).max(0).saturating_add(even);
    }
}

/// Four sums at a time stay in registers.
fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let width = out.len().max(1);
    for (index, out) in out.chunks_mut(TILE).enumerate() {
        let values = values.get(TILE * index..).unwrap_or(&[]).chunks(width);
        if let Ok(out) = <&mut [i32; TILE]>::try_from(&mut *out) {
            let [mut a, mut b, mut c, mut d] = *out;
            for (&weight, value) in weights.iter().zip(values) {
                let Some(&[va, vb, vc, vd]) = value.first_chunk() else { break };
                a = a.wrapping_add(weight.wrapping_mul(va.into()));
                b = b.wrapping_add(weight.wrapping_mul(vb.into()));
                c = c.wrapping_add(weight.wrapping_mul(vc.into()));
                d = d.wrapping_add(weight.wrapping_mul(vd.into()));
            }
            *out = [a, b, c, d];
        } else {
            for (&weight, value) in weights.iter().zip(values) {
                add_weighted(out, weight, value);
            }
        }
    }
}

/// The same in few instructions, for heads that few models have.
#[cfg(kinglet_dsp)]
#[cold]
pub(super) fn weighted_sum_of_any(out: &mut [i32], weights: &[i32], values: &[i8]) {
    for (&weight, value) in weights.iter().zip(values.chunks(out.len().max(1))) {
        add_weighted(out, weight, value);
    }
}

fn add_weighted(out: &mut [i32], weight: i32, value: &[i8]) {
    for (out, &value) in out.iter_mut().zip(value) {
        *out = out.wrapping_add(weight.wrapping_mul(value.into()));
    }
}
