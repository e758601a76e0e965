//! Shares the work on a text among threads: the tokens of a tile, each thread with scratch memory
//! of its own, or, for a single token, the rows of a matrix.
//!
//! A token's result depends on no other token of its tile, and a row's product on no other row, so
//! that the bits are equal for any number of threads. Threads spin while they wait: waking one up
//! takes as long as the arithmetic of a small layer.
//!
//! Without the feature `std`, there is only the caller's thread. With the feature `cores`, other
//! cores of a microcontroller share the products of single tokens.

#[cfg(all(feature = "cores", not(feature = "std")))]
mod cores;
#[cfg(not(any(feature = "cores", feature = "std")))]
mod nobody;
#[cfg(not(feature = "std"))]
mod one;
#[cfg(feature = "std")]
mod several;

use crate::cache::KeyValueCache;
use crate::format::memory::MemoryPlan;
use crate::format::places::WIDE_TILE_ROWS;
use crate::format::spec::{ModelSpec, StackSpec};
use crate::kernels::Kernels;
use crate::model::Matrix;
use crate::ops::linear::QuantizedRows;
use crate::step::Step;

#[cfg(all(feature = "cores", not(feature = "std")))]
pub use cores::Cores;
#[cfg(all(feature = "cores", not(feature = "std")))]
pub(crate) use cores::Others;
#[cfg(not(any(feature = "cores", feature = "std")))]
pub(crate) use nobody::Others;
#[cfg(not(feature = "std"))]
pub(crate) use one::Threads;
#[cfg(feature = "std")]
pub(crate) use several::{Others, Threads};

/// Tokens that kernels multiply by a matrix together.
const TOGETHER: usize = 4;

/// The specification and the plan that determine the layout of scratch memory.
pub(crate) type Plan<'a> = (&'a ModelSpec, &'a MemoryPlan);

/// A stack and one of its layers, the layer's cache, and the position of the first token to store.
pub(crate) type Filled<'a, 'c> = (&'a StackSpec, usize, &'a mut KeyValueCache<'c>, usize);

impl Others {
    /// Computes [`linear`](crate::ops::linear::linear) as one part of a step. A
    /// product that is longer than a step is split into several parts: for one row, by rows of the
    /// matrix; for several rows, by these rows, at least [`TOGETHER`] at a time.
    pub(crate) fn linear_in_parts(
        &self,
        kernels: &Kernels,
        x: &QuantizedRows<'_>,
        matrix: &Matrix<'_>,
        step: &mut Step,
        room: &mut [i32],
        out: &mut [i32],
    ) {
        let products = x.len() * matrix.rows * matrix.cols;
        if step.cuts(products) {
            return self.linear_cut(kernels, x, matrix, step, room, out);
        }
        if step.takes(products) {
            self.linear(kernels, x, matrix, room, out);
        }
    }

    /// [`linear_in_parts`](Self::linear_in_parts) for a product that is longer than a step.
    // Not inlined: its variables would be on the stack during shorter products, too.
    #[inline(never)]
    fn linear_cut(
        &self,
        kernels: &Kernels,
        x: &QuantizedRows<'_>,
        matrix: &Matrix<'_>,
        step: &mut Step,
        room: &mut [i32],
        out: &mut [i32],
    ) {
        let products = matrix.rows * matrix.cols;
        let out = out.get_mut(..x.len() * matrix.rows).unwrap_or(&mut []);
        if x.len() > 1 {
            let rows = (step.longest() / products.max(1) / TOGETHER * TOGETHER).max(TOGETHER);
            for (index, out) in out.chunks_mut((rows * matrix.rows).max(1)).enumerate() {
                let x = x.rows(index * rows, rows);
                if step.takes(x.len() * products) {
                    self.linear(kernels, &x, matrix, room, out);
                }
            }
            return;
        }
        let rows = (step.longest() / matrix.cols.max(1)).max(1).next_multiple_of(WIDE_TILE_ROWS);
        for (index, out) in out.chunks_mut(rows.max(1)).enumerate() {
            if step.takes(out.len() * matrix.cols) {
                self.linear(kernels, x, &matrix.rows(index * rows, out.len()), room, out);
            }
        }
    }
}
