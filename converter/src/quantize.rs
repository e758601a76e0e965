//! Encodes real numbers as the bytes of the payload.
//!
//! Weights are symmetric int8 with a scale for each output channel, or int4 in groups; all other
//! numbers are integers with a binary point. [`Shape`] gives the layout of each tensor.

mod compensate;
mod gptq;
mod groups;
mod table;

use core::f64::consts::LOG2_E;

use anyhow::{Context, Result};
use kinglet::format::layout::{ALIGNMENT, HeadPart, Role, Shape, StackPart, roles};
use kinglet::format::places::{
    TABLE_GROUP, group_place, packed_place, pair_byte, pair_place, table_place, table_weight, tile_place,
    wide_tile_place,
};
use kinglet::format::spec::{Activation, ModelSpec, Multiplier, NormKind, WeightLayout};
use rayon::prelude::*;

use crate::calibrate::{Calibration, reader};
use crate::fixed::{code, exponent, fixed, round_half_even};
use crate::progress::Progress;
use crate::real::largest;
use crate::refuse;
use crate::weights::{Tensor, Weights, role_name, tabulated};
use gptq::Factor;

pub use compensate::{can_compensate, compensate};

/// The largest magnitude of an int8 weight; -128 is not used.
const MAX_WEIGHT: f64 = 127.0;
/// The number of rows of a matrix that are rounded together.
const ROWS: usize = 8;
/// The fraction bits of a bias on attention scores.
const SCORE_BITS: u8 = 16;

/// A tensor of the payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The role of the tensor.
    pub role: Role,
    /// The bytes, padded to the beginning of the next tensor.
    pub bytes: Vec<u8>,
    /// The root mean square of the rounding errors, relative to that of the weights.
    pub error: f64,
}

/// The ways of rounding weights.
#[derive(Clone, Copy, Debug)]
enum Rounding<'f> {
    /// Each weight to the nearest, at the scale of the row's largest weight.
    Nearest,
    /// Each weight to the nearest, at the scale with the least squared error of the row.
    LeastSquares,
    /// By GPTQ, with the factor of the layer's inputs.
    Calibrated(&'f Factor),
}

/// Encodes every tensor of a model, in payload order and in parallel. With a calibration, weights
/// are rounded by the inputs of the layers, and those of [`compensate`] take the place of `weights`;
/// without one, to the nearest. With an empty calibration, each row has the scale with the least
/// squared error.
///
/// # Errors
/// When a value does not fit its integer; the message names the tensor.
pub fn quantize(
    spec: &ModelSpec,
    weights: &Weights,
    calibration: Option<&Calibration>,
    progress: Progress<'_>,
) -> Result<Vec<Quantized>> {
    let weights = calibration.and_then(|calibration| calibration.adjusted.as_ref()).unwrap_or(weights);
    // In the order of roles, layers with a common input are neighbours and share the factor of that
    // input.
    let mut ordered: Vec<(usize, (Role, Shape))> = roles(spec).enumerate().collect();
    ordered.sort_by_key(|(_, (role, _))| *role);
    let groups: Vec<_> = ordered.chunk_by(|(_, a), (_, b)| reader(spec, a.0) == reader(spec, b.0)).collect();
    let quantized = groups.into_par_iter().with_max_len(1).map(|group| {
        let products = group.first().zip(calibration).and_then(|((_, (role, _)), given)| given.get(spec, *role));
        let factor = products.and_then(Factor::new);
        let rounding = match (calibration, &factor) {
            (_, Some(factor)) => Rounding::Calibrated(factor),
            (Some(calibration), None) if calibration.is_empty() => Rounding::LeastSquares,
            _ => Rounding::Nearest,
        };
        let each = group.iter().map(|&(place, (role, shape))| {
            let quantized = quantize_role(spec, weights, role, shape, rounding)?;
            progress();
            Ok((place, quantized))
        });
        each.collect::<Result<Vec<_>>>()
    });
    let mut placed: Vec<_> = quantized.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    placed.sort_by_key(|(place, _)| *place);
    Ok(placed.into_iter().map(|(_, quantized)| quantized).collect())
}

/// The real numbers that one tensor stands for after [`quantize`] has rounded it.
///
/// # Errors
/// When a value does not fit its integer; the message names the tensor.
pub fn round_trip_of(
    spec: &ModelSpec,
    weights: &Weights,
    (role, shape): (Role, Shape),
    calibration: Option<&Calibration>,
) -> Result<Tensor> {
    let products = calibration.and_then(|calibration| calibration.get(spec, role));
    let factor = products.and_then(Factor::new);
    let rounding = factor.as_ref().map_or(Rounding::Nearest, Rounding::Calibrated);
    let quantized = quantize_role(spec, weights, role, shape, rounding)?;
    dequantize(spec, role, shape, &quantized.bytes)
}

