//! Rows of real numbers, and the operations on them.

use kinglet::format::spec::{NormKind, NormSpec};

/// Vectors of one width, stored one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The length of a row.
    pub width: usize,
    /// The rows, one after the other.
    pub values: Vec<f32>,
}

impl Rows {
    /// The rows in order.
    pub fn rows(&self) -> core::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// The rows in order, mutable.
    pub fn rows_mut(&mut self) -> core::slice::ChunksExactMut<'_, f32> {
        self.values.chunks_exact_mut(self.width.max(1))
    }

    /// The rows of a table at the given indices.
    pub(crate) fn gather(table: &[f32], width: usize, indices: impl IntoIterator<Item = usize>) -> Self {
        let rows = indices.into_iter().flat_map(|index| &table[index * width..][..width]);
        Self { width, values: rows.copied().collect() }
    }
}

impl Rows {
    /// For each row, the rows at the relative `places` joined to one row, with zeros beyond the
    /// ends.
    pub(crate) fn neighbours(&self, places: &[isize]) -> Self {
        let rows: Vec<&[f32]> = self.rows().collect();
        let zeros = vec![0.0; self.width];
        let mut values = Vec::with_capacity(self.values.len() * places.len());
        for at in 0..rows.len() {
            for &place in places {
                let seen = at.checked_add_signed(place).and_then(|at| rows.get(at).copied());
                values.extend_from_slice(seen.unwrap_or(&zeros));
            }
        }
        Self { width: self.width * places.len(), values }
    }

    /// Each row followed by the row of `other` at its index.
    pub(crate) fn beside(&self, other: &Self) -> Self {
        let rows = self.rows().zip(other.rows()).flat_map(|(row, other)| row.iter().chain(other));
        Self { width: self.width + other.width, values: rows.copied().collect() }
    }
}

/// `a . b`, in sixteen partial sums, which the compiler can vectorize. No order of summation is
/// more exact.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sums = [0.0; 16];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// `x W^T + b`, with `W` as `[outputs, inputs]`. An empty `bias` is none.
pub(crate) fn linear(weight: &[f32], bias: &[f32], x: &Rows) -> Rows {
    let outputs = weight.len() / x.width;
    let mut values = vec![0.0; x.rows().len() * outputs];
    // The outer loop is over weights, so that each is loaded once for all tokens.
    for (output, weight) in weight.chunks_exact(x.width).enumerate() {
        let bias = bias.get(output).copied().unwrap_or(0.0);
        for (token, x) in x.rows().enumerate() {
            values[token * outputs + output] = dot(x, weight) + bias;
        }
    }
    Rows { width: outputs, values }
}

/// Applies a norm to each row.
pub(crate) fn norm(spec: &NormSpec, weight: &[f32], bias: &[f32], x: &Rows) -> Rows {
    let size = x.width as f32;
    // The specification has `epsilon * size`.
    let epsilon = libm::ldexp(spec.epsilon as f64, -48) as f32 / size;
    let mut out = x.clone();
    for row in out.rows_mut() {
        if spec.kind == NormKind::Affine {
            for (at, x) in row.iter_mut().enumerate() {
                *x = *x * weight[at] + bias.get(at).copied().unwrap_or(0.0);
            }
            continue;
        }
        if spec.kind == NormKind::Layer {
            let mean = row.iter().sum::<f32>() / size;
            row.iter_mut().for_each(|x| *x -= mean);
        }
        let scale = 1.0 / libm::sqrtf(dot(row, row) / size + epsilon);
        for (at, x) in row.iter_mut().enumerate() {
            *x = *x * scale * weight[at] + bias.get(at).copied().unwrap_or(0.0);
        }
    }
    out
}

/// The largest magnitude; 0 if there are no values.
pub(crate) fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |most: f64, x| most.max(f64::from(x.abs())))
}

/// `x += y`.
pub(crate) fn add(x: &mut Rows, y: &Rows) {
    x.values.iter_mut().zip(&y.values).for_each(|(x, y)| *x += y);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_do_what_the_papers_say() {
        let x = Rows { width: 4, values: vec![1.0, 2.0, 3.0, 6.0] };
        let epsilon = libm::ldexp(0.5 * 4.0, 48) as u64;
        let layer = NormSpec { kind: NormKind::Layer, bias: true, epsilon };
        let out = norm(&layer, &[1.0, 1.0, 2.0, 1.0], &[0.0, 0.0, 0.0, 10.0], &x);
        // Mean 3, variance 3.5, so everything is divided by 2.
        assert_eq!(out.values, [-1.0, -0.5, 0.0, 11.5]);
        let rms = NormSpec { kind: NormKind::Rms, bias: false, epsilon: 0 };
        let out = norm(&rms, &[1.0; 4], &[], &Rows { width: 4, values: vec![3.0, 3.0, -3.0, -3.0] });
        assert_eq!(out.values, [1.0, 1.0, -1.0, -1.0]);
    }
}
