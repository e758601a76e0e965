//! GPTQ (arXiv 2210.17323): rounds the weights of a row one by one, and changes the weights that
//! are not yet rounded so that they compensate each rounding error in the layer's output.
//!
//! Written from the paper. `H` is the sum of `x x^T` over the layer's inputs, and `U` the upper
//! triangular factor of its inverse: `H^-1 = U^T U`. The rounding error of weight `j`, divided by
//! `U[j, j]` and multiplied by row `j` of `U`, is subtracted from the weights after `j`.

use crate::calibrate::Products;
use crate::fixed::code;

/// The share of the diagonal's mean that is added to the diagonal, so that weights change little in
/// directions that no input has.
const DAMPING: f64 = 0.01;

/// The number of roundings of a row that [`Factor::search`] keeps.
const PATHS: usize = 4;

/// The factor of a layer's inputs, in the order in which weights are rounded: the largest inputs
/// first.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    order: Vec<usize>,
    /// The rows of `U`; entries left of the diagonal are not used.
    upper: Vec<f64>,
}

impl Factor {
    /// `None` if the inputs are all zero, or not finite.
    pub(super) fn new(products: &Products) -> Option<Self> {
        let n = products.width;
        let diagonal = |i: usize| products.sums[i * n + i];
        let damping = DAMPING * (0..n).map(diagonal).sum::<f64>() / n as f64;
        if damping <= 0.0 || !damping.is_finite() {
            return None;
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| diagonal(b).total_cmp(&diagonal(a)).then(a.cmp(&b)));
        let at = |i: usize, j: usize| products.sums[i.min(j) * n + i.max(j)] + if i == j { damping } else { 0.0 };

        // With reversed indices H = L L^T, so H = R R^T with R upper triangular, and U is the
        // inverse of R.
        let mut lower = vec![0.0; n * n];
        for_blocks(&mut lower, n, |i, row, j, done| {
            let off = dot(&row[..j], &done.unwrap_or(&*row)[..j]);
            let left = at(order[n - 1 - i], order[n - 1 - j]) - off;
            row[j] = done.map_or_else(|| libm::sqrt(left.max(damping * 1e-6)), |done| left / done[j]);
        });
        let mut inverse = vec![0.0; n * n];
        for_blocks(&mut inverse, n, |i, row, j, done| match done {
            Some(done) => subtract(&mut row[..=j], lower[i * n + j], &done[..=j]),
            None => {
                row[i] = 1.0;
                let pivot = lower[i * n + i];
                row[..=i].iter_mut().for_each(|x| *x /= pivot);
            }
        });
        inverse.reverse();
        Some(Self { order, upper: inverse })
    }

    /// The codes of some rows of weights, each in `range`. `scale` gives the scale at a row and
    /// column.
    pub(super) fn round(
        &self,
        rows: &[&[f32]],
        scale: &dyn Fn(usize, usize) -> f64,
        range: (f64, f64),
    ) -> Vec<Vec<i8>> {
        let n = self.order.len();
        let ordered = |row: &&[f32]| self.order.iter().map(|&column| f64::from(row[column])).collect::<Vec<f64>>();
        let mut left: Vec<Vec<f64>> = rows.iter().map(ordered).collect();
        let mut codes = vec![vec![0; n]; rows.len()];
        // Each row of the factor is loaded once for all rows of weights.
        for (j, (&column, upper)) in self.order.iter().zip(self.upper.chunks_exact(n)).enumerate() {
            for (row, (left, codes)) in left.iter_mut().zip(&mut codes).enumerate() {
                let scale = scale(row, column);
                let code = code(left[j], scale, range);
                codes[column] = code as i8;
                let error = (left[j] - code * scale) / upper[j];
                subtract(&mut left[j + 1..], error, &upper[j + 1..]);
            }
        }
        codes
    }