/// Encodes one tensor.
///
/// # Errors
/// When it is missing, or a value does not fit its integer; the message names the tensor.
fn quantize_role(
    spec: &ModelSpec,
    weights: &Weights,
    role: Role,
    shape: Shape,
    rounding: Rounding<'_>,
) -> Result<Quantized> {
    let name = || format!("quantizing {}", role_name(role));
    let tensor = weights.get(role).with_context(name)?;
    let bits = spec.numerics.fraction_bits;
    let numbers = match shape {
        Shape::Matrix { cols, layout: WeightLayout::Table, .. } => table(tensor, cols, shape.weight_bytes() as usize),
        Shape::Matrix { cols, layout, .. } => {
            matrix(tensor, cols, layout, shape.weight_bytes() as usize, bits, rounding)
        }
        Shape::Norm { size, kind, .. } => norm(tensor, norm_factor(kind, size), bits),
        Shape::Words { .. } => {
            let (factor, bits) = words_format(role, bits);
            integers(&tensor.weight, |x| fixed(x * factor, bits)).map(|words| {
                let real = |q: i32| libm::ldexp(f64::from(q), -i32::from(bits)) / factor;
                (
                    words.iter().flat_map(|q| q.to_le_bytes()).collect(),
                    error(&tensor.weight, words.iter().map(|q| real(*q))),
                )
            })
        }
        Shape::Halfwords { .. } => {
            let scale = table_scale(spec, role);
            let halfwords = tensor.weight.iter().map(|x| halfword(f64::from(*x), scale)).collect::<Vec<i16>>();
            let real = halfwords.iter().map(|q| f64::from(*q) / scale);
            Ok((halfwords.iter().flat_map(|q| q.to_le_bytes()).collect(), error(&tensor.weight, real)))
        }
    };
    let (mut bytes, error): (Vec<u8>, f64) = numbers.with_context(name)?;
    pad(&mut bytes);
    debug_assert_eq!(bytes.len() as u64, shape.bytes());
    Ok(Quantized { role, bytes, error })
}

/// Encodes a matrix: weights, exponent, multipliers and biases.
fn matrix(
    tensor: &Tensor,
    cols: usize,
    layout: WeightLayout,
    weight_bytes: usize,
    fraction_bits: u8,
    rounding: Rounding<'_>,
) -> Result<(Vec<u8>, f64)> {
    let rows: Vec<&[f32]> = tensor.weight.chunks_exact(cols).collect();
    let scaled = rows.par_iter().map(|row| match (layout, rounding) {
        (WeightLayout::Packed { group }, _) => groups::scales(row, group.into()),
        (_, Rounding::LeastSquares) => (least_squares_scale(row), Vec::new()),
        _ => (whole_scale(row), Vec::new()),
    });
    let scaled: Vec<(f64, Vec<u8>)> = scaled.collect();
    let scales: Vec<f64> = scaled.iter().map(|(scale, _)| *scale).collect();
    let (exponent, multipliers) = mantissas(&scales)?;
    // The multiple of its row's scale by which a weight's code is multiplied.
    let multiple = |row: usize, col: usize| match layout {
        WeightLayout::Packed { group } => f64::from(scaled[row].1[col / usize::from(group)]),
        _ => 1.0,
    };
    let range = if matches!(layout, WeightLayout::Packed { .. }) { groups::RANGE } else { (-MAX_WEIGHT, MAX_WEIGHT) };
    let of = |row: usize, col: usize| if multipliers[row] == 0 { 0.0 } else { scales[row] * multiple(row, col) };
    let blocks = rows.par_chunks(ROWS).enumerate().map(|(block, rows)| {
        let first = block * ROWS;
        match (rounding, layout) {
            (Rounding::Calibrated(factor), WeightLayout::Packed { .. }) => {
                let searched = |(at, row): (usize, &&[f32])| factor.search(row, |col| of(first + at, col), range);
                rows.iter().enumerate().map(searched).collect()
            }
            (Rounding::Calibrated(factor), _) => factor.round(rows, &|row, col| of(first + row, col), range),
            _ => {
                let nearest =
                    |row: usize, (col, x): (usize, &f32)| code(f64::from(*x), of(first + row, col), range) as i8;
                let codes = |(at, row): (usize, &&[f32])| row.iter().enumerate().map(|x| nearest(at, x)).collect();
                rows.iter().enumerate().map(codes).collect()
            }
        }
    });
    let codes: Vec<Vec<Vec<i8>>> = blocks.collect();
    let mut bytes = Vec::with_capacity(weight_bytes + 4 + 8 * rows.len() + ALIGNMENT);
    bytes.resize(weight_bytes, 0);
    let mut off = 0.0;
    for (index, (row, codes)) in rows.iter().zip(codes.iter().flatten()).enumerate() {
        let held = libm::ldexp(f64::from(multipliers[index]), -exponent);
        for (col, (x, q)) in row.iter().zip(codes).enumerate() {
            let error = f64::from(*q) * multiple(index, col) * held - f64::from(*x);
            off += error * error;
            put(&mut bytes, layout, (index, col, cols), *q);
        }
        if let WeightLayout::Packed { group } = layout {
            let groups = &scaled[index].1;
            let start = weight_bytes - (rows.len() * groups.len()).next_multiple_of(ALIGNMENT);
            for (at, scale) in groups.iter().enumerate() {
                bytes[start + group_place(index, at * usize::from(group), cols, group.into())] = *scale;
            }
        }
    }
    let biases = biases(&tensor.bias, fraction_bits)?;
    push(&mut bytes, [exponent].iter().chain(&multipliers).chain(&biases));
    Ok((bytes, relative(off, &tensor.weight)))
}

