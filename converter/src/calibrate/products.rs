//! Sums of products of what a layer reads.

use rayon::prelude::*;

/// Columns whose products are summed together: a panel.
const COLUMNS: usize = 8;
/// Rows of which two panels stay in the nearest cache.
const ROWS: usize = 256;

/// The sum of `x x^T`, `[width, width]`, over the inputs `x` of a layer; only its upper half is
/// kept up.
#[derive(Clone, Debug)]
pub struct Products {
    /// Numbers in a row of `x`.
    pub width: usize,
    /// Row after row.
    pub sums: Vec<f64>,
}

impl Products {
    /// Of no rows.
    pub(crate) fn new(width: usize) -> Self {
        Self { width, sums: vec![0.0; width * width] }
    }

    /// Adds `x x^T` of each row. Each sum has its terms in the order of the rows, whatever the
    /// threads.
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