    /// The codes of one row of weights, each in `range`, by a search: at each weight it tries the two
    /// nearest codes after each of the roundings that it keeps, and keeps those with the least error
    /// in the layer's output. `scale` gives the scale at a column.
    pub(super) fn search(&self, row: &[f32], scale: impl Fn(usize) -> f64, range: (f64, f64)) -> Vec<i8> {
        let n = self.order.len();
        let left = self.order.iter().map(|&column| f64::from(row[column])).collect();
        let mut paths = vec![Path { off: 0.0, codes: Vec::new(), left }];
        for (j, &column) in self.order.iter().enumerate() {
            let (scale, upper) = (scale(column), &self.upper[j * n + j..][..n - j]);
            let mut steps = Vec::with_capacity(2 * PATHS);
            for path in &paths {
                let weight = path.left[0];
                let nearest = code(weight, scale, range);
                let second = nearest + if weight > nearest * scale { 1.0 } else { -1.0 };
                let has_second = scale > 0.0 && (range.0..=range.1).contains(&second);
                for code in [nearest, second].into_iter().take(1 + usize::from(has_second)) {
                    let error = (weight - code * scale) / upper[0];
                    steps.push((path.off + error * error, path, code, error));
                }
            }
            steps.sort_by(|a, b| a.0.total_cmp(&b.0));
            steps.truncate(PATHS);
            paths = steps.into_iter().map(|(off, path, code, error)| path.then(off, code, error, upper)).collect();
        }
        let mut codes = vec![0; n];
        let best = paths.first().map_or(&[][..], |path| &path.codes);
        self.order.iter().zip(best).for_each(|(&column, code)| codes[column] = *code);
        codes
    }

    /// The change of a row of weights with the least squared error, if `wanted` is the sum of the
    /// products of each input and the wanted change of the output.
    pub(super) fn regress(&self, wanted: &[f64]) -> Vec<f64> {
        let n = self.order.len();
        let wanted: Vec<f64> = self.order.iter().map(|&column| wanted[column]).collect();
        let mut ordered = vec![0.0; n];
        for (j, upper) in self.upper.chunks_exact(n).enumerate() {
            let along = dot(&upper[j..], &wanted[j..]);
            subtract(&mut ordered[j..], -along, &upper[j..]);
        }
        let mut change = vec![0.0; n];
        self.order.iter().zip(ordered).for_each(|(&column, x)| change[column] = x);
        change
    }
}

/// A rounding of the first weights of a row.
struct Path {
    /// The squared error of the layer's output.
    off: f64,
    codes: Vec<i8>,
    /// The weights that are not yet rounded.
    left: Vec<f64>,
}

impl Path {
    /// The rounding that continues with `code`. `error` is that of this weight, divided by the
    /// first number of `upper`.
    fn then(&self, off: f64, code: f64, error: f64, upper: &[f64]) -> Self {
        let left = self.left.iter().zip(upper).skip(1).map(|(left, upper)| left - error * upper).collect();
        let mut codes = self.codes.clone();
        codes.push(code as i8);
        Self { off, codes, left }
    }
}

/// The number of rows of a triangular matrix that are computed together, so that each earlier row
/// is loaded once for all of them.
const BLOCK: usize = 8;

/// Calls `step` for each row `i` of an `n * n` matrix and each `j` up to `i`, in ascending order of
/// `j`: with the completed row `j`, or with `None` if `j` is `i`.
fn for_blocks(matrix: &mut [f64], n: usize, step: impl Fn(usize, &mut [f64], usize, Option<&[f64]>)) {
    for first in (0..n).step_by(BLOCK) {
        let (before, block) = matrix.split_at_mut(first * n);
        for (j, done) in before.chunks_exact(n).enumerate() {
            for (i, row) in (first..n).zip(block.chunks_exact_mut(n).take(BLOCK)) {
                step(i, row, j, Some(done));
            }
        }
        for i in first..n.min(first + BLOCK) {
            let (before, row) = block.split_at_mut((i - first) * n);
            for (j, done) in (first..).zip(before.chunks_exact(n)) {
                step(i, &mut row[..n], j, Some(done));
            }
            step(i, &mut row[..n], i, None);
        }
    }
}