/// Encodes a table in four bits: weights, scales and zeros, exponent and multiplier.
fn table(tensor: &Tensor, cols: usize, weight_bytes: usize) -> Result<(Vec<u8>, f64)> {
    let (unit, groups) = table::groups(&tensor.weight, cols);
    let (exponent, multipliers) = mantissas(&[unit])?;
    let held = libm::ldexp(f64::from(multipliers[0]), -exponent);
    let mut bytes = vec![0; weight_bytes];
    let of_rows = groups.chunks(cols.div_ceil(TABLE_GROUP));
    let (mut off, mut weights) = (0.0, tensor.weight.iter());
    for (row, groups) in of_rows.enumerate() {
        let codes = groups.iter().flat_map(|group| group.codes.iter().map(move |code| (group, *code)));
        for (col, ((group, code), x)) in codes.zip(&mut weights).enumerate() {
            let error = group.real(code) * held - f64::from(*x);
            off += error * error;
            let (byte, shift) = table_place(row, col, cols);
            bytes[byte] |= code << shift;
        }
    }
    let start = weight_bytes - (2 * groups.len()).next_multiple_of(ALIGNMENT);
    for (to, group) in bytes[start..].as_chunks_mut::<2>().0.iter_mut().zip(&groups) {
        *to = [group.scale, group.zero];
    }
    push(&mut bytes, [exponent].iter().chain(&multipliers));
    Ok((bytes, relative(off, &tensor.weight)))
}

/// Writes the weight `q` at `row` and `col` of a matrix with `cols` columns.
fn put(bytes: &mut [u8], layout: WeightLayout, (row, col, cols): (usize, usize, usize), q: i8) {
    match layout {
        WeightLayout::RowMajor => bytes[row * cols + col] = q.cast_unsigned(),
        WeightLayout::Tiled => bytes[tile_place(row, col, cols)] = q.cast_unsigned(),
        WeightLayout::Paired => bytes[pair_place(row, col, cols)] = pair_byte(row, q).cast_unsigned(),
        WeightLayout::WideTiled => bytes[wide_tile_place(row, col, cols)] = q.cast_unsigned(),
        WeightLayout::Packed { .. } => {
            let (byte, shift) = packed_place(row, col, cols);
            bytes[byte] |= ((q + 8).cast_unsigned() & 15) << shift;
        }
        WeightLayout::Table => {}
    }
}

/// Reads a weight of a matrix, multiplied by the scale of its group.
fn get(bytes: &[u8], shape: Shape, row: usize, col: usize) -> i32 {
    let Shape::Matrix { cols, layout, .. } = shape else { return 0 };
    match layout {
        WeightLayout::RowMajor => bytes[row * cols + col].cast_signed().into(),
        WeightLayout::Tiled => bytes[tile_place(row, col, cols)].cast_signed().into(),
        WeightLayout::Paired => pair_byte(row, bytes[pair_place(row, col, cols)].cast_signed()).into(),
        WeightLayout::WideTiled => bytes[wide_tile_place(row, col, cols)].cast_signed().into(),
        WeightLayout::Packed { group } => {
            let (byte, shift) = packed_place(row, col, cols);
            let scales = bytes.len() - (shape.group_scales() as usize).next_multiple_of(ALIGNMENT);
            let scale = bytes[scales + group_place(row, col, cols, group.into())];
            (i32::from(bytes[byte] >> shift & 15) - 8) * i32::from(scale)
        }
        WeightLayout::Table => {
            let (byte, shift) = table_place(row, col, cols);
            let scales = bytes.len() - (shape.group_scales() as usize).next_multiple_of(ALIGNMENT);
            let group = scales + 2 * (row * cols.div_ceil(TABLE_GROUP) + col / TABLE_GROUP);
            table_weight(bytes[byte] >> shift, bytes[group], bytes[group + 1])
        }
    }
}

