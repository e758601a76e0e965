//! Computes linear layers: quantizes the rows, multiplies, and scales back to fixed point.

use core::mem;

use bytemuck::{try_cast_slice, try_cast_slice_mut};

use crate::fixed::{Scale, row_bits};
use crate::format::spec::ActivationWidth;
use crate::kernels::Kernels;
use crate::kernels::table::Requantize;
use crate::model::Matrix;

/// Quantized rows of activations, and the bits of each row's [`Scale`].
pub(crate) struct QuantizedRows<'a> {
    values: Values<'a>,
    cols: usize,
    scales: &'a [u16],
}

enum Values<'a> {
    A8(&'a [i8]),
    A16(&'a [i16]),
}

impl<'a> QuantizedRows<'a> {
    /// The rows that [`quantize_rows`] wrote to these buffers.
    pub(crate) fn new(width: ActivationWidth, tokens: usize, cols: usize, buffer: &'a [u8], scales: &'a [u16]) -> Self {
        let len = tokens * cols;
        let values = match width {
            ActivationWidth::A8 => Values::A8(try_cast_slice(buffer).unwrap_or(&[]).get(..len).unwrap_or(&[])),
            ActivationWidth::A16 => Values::A16(try_cast_slice(buffer).unwrap_or(&[]).get(..len).unwrap_or(&[])),
        };
        Self { values, cols, scales: scales.get(..tokens).unwrap_or(&[]) }
    }

    /// Up to `count` rows from `first` on.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Self {
        let end = self.len().min(first + count);
        let (cells, rows) = (first * self.cols..end * self.cols, first..end);
        let values = match self.values {
            Values::A8(values) => Values::A8(values.get(cells).unwrap_or(&[])),
            Values::A16(values) => Values::A16(values.get(cells).unwrap_or(&[])),
        };
        Self { values, cols: self.cols, scales: self.scales.get(rows).unwrap_or(&[]) }
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.scales.len()
    }
}

/// Quantizes rows of `cols` values.
pub(crate) fn quantize_rows(
    kernels: &Kernels,
    width: ActivationWidth,
    rows: &[i32],
    cols: usize,
    buffer: &mut [u8],
    scales: &mut [u16],
) {
    match width {
        ActivationWidth::A8 => {
            let buffer: &mut [i8] = try_cast_slice_mut(buffer).unwrap_or(&mut []);
            each_row(rows, cols, buffer, scales, |out, row| (kernels.quantize8)(out, row));
        }
        ActivationWidth::A16 => {
            let buffer: &mut [i16] = try_cast_slice_mut(buffer).unwrap_or(&mut []);
            let bits = row_bits(cols);
            each_row(rows, cols, buffer, scales, |out, row| (kernels.quantize16)(out, row, bits));
        }
    }
}

/// Quantizes row after row. `chunks` would divide, and some cores have no division.
#[inline(always)]
fn each_row<T>(
    mut rows: &[i32],
    cols: usize,
    mut buffer: &mut [T],
    scales: &mut [u16],
    quantize: impl Fn(&mut [T], &[i32]) -> Scale,
) {
    for scale in scales {
        let (Some((row, others)), Some((out, rest))) =
            (rows.split_at_checked(cols), mem::take(&mut buffer).split_at_mut_checked(cols))
        else {
            return;
        };
        *scale = quantize(out, row).to_bits();
        (rows, buffer) = (others, rest);
    }
}

/// `out = x * matrix^T + bias`: `x` is `[tokens, cols]`, `out` `[tokens, rows]`.
///
/// Overwrites `room`, a buffer of any length whose contents are not needed: see
/// [`WithRoom`](crate::kernels::table::WithRoom).
pub(crate) fn linear(kernels: &Kernels, x: &QuantizedRows<'_>, matrix: &Matrix<'_>, room: &mut [i32], out: &mut [i32]) {
    let (rows, cols) = (matrix.rows, matrix.cols);
    if x.cols != cols {
        return;
    }
    let mut out = out.get_mut(..x.scales.len() * rows).unwrap_or(&mut []);
    let bits = match &x.values {
        Values::A8(values) => {
            kernels.products8.multiply(out, values, &matrix.weights, cols, room);
            7
        }
        Values::A16(values) => {
            kernels.products16.multiply(out, values, &matrix.weights, cols, room);
            row_bits(cols)
        }
    };
    // Fits 32 bits because of `row_bits` and `MAX_WIDTH`.
    let bound = u64::from((cols as u32) << (7 + bits));
    for &scale in x.scales {
        let Some((row, rest)) = mem::take(&mut out).split_at_mut_checked(rows) else { return };
        let requantize = Requantize::new(Scale::from_bits(scale), matrix.exponent, bound);
        (kernels.requantize)(row, matrix.multipliers.as_slice(), matrix.bias.as_slice(), &requantize);
        out = rest;
    }
}