/// `a . b`, in eight partial sums.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// `to -= factor * from`.
fn subtract(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to -= factor * from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 24;

    /// Correlated rows: sums of three directions, with a little noise.
    fn rows() -> Vec<[f64; WIDTH]> {
        let direction = |which: usize, at: usize| libm::sin((at * (which + 2) + which) as f64 * 0.7);
        let row = |n: usize| {
            core::array::from_fn(|at| {
                let along = |which: usize| libm::cos((n * (which + 1)) as f64 * 1.3) * direction(which, at);
                along(0) + along(1) + along(2) + 0.05 * libm::sin((n * WIDTH + at) as f64 * 12.9898)
            })
        };
        (0..60).map(row).collect()
    }

    fn products() -> Products {
        let mut sums = vec![0.0; WIDTH * WIDTH];
        for row in rows() {
            for i in 0..WIDTH {
                (i..WIDTH).for_each(|j| sums[i * WIDTH + j] += row[i] * row[j]);
            }
        }
        Products { width: WIDTH, sums }
    }

    #[test]
    fn the_factor_is_that_of_the_inverse() {
        let products = products();
        let factor = Factor::new(&products).expect("inputs to go by");
        let damping = DAMPING * (0..WIDTH).map(|i| products.sums[i * WIDTH + i]).sum::<f64>() / WIDTH as f64;
        // H U^T U is the identity, in the order of the factor.
        for i in 0..WIDTH {
            for j in 0..WIDTH {
                let inverse = |a: usize, b: usize| {
                    (0..=a.min(b)).map(|k| factor.upper[k * WIDTH + a] * factor.upper[k * WIDTH + b]).sum::<f64>()
                };
                let h = |a: usize, b: usize| {
                    let (a, b) = (factor.order[a], factor.order[b]);
                    products.sums[a.min(b) * WIDTH + a.max(b)] + if a == b { damping } else { 0.0 }
                };
                let entry: f64 = (0..WIDTH).map(|k| h(i, k) * inverse(k, j)).sum();
                assert!((entry - f64::from(i == j)).abs() < 1e-6, "entry {i}, {j} is {entry}");
            }
        }
    }

    #[test]
    fn the_output_is_off_by_less_than_with_plain_rounding() {
        let factor = Factor::new(&products()).expect("inputs to go by");
        for seed in 0..20 {
            let weights: [f32; WIDTH] = core::array::from_fn(|at| libm::sinf((at * 7 + seed * 13) as f32));
            let scale = 1.0 / 127.0;
            let off = |codes: &[f64]| {
                let error = |row: &[f64; WIDTH]| -> f64 {
                    row.iter().zip(codes).zip(weights).map(|((x, code), w)| x * (code * scale - f64::from(w))).sum()
                };
                rows().iter().map(|row| error(row) * error(row)).sum::<f64>()
            };
            let plain: Vec<f64> = weights
                .iter()
                .map(|&w| crate::fixed::round_half_even(f64::from(w) / scale).clamp(-127.0, 127.0))
                .collect();
            let codes = factor.round(&[&weights], &|_, _| scale, (-127.0, 127.0)).remove(0);
            assert!(codes.iter().all(|code| *code != i8::MIN));
            let codes: Vec<f64> = codes.into_iter().map(f64::from).collect();
            assert!(off(&codes) < 0.5 * off(&plain), "seed {seed}: {} against {}", off(&codes), off(&plain));
        }
    }

    #[test]
    fn a_search_is_off_by_less_than_rounding_in_one_pass() {
        let factor = Factor::new(&products()).expect("inputs to go by");
        let (mut one_pass, mut searched, scale, range) = (0.0, 0.0, 0.15, (-8.0, 7.0));
        for seed in 0..20 {
            let weights: [f32; WIDTH] = core::array::from_fn(|at| libm::sinf((at * 7 + seed * 13) as f32));
            let off = |codes: &[i8]| {
                let error = |row: &[f64; WIDTH]| -> f64 {
                    let each = row.iter().zip(codes).zip(weights);
                    each.map(|((x, code), w)| x * (f64::from(*code) * scale - f64::from(w))).sum()
                };
                rows().iter().map(|row| error(row) * error(row)).sum::<f64>()
            };
            one_pass += off(&factor.round(&[&weights], &|_, _| scale, range)[0]);
            let codes = factor.search(&weights, |_| scale, range);
            assert!(codes.iter().all(|code| (-8..=7).contains(code)));
            searched += off(&codes);
        }
        assert!(searched < 0.9 * one_pass, "{searched} against {one_pass}");
    }

    #[test]
    fn a_regression_finds_the_change_that_the_outputs_want() {
        let factor = Factor::new(&products()).expect("inputs to go by");
        let change: [f64; WIDTH] = core::array::from_fn(|at| libm::sin((at * 5) as f64));
        let mut wanted = [0.0; WIDTH];
        for row in rows() {
            let output: f64 = row.iter().zip(change).map(|(x, w)| x * w).sum();
            wanted.iter_mut().zip(row).for_each(|(sum, x)| *sum += output * x);
        }
        let found = factor.regress(&wanted);
        let size = |change: &[f64]| -> f64 {
            let output = |row: &[f64; WIDTH]| -> f64 { row.iter().zip(change).map(|(x, w)| x * w).sum() };
            rows().iter().map(|row| output(row) * output(row)).sum()
        };
        let missing: Vec<f64> = found.iter().zip(change).map(|(found, wanted)| found - wanted).collect();
        assert!(size(&missing) < 0.01 * size(&change), "{} of {}", size(&missing), size(&change));
    }

    #[test]
    fn inputs_that_were_never_seen_leave_plain_rounding() {
        assert!(Factor::new(&Products { width: 2, sums: vec![0.0; 4] }).is_none());
        assert!(Factor::new(&Products { width: 1, sums: vec![f64::NAN] }).is_none());
    }
}