/// The factor on a norm's weights: the square root of the width, because the runtime divides by the
/// root of a sum; 1 for a norm that does not divide.
fn norm_factor(kind: NormKind, size: usize) -> f64 {
    match kind {
        NormKind::Layer | NormKind::Rms => libm::sqrt(size as f64),
        NormKind::Affine => 1.0,
    }
}

/// Encodes a norm: exponent, weights and biases.
fn norm(tensor: &Tensor, factor: f64, fraction_bits: u8) -> Result<(Vec<u8>, f64)> {
    let scaled: Vec<f64> = tensor.weight.iter().map(|x| f64::from(*x) * factor).collect();
    let (exponent, weights) = mantissas(&scaled)?;
    let held = weights.iter().map(|q| libm::ldexp(f64::from(*q), -exponent) / factor);
    let error = error(&tensor.weight, held);
    let mut bytes = Vec::new();
    push(&mut bytes, [exponent].iter().chain(&weights).chain(&biases(&tensor.bias, fraction_bits)?));
    Ok((bytes, error))
}

/// Numbers as mantissas with one exponent; the largest mantissa is in `2^30 .. 2^31`.
fn mantissas(numbers: &[f64]) -> Result<(i32, Vec<i32>)> {
    let largest = numbers.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let exponent = if largest > 0.0 { exponent(largest) } else { 30 };
    // Numbers below every exponent are too small to change an activation.
    if exponent > *Multiplier::EXPONENTS.end() {
        return Ok((30, vec![0; numbers.len()]));
    }
    if exponent < *Multiplier::EXPONENTS.start() {
        return Err(refuse(
            format_args!("its largest scale is {largest}"),
            "the checkpoint's weights are out of any useful range",
        ));
    }
    let mantissa = |x: &f64| round_half_even(libm::ldexp(*x, exponent)) as i32;
    Ok((exponent, numbers.iter().map(mantissa).collect()))
}

fn biases(biases: &[f32], fraction_bits: u8) -> Result<Vec<i32>> {
    integers(biases, |x| fixed(x, fraction_bits))
}

fn integers(values: &[f32], integer: impl Fn(f64) -> Option<i32>) -> Result<Vec<i32>> {
    let each = values.iter().enumerate().map(|(at, x)| {
        integer(f64::from(*x)).ok_or_else(|| {
            refuse(
                format_args!("value {at} is {x}, which does not fit the 32-bit fixed point of this model"),
                "fewer fraction bits would hold it: the checkpoint's values are unusually large",
            )
        })
    });
    each.collect()
}

/// The factor and the fraction bits of a table of words.
fn words_format(role: Role, fraction_bits: u8) -> (f64, u8) {
    match role {
        Role::Stack(_, StackPart::RelativeBias) => (LOG2_E, SCORE_BITS),
        Role::Head(HeadPart::OutputBias) | Role::Stack(..) | Role::Block(..) | Role::Head(_) => (1.0, fraction_bits),
    }
}

/// The integer that stands for 1 in a table of halfwords: indices, cosines and sines, or an
/// activation.
fn table_scale(spec: &ModelSpec, role: Role) -> f64 {
    match role {
        Role::Stack(_, StackPart::RelativeIndex) => 1.0,
        role => halfwords_scale(tabulated(spec, role)),
    }
}

fn halfwords_scale(activation: Option<Activation>) -> f64 {
    match activation {
        None => 32_767.0,
        Some(Activation::Tanh) => 32_768.0,
        Some(_) => 65_536.0,
    }
}

fn halfword(x: f64, scale: f64) -> i16 {
    round_half_even(x * scale).clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}

/// The number of scales below [`whole_scale`] that [`least_squares_scale`] tries, and the step
/// between them, relative to it.
const STEPS: u32 = 64;
const STEP: f64 = 1.0 / 1024.0;

/// The smallest scale of a row that clips no weight.
fn whole_scale(row: &[f32]) -> f64 {
    largest(row) / MAX_WEIGHT
}

