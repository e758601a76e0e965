//! The caller's thread alone.

use super::{Filled, Plan};
use crate::cache::KeyValueCache;
use crate::kernels::Kernels;
use crate::model::{Matrix, Words};
use crate::ops::linear::{QuantizedRows, linear_with_bias};
use crate::workspace::Scratch;

/// No threads but the caller's.
#[derive(Default)]
pub(crate) struct Threads {}

impl Threads {
    pub(crate) fn count(&self) -> usize {
        1
    }

    pub(crate) fn beside(&self, _: usize) -> Others {
        Others {}
    }

    #[inline(always)]
    pub(crate) fn run(
        &mut self,
        _: Plan<'_>,
        rows: &mut [i32],
        _: usize,
        scratch: &mut Scratch<'_>,
        work: impl FnOnce(usize, &mut [i32], &mut Scratch<'_>),
    ) {
        work(0, rows, scratch);
    }

    #[inline(always)]
    pub(crate) fn fill(
        &mut self,
        _: Plan<'_>,
        rows: &mut [i32],
        _: usize,
        (_, cache, start): Filled<'_, '_>,
        scratch: &mut Scratch<'_>,
        work: impl FnOnce(usize, &mut [i32], &mut KeyValueCache<'_>, &mut Scratch<'_>),
    ) {
        work(start, rows, cache, scratch);
    }
}

/// Nobody.
#[derive(Clone, Default)]
pub(crate) struct Others {}

impl Others {
    #[inline(always)]
    pub(crate) fn linear_with_bias(
        &self,
        kernels: &Kernels,
        x: &QuantizedRows<'_>,
        matrix: &Matrix<'_>,
        bias: Words<'_>,
        out: &mut [i32],
    ) {
        linear_with_bias(kernels, x, matrix, bias, out);
    }
}
