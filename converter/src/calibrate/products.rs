//! Sums the outer products of a layer's inputs.

use rayon::prelude::*;

/// The number of columns in a panel, whose products are summed together.
const COLUMNS: usize = 8;
/// The number of rows at which two panels fit the L1 cache.
const ROWS: usize = 256;

/// The sum of `x x^T`, `[width, width]`, over the inputs `x` of a layer; only its upper triangle is
/// valid.
#[derive(Clone, Debug)]
pub struct Products {
    /// The length of a row of `x`.
    pub width: usize,
    /// The rows of the matrix.
    pub sums: Vec<f64>,
}

impl Products {
    /// A sum of no products.
    pub(crate) fn new(width: usize) -> Self {
        Self { width, sums: vec![0.0; width * width] }
    }

    /// Adds `x x^T` for each row. Each sum is computed in the order of the rows, whatever the
    /// number of threads.
    pub(crate) fn add(&mut self, rows: &[&[f32]]) {
        let width = self.width;
        for rows in rows.chunks(ROWS) {
            let panel = |first: usize| {
                let columns = |row: &&[f32]| core::array::from_fn(|at| row.get(first + at).map_or(0.0, |&x| x.into()));
                rows.iter().map(columns).collect::<Vec<[f64; COLUMNS]>>()
            };
            let panels: Vec<_> = (0..width).step_by(COLUMNS).map(panel).collect();
            let tasks = self.sums.par_chunks_mut(COLUMNS * width).zip(&panels).enumerate();
            tasks.for_each(|(first, (sums, left))| {
                for (at, right) in panels.iter().enumerate().skip(first) {
                    for (column, sums) in sums.chunks_exact_mut(width).enumerate() {
                        let sums = &mut sums[at * COLUMNS..];
                        let len = sums.len().min(COLUMNS);
                        let mut tile = [0.0; COLUMNS];
                        tile[..len].copy_from_slice(&sums[..len]);
                        for (left, right) in left.iter().zip(right) {
                            for (sum, x) in tile.iter_mut().zip(right) {
                                *sum += left[column] * x;
                            }
                        }
                        sums[..len].copy_from_slice(&tile[..len]);
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_give_the_sums_of_the_definition_bit_for_bit() {
        for (width, count) in [(1, 3), (7, 300), (8, 256), (21, 517)] {
            let rows: Vec<Vec<f32>> = (0..count)
                .map(|row| (0..width).map(|at| libm::sinf((row * width + at) as f32 * 12.9898)).collect())
                .collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let mut products = Products::new(width);
            let (first, second) = rows.split_at(count / 3);
            products.add(first);
            products.add(second);
            for i in 0..width {
                for j in i..width {
                    let sum = rows.iter().fold(0.0, |sum, row| sum + f64::from(row[i]) * f64::from(row[j]));
                    assert_eq!(products.sums[i * width + j], sum, "{i}, {j} of {width}");
                }
            }
        }
    }
}
