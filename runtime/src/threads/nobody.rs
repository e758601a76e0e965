//! The stub for targets without other cores.

use crate::kernels::Kernels;
use crate::model::Matrix;
use crate::ops::linear::{QuantizedRows, linear};

/// No other cores.
#[derive(Clone, Default)]
pub(crate) struct Others {}

impl Others {
    #[inline(always)]
    pub(crate) fn linear(
        &self,
        kernels: &Kernels,
        x: &QuantizedRows<'_>,
        matrix: &Matrix<'_>,
        room: &mut [i32],
        out: &mut [i32],
    ) {
        linear(kernels, x, matrix, room, out);
    }
}
