//! Shares the matrix products of single tokens with other cores of a microcontroller.

use core::mem;

use heapless::Vec;

use crate::format::places::WIDE_TILE_ROWS;
use crate::kernels::Kernels;
use crate::model::Matrix;
use crate::ops::linear::{QuantizedRows, linear};

/// The most cores that share a matrix.
const MAX_CORES: usize = 4;

/// The fewest weights of a matrix that is shared: handing over work takes some hundred
/// instructions.
const LEAST_WEIGHTS: usize = 1 << 11;

/// The cores of a chip, provided by firmware: see
/// [`Session::set_cores`](crate::Session::set_cores).
///
/// ```
/// use kinglet::Cores;
///
/// /// Two threads, in place of a microcontroller's two cores.
/// struct Two;
///
/// impl Cores for Two {
///     fn count(&self) -> usize {
///         2
///     }
///
///     fn run(&self, work: &mut [&mut (dyn FnMut() + Send)]) {
///         std::thread::scope(|scope| {
///             let mut work = work.iter_mut();
///             let mine = work.next();
///             work.for_each(|others| {
///                 scope.spawn(|| others());
///             });
///             mine.into_iter().for_each(|mine| mine());
///         });
///     }
/// }
/// # let mut sum = [0; 2];
/// # let [a, b] = &mut sum;
/// # Two.run(&mut [&mut || *a = 1, &mut || *b = 2]);
/// # assert_eq!(sum, [1, 2]);
/// ```
pub trait Cores: Sync {
    /// The number of cores, including the caller's. At most four are used.
    fn count(&self) -> usize;

    /// Calls every function of `work` once, the first on the caller's core and each other one on
    /// another core, and returns when all have returned. `work` has at most
    /// [`count`](Self::count) functions, each of which needs about three kilobytes of stack.
    fn run(&self, work: &mut [&mut (dyn FnMut() + Send)]);
}

/// The cores other than the caller's.
#[derive(Clone, Default)]
pub(crate) struct Others {
    cores: Option<&'static dyn Cores>,
}

impl Others {
    pub(crate) fn of(cores: &'static dyn Cores) -> Self {
        Self { cores: Some(cores) }
    }

    /// Computes [`linear`]. If there are other cores, `x` is one row, and the rows of the matrix and
    /// the room are shared.
    pub(crate) fn linear(
        &self,
        kernels: &Kernels,
        x: &QuantizedRows<'_>,
        matrix: &Matrix<'_>,
        mut room: &mut [i32],
        out: &mut [i32],
    ) {
        let large = |cores: &&&dyn Cores| cores.count() > 1 && matrix.rows * matrix.cols >= LEAST_WEIGHTS;
        let Some(cores) = self.cores.as_ref().filter(large) else {
            return linear(kernels, x, matrix, room, out);
        };
        let out = out.get_mut(..matrix.rows).unwrap_or(&mut []);
        // A multiple of the rows of any tile.
        let count = cores.count().min(MAX_CORES);
        let share = matrix.rows.div_ceil(count).next_multiple_of(WIDE_TILE_ROWS);
        let share_of_room = room.len() / count.max(1);
        let mut pieces: Vec<_, MAX_CORES> = Vec::new();
        for (index, out) in out.chunks_mut(share).enumerate() {
            let first = index * share;
            let (own, rest) = mem::take(&mut room).split_at_mut_checked(share_of_room).unwrap_or_default();
            room = rest;
            // Cannot fail: there are at most `MAX_CORES` shares.
            _ = pieces.push(move || linear(kernels, x, &matrix.rows(first, out.len()), own, out));
        }
        let mut work: Vec<&mut (dyn FnMut() + Send), MAX_CORES> = Vec::new();
        for piece in &mut pieces {
            _ = work.push(piece);
        }
        cores.run(&mut work);
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, vec};

    use super::*;
    use crate::format::spec::{ActivationWidth, WeightLayout};
    use crate::kernels::Weights;
    use crate::model::Words;
    use crate::ops::linear::quantize_rows;

    /// Threads in place of cores.
    struct Host(usize);

    impl Cores for Host {
        fn count(&self) -> usize {
            self.0
        }

        fn run(&self, work: &mut [&mut (dyn FnMut() + Send)]) {
            assert!(work.len() > 1 && work.len() <= self.0, "{} pieces for {} cores", work.len(), self.0);
            thread::scope(|scope| {
                work.iter_mut().for_each(|work| {
                    scope.spawn(|| work());
                });
            });
        }
    }

    #[test]
    fn a_row_times_a_matrix_is_the_same_bits_for_any_number_of_cores_in_every_layout() {
        const COLS: usize = 64;
        let kernels = Kernels::best();
        let hosts: [&'static Host; 4] = [&Host(1), &Host(2), &Host(3), &Host(4)];
        for rows in [LEAST_WEIGHTS / COLS, 192, 199, 512] {
            let weights: std::vec::Vec<i8> = (0..rows * COLS).map(|n| (n * 7919 / 8) as i8).collect();
            let scales = vec![9; rows * COLS / 32];
            let numbers: std::vec::Vec<i32> = (1 << 30..).take(rows).collect();
            let (mut buffer, mut row_scales) = ([0; COLS], [0]);
            let row: std::vec::Vec<i32> = (0..COLS as i32).map(|n| (n * n * 97 % 5003 - 2500) << 6).collect();
            quantize_rows(kernels, ActivationWidth::A8, &row, COLS, &mut buffer, &mut row_scales);
            let x = QuantizedRows::new(ActivationWidth::A8, 1, COLS, &buffer, &row_scales);
            let packed = WeightLayout::Packed { group: 32 };
            let tiled = [WeightLayout::Tiled, WeightLayout::WideTiled, WeightLayout::Paired, packed];
            let layouts = tiled.into_iter().filter(|_| rows.is_multiple_of(WIDE_TILE_ROWS));
            for layout in layouts.chain([WeightLayout::RowMajor]) {
                let (bytes, scales) = match layout {
                    WeightLayout::Packed { .. } => (&weights[..weights.len() / 2], &*scales),
                    _ => (&*weights, &[][..]),
                };
                let weights = Weights { bytes, scales, layout };
                let (multipliers, bias) = (Words::new(&numbers), Words::new(&numbers));
                let matrix = Matrix { rows, cols: COLS, weights, exponent: 36, multipliers, bias };
                let run = |cores: &'static Host| {
                    let mut out = vec![0; rows];
                    Others::of(cores).linear(kernels, &x, &matrix, &mut [0; COLS], &mut out);
                    out
                };
                let [alone, others @ ..] = hosts.map(run);
                assert!(alone.iter().zip(&numbers).any(|(logit, bias)| logit != bias), "{layout:?}");
                assert!(others.iter().all(|found| *found == alone), "{rows} rows, {layout:?}");
            }
        }
    }
}
