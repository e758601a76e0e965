//! The definition of every kernel, written for the eye. Any other set must give these bits.

use super::Kernels;

/// Runs anywhere.
pub(crate) static SCALAR: Kernels = Kernels {
    name: "scalar",
    matmul8: |out, x, weights, cols| matmul(out, x, weights, cols),
    matmul16: |out, x, weights, cols| matmul(out, x, weights, cols),
    scores8: |out, query, keys| scores(out, query, keys),
    scores16: |out, query, keys| scores(out, query, keys),
    weighted_sum,
};

/// The sum of products. Exact: callers bound the factors so that no sum leaves an `i32`.
#[inline(always)]
fn dot<A: Copy + Into<i32>, B: Copy + Into<i32>>(a: &[A], b: &[B]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| a.into().wrapping_mul(b.into())).fold(0, i32::wrapping_add)
}

#[inline(always)]
fn matmul<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
    let cols = cols.max(1);
    let rows = weights.len() / cols;
    for (row, weights) in weights.chunks_exact(cols).enumerate() {
        for (x, out) in x.chunks_exact(cols).zip(out.chunks_exact_mut(rows)) {
            if let Some(out) = out.get_mut(row) {
                *out = dot(x, weights);
            }
        }
    }
}

#[inline(always)]
fn scores<K: Copy + Into<i32>>(out: &mut [i32], query: &[i8], keys: &[K]) {
    for (out, key) in out.iter_mut().zip(keys.chunks_exact(query.len().max(1))) {
        *out = dot(query, key);
    }
}

fn weighted_sum(out: &mut [i32], weights: &[u8], values: &[i8]) {
    for (&weight, value) in weights.iter().zip(values.chunks_exact(out.len().max(1))) {
        for (out, &value) in out.iter_mut().zip(value) {
            *out = out.wrapping_add(i32::from(weight) * i32::from(value));
        }
    }
}