/// The scale with the least squared error if each weight of a row is rounded to the nearest. It may
/// clip the largest weight a little.
fn least_squares_scale(row: &[f32]) -> f64 {
    let whole = whole_scale(row);
    let error = |scale: f64| -> f64 {
        let off = |x: &f32| code(f64::from(*x), scale, (-MAX_WEIGHT, MAX_WEIGHT)) * scale - f64::from(*x);
        row.iter().map(off).map(|off| off * off).sum()
    };
    let scales = (0..=STEPS).map(|step| whole * (1.0 - STEP * f64::from(step)));
    let costs = scales.map(|scale| (error(scale), scale));
    costs.reduce(|best, next| if next.0 < best.0 { next } else { best }).map_or(whole, |(_, scale)| scale)
}

fn push<'a>(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = &'a i32>) {
    bytes.extend(numbers.flat_map(|q| q.to_le_bytes()));
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

fn error(exact: &[f32], held: impl Iterator<Item = f64>) -> f64 {
    let off = exact.iter().zip(held).map(|(x, y)| (f64::from(*x) - y) * (f64::from(*x) - y)).sum();
    relative(off, exact)
}

fn relative(off: f64, exact: &[f32]) -> f64 {
    let size: f64 = exact.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if size > 0.0 { libm::sqrt(off / size) } else { 0.0 }
}

/// The real numbers that a quantized tensor stands for, with which the integer runtime computes.
///
/// # Errors
/// When the bytes do not have this shape.
pub fn dequantize(spec: &ModelSpec, role: Role, shape: Shape, bytes: &[u8]) -> Result<Tensor> {
    if bytes.len() as u64 != shape.bytes() {
        return Err(refuse(
            format_args!("{} has {} bytes", role_name(role), bytes.len()),
            format_args!("it should have {}", shape.bytes()),
        ));
    }
    let (weights, numbers) = bytes.split_at(shape.weight_bytes() as usize);
    let words: Vec<i32> = numbers.as_chunks().0.iter().map(|word| i32::from_le_bytes(*word)).collect();
    let bits = spec.numerics.fraction_bits;
    let scaled = |q: i32, exponent: i32| libm::ldexp(f64::from(q), -exponent);
    let biases = |words: &[i32]| words.iter().map(|q| scaled(*q, i32::from(bits)) as f32).collect();
    Ok(match shape {
        Shape::Matrix { rows, cols, layout: WeightLayout::Table, .. } => {
            let row = |r: usize| (0..cols).map(move |col| get(weights, shape, r, col));
            let real = |q: i32| (f64::from(q) * scaled(words[1], words[0])) as f32;
            Tensor { weight: (0..rows).flat_map(row).map(real).collect(), bias: Vec::new() }
        }
        Shape::Matrix { rows, cols, bias, .. } => {
            let row = |r: usize| (0..cols).map(move |col| (get(weights, shape, r, col), r));
            let real = |(q, r): (i32, usize)| (f64::from(q) * scaled(words[1 + r], words[0])) as f32;
            Tensor {
                weight: (0..rows).flat_map(row).map(real).collect(),
                bias: if bias { biases(&words[1 + rows..1 + 2 * rows]) } else { Vec::new() },
            }
        }
        Shape::Norm { size, kind, bias } => {
            let factor = norm_factor(kind, size);
            Tensor {
                weight: words[1..=size].iter().map(|q| (scaled(*q, words[0]) / factor) as f32).collect(),
                bias: if bias { biases(&words[1 + size..1 + 2 * size]) } else { Vec::new() },
            }
        }
        Shape::Words { len } => {
            let (factor, bits) = words_format(role, bits);
            Tensor {
                weight: words[..len].iter().map(|q| (scaled(*q, i32::from(bits)) / factor) as f32).collect(),
                bias: Vec::new(),
            }
        }
        Shape::Halfwords { len } => {
            let scale = table_scale(spec, role);
            let halfwords = numbers.as_chunks().0[..len].iter().map(|q| f64::from(i16::from_le_bytes(*q)));
            Tensor { weight: halfwords.map(|q| (q / scale) as f32).collect(), bias: Vec::new() }
        }
    })
}

/// The weights with which the integer runtime computes, as real numbers: the reference with these
/// weights shows the cost of quantizing weights alone.
///
/// # Errors
/// When a value does not fit its integer; the message names the tensor.
pub fn round_trip(spec: &ModelSpec, weights: &Weights) -> Result<Weights> {
    let tensors = roles(spec).map(|(role, shape)| {
        let quantized = quantize_role(spec, weights, role, shape, Rounding::Nearest)?;
        Ok((role, dequantize(spec, role, shape, &quantized.bytes)?))
    });
    Weights::new(spec, tensors.collect::<Result<_>>()?)
}

#[cfg(test)]
mod tests;
