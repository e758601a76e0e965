//! Matrix products of activations and weights.

#[cfg(any(kinglet_thumb2, target_arch = "riscv32"))]
use bytemuck::cast_slice_mut;

use crate::format::places::TILE;
#[cfg(any(kinglet_thumb2, target_arch = "riscv32"))]
use crate::format::places::tile_place;

/// The dot product. Exact, because callers bound the factors so that every sum fits an `i32`.
#[inline(always)]
pub(crate) fn dot<A: Copy + Into<i32>, B: Copy + Into<i32>>(a: &[A], b: &[B]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| a.into().wrapping_mul(b.into())).fold(0, i32::wrapping_add)
}

/// Iterates over the tokens: a row of activations, and a row of sums. Equivalent to a zip of
/// `chunks_exact`, but without its division, which could panic.
pub(crate) fn tokens<'a, X>(
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
pub(crate) fn matmul<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
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

/// A product with 8-bit activations, which are widened in `room` to use the 16-bit product: for
/// cores on which multiplying bytes is not faster. Returns `false` if there is too little room.
#[cfg(any(kinglet_thumb2, target_arch = "riscv32"))]
pub(crate) fn widened_in(
    room: &mut [i32],
    out: &mut [i32],
    x: &[i8],
    weights: &[i8],
    cols: usize,
    tiles16: fn(&mut [i32], &[i16], &[i8], usize),
) -> bool {
    let Some(wide) = cast_slice_mut(room).get_mut(..cols) else { return false };
    for (x, out) in tokens(x, cols, out, weights.len() / cols.max(1)) {
        for (wide, &narrow) in wide.iter_mut().zip(x) {
            *wide = narrow.into();
        }
        tiles16(out, wide, weights, cols);
    }
    true
}

/// Columns of weights in other layouts that are converted to tiles at a time, which [`widened`] has
/// room for.
pub(crate) const COLUMNS: usize = 128;

/// [`widened_in`] a small buffer on the stack, for weights that are converted to tiles; with more than
/// [`COLUMNS`] columns, it multiplies slowly.
#[cfg(any(kinglet_thumb2, target_arch = "riscv32"))]
pub(crate) fn widened(
    out: &mut [i32],
    x: &[i8],
    weights: &[i8],
    cols: usize,
    tiles16: fn(&mut [i32], &[i16], &[i8], usize),
) {
    if !widened_in(&mut [0; COLUMNS / 2], out, x, weights, cols, tiles16) {
        tiles_at_places(out, x, weights, cols);
    }
}

/// A product over tiled weights, four rows at a time: also the fastest order for cores that do not
/// multiply pairs.
#[inline(always)]
pub(crate) fn tiles<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
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

/// [`tiles`] in less code, for shapes that no model has.
#[cfg(any(kinglet_thumb2, target_arch = "riscv32"))]
#[cold]
pub(crate) fn tiles_at_places<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
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
