//! The stub for targets without other cores.

use crate::kernels::Kernels;
use crate::model::{Matrix, Words};
use crate::ops::linear::{QuantizedRows, linear_with_bias};

/// No other cores.
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
