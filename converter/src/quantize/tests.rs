use kinglet::format::layout::{BlockPart, Stack};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::family::{self, Options};
use crate::fidelity::{compare_each, sample_texts};
use crate::opened::Source;
use crate::reference::Reference;
use crate::testing::{checkpoint, random, random_weights, tiny_bert, tiny_llama};
use crate::texts::Input;
use crate::widths::{Width, Widths};

const QUERY: Role = Role::Block(Stack::Decoder, 0, BlockPart::Query);

fn spec(config: &serde_json::Value) -> ModelSpec {
    let dir = checkpoint(config, &[]);
    family::map(&Checkpoint::open(dir.path()).unwrap(), &Options::default()).unwrap().spec
}

/// Quantizes one tensor with `quantize_role`.
fn one(shape: Shape, weight: &[f32], bias: &[f32]) -> Result<Quantized> {
    let spec = spec(&tiny_llama());
    let mut weights = random_weights(&spec, 1);
    *weights.get_mut(QUERY).unwrap() = Tensor { weight: weight.to_vec(), bias: bias.to_vec() };
    quantize_role(&spec, &weights, QUERY, shape, Rounding::Nearest)
}

fn words(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|word| i32::from_le_bytes(*word)).collect()
}

#[test]
fn a_matrix_has_its_weights_then_its_numbers() {
    // The scales are 1/127, 2/127 and 0; the mantissa of the largest is in 2^30 .. 2^31.
    let weight = [1.0, -1.0, 0.5, 2.0, -0.0, -0.2, 0.0, 0.0, 0.0];
    let shape = Shape::Matrix { rows: 3, cols: 3, bias: true, layout: WeightLayout::RowMajor };
    let quantized = one(shape, &weight, &[0.5, -1.0, 100.25]).unwrap();
    let (weights, numbers) = quantized.bytes.split_at(16);
    // 63.5 is halfway, and is rounded to the even 64.
    let expected = [127, -127, 64, 127, 0, -13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(weights.iter().map(|q| q.cast_signed()).collect::<Vec<_>>(), expected);
    // 2 / 127 = 2164392968 / 2^37 (rounded), so the exponent is 36.
    let largest = 1_082_196_484;
    assert_eq!(words(numbers), [36, largest / 2, largest, 0, 32_768, -65_536, 6_569_984, 0]);
    assert_eq!(quantized.bytes.len() as u64, shape.bytes());
}

#[test]
fn a_matrix_of_zeros_is_zeros() {
    let shape = Shape::Matrix { rows: 2, cols: 2, bias: false, layout: WeightLayout::RowMajor };
    let quantized = one(shape, &[0.0, -0.0, 0.0, 1e-30], &[]).unwrap();
    assert_eq!(words(&quantized.bytes[16..]), [30, 0, 0, 0]);
    assert!(quantized.bytes[..16].iter().all(|byte| *byte == 0));
}

#[test]
fn weights_are_off_by_half_a_step_at_most() {
    let mut next = random(7);
    for cols in [1, 3, 16, 33] {
        let rows = 5;
        let weight: Vec<f32> = (0..rows * cols).map(|i| next() * libm::expf(((i / cols) as f32 - 2.0) * 3.0)).collect();
        let shape = Shape::Matrix { rows, cols, bias: false, layout: WeightLayout::RowMajor };
        let quantized = one(shape, &weight, &[]).unwrap();
        let back = dequantize(&spec(&tiny_llama()), QUERY, shape, &quantized.bytes).unwrap();
        for (row, held) in weight.chunks(cols).zip(back.weight.chunks(cols)) {
            let step = largest(row) / 127.0;
            for (x, y) in row.iter().zip(held) {
                let off = f64::from((x - y).abs());
                assert!(off <= step * 0.5 * (1.0 + 1e-4), "{x} is held as {y}, with steps of {step}");
            }
            // The largest weight is exact, except for the rounding of the scale.
            let most = largest(held);
            assert!((most - largest(row)).abs() <= largest(row) * 1e-4);
        }
        assert!(quantized.error < 0.01, "relative error {}", quantized.error);
    }
}

#[test]
fn bytes_come_back_however_they_lie() {
    let mut next = random(13);
    let (rows, cols) = (32, 12);
    let weight: Vec<f32> = (0..rows * cols).map(|_| next()).collect();
    let layouts = [WeightLayout::RowMajor, WeightLayout::Tiled, WeightLayout::Paired, WeightLayout::WideTiled];
    let [by_rows, tiled, paired, wide] = layouts.map(|layout| {
        let shape = Shape::Matrix { rows, cols, bias: false, layout };
        let quantized = one(shape, &weight, &[]).unwrap();
        assert_eq!(quantized.bytes.len() as u64, shape.bytes());
        (dequantize(&spec(&tiny_llama()), QUERY, shape, &quantized.bytes).unwrap().weight, quantized.bytes)
    });
    assert!(by_rows.0 == tiled.0 && by_rows.0 == paired.0 && by_rows.0 == wide.0);
    for (at, (row, col)) in [(0, (0, 0)), (1, (0, 1)), (4, (1, 0)), (63, (15, 3)), (64, (0, 4)), (192, (16, 0))] {
        assert_eq!(wide.1[at], by_rows.1[row * cols + col], "{row}, {col}");
    }
    // A halfword has the weights of two rows: the upper row's plus 128, and 256 times the lower
    // row's.
    let of = |row: usize, col: usize| i16::from(by_rows.1[row * cols + col].cast_signed());
    let halfwords: Vec<i16> = paired.1.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect();
    for (at, (row, col)) in [(0, (0, 0)), (3, (0, 3)), (4, (2, 0)), (8, (0, 4)), (24, (4, 0)), (47, (6, 11))] {
        assert_eq!(halfwords[at], of(row, col) + 128 + 256 * of(row + 1, col), "{row}, {col}");
    }
}

#[test]
fn packed_weights_come_back_to_four_bits() {
    let mut next = random(11);
    for group in [32, 64] {
        let (rows, cols) = (8, 72);
        let shape = Shape::Matrix { rows, cols, bias: true, layout: WeightLayout::Packed { group } };
        let weight: Vec<f32> = (0..rows * cols).map(|i| next() * libm::expf((i / 32 % 5) as f32 - 2.0)).collect();
        let quantized = one(shape, &weight, &[0.25; 8]).unwrap();
        assert_eq!(quantized.bytes.len() as u64, shape.bytes());
        let back = dequantize(&spec(&tiny_llama()), QUERY, shape, &quantized.bytes).unwrap();
        assert_eq!(back.bias, [0.25; 8]);
        let off = error(&weight, back.weight.iter().map(|x| f64::from(*x)));
        assert!((off - quantized.error).abs() < 1e-3 && off < 0.12, "{off}, and {} was told", quantized.error);
    }
}

#[test]
fn tables_come_back_to_half_a_step_of_their_groups() {
    let mut next = random(12);
    let (rows, cols) = (6, 72);
    let shape = Shape::Matrix { rows, cols, bias: false, layout: WeightLayout::Table };
    let weight: Vec<f32> = (0..rows * cols).map(|i| next() * libm::expf((i / 32 % 5) as f32 - 2.0) + 0.1).collect();
    let quantized = one(shape, &weight, &[]).unwrap();
    assert_eq!(quantized.bytes.len() as u64, shape.bytes());
    let back = dequantize(&spec(&tiny_llama()), QUERY, shape, &quantized.bytes).unwrap();
    let off = error(&weight, back.weight.iter().map(|x| f64::from(*x)));
    assert!((off - quantized.error).abs() < 1e-6 && off < 0.06, "{off}, and {} was told", quantized.error);
}

#[test]
fn a_norm_carries_the_root_of_its_width() {
    let shape = Shape::Norm { size: 4, kind: NormKind::Layer, bias: true };
    let quantized = one(shape, &[1.0, -0.5, 0.25, 0.0], &[0.0, 1.0, -1.0, 0.5]).unwrap();
    // The scaled weights are 2, -1, 0.5 and 0; 2 * 2^29 is the mantissa.
    let expected = [29, 1 << 30, -(1 << 29), 1 << 28, 0, 0, 65_536, -65_536, 32_768, 0, 0, 0];
    assert_eq!(words(&quantized.bytes), expected);
    assert!(quantized.error < 1e-9);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let matrix = Shape::Matrix { rows: 1, cols: 1, bias: true, layout: WeightLayout::RowMajor };
    let error = format!("{:#}", one(matrix, &[1.0], &[40_000.0]).unwrap_err());
    assert!(error.contains("decoder.0.Query") && error.contains("40000"), "{error}");
    assert!(one(matrix, &[3e38], &[0.0]).is_err());
    assert!(one(Shape::Words { len: 1 }, &[-32_769.0], &[]).is_err());
}

#[test]
fn tables_have_their_binary_points() {
    let format = |role| words_format(role, 12);
    assert_eq!(format(Role::Stack(Stack::Encoder, StackPart::RelativeBias)), (LOG2_E, 16));
    assert_eq!(format(Role::Head(HeadPart::OutputBias)), (1.0, 12));
    assert_eq!([1.0, -1.0, 0.5].map(|x| halfword(x, halfwords_scale(None))), [32_767, -32_767, 16_384]);
    assert_eq!([1.0, 0.5].map(|x| halfword(x, halfwords_scale(Some(Activation::Tanh)))), [32_767, 16_384]);
    assert_eq!([0.5, 0.25].map(|x| halfword(x, halfwords_scale(Some(Activation::Sigmoid)))), [32_767, 16_384]);
    assert_eq!(halfword(-0.169_97, halfwords_scale(Some(Activation::Gelu))), -11_139);
}

#[test]
fn every_tensor_of_a_model_has_the_bytes_of_its_shape() {
    for config in [tiny_llama(), tiny_bert()] {
        let spec = spec(&config);
        let weights = random_weights(&spec, 3);
        let quantized = quantize(&spec, &weights, None, &|| ()).unwrap();
        assert_eq!(quantized.len(), roles(&spec).count());
        for ((role, shape), tensor) in roles(&spec).zip(&quantized) {
            assert_eq!((tensor.role, tensor.bytes.len() as u64), (role, shape.bytes()));
            assert!(tensor.error < 0.01, "{role:?} is off by {}", tensor.error);
        }
        let back = round_trip(&spec, &weights).unwrap();
        for (role, tensor) in weights.iter() {
            let held = &back.get(role).unwrap().weight;
            let most = largest(&tensor.weight);
            let close = |(x, y): (&f32, &f32)| f64::from((x - y).abs()) <= most / 127.0;
            assert!(tensor.weight.iter().zip(held).all(close), "{role:?}");
        }
    }
}

#[test]
fn a_scale_of_least_squares_costs_a_row_no_more_than_the_whole_one() {
    let mut next = random(3);
    for len in [1, 3, 24, 96] {
        for _ in 0..50 {
            let row: Vec<f32> = (0..len).map(|_| next()).collect();
            let cost = |scale: f64| -> f64 {
                let range = (-MAX_WEIGHT, MAX_WEIGHT);
                row.iter().map(|x| code(f64::from(*x), scale, range) * scale - f64::from(*x)).map(|off| off * off).sum()
            };
            let (least, whole) = (least_squares_scale(&row), whole_scale(&row));
            assert!(least <= whole && least > 0.9 * whole, "{least} of {whole}");
            assert!(cost(least) <= cost(whole), "{len} weights");
        }
    }
    assert_eq!(least_squares_scale(&[0.0; 4]), 0.0);
}

#[test]
fn layers_make_up_for_the_rounding_errors_of_those_before_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/stories").as_ref();
    let widths = Widths { weights: Width::Int4, ..Widths::default() };
    let source = Source::open(folder, &Options { widths, ..Options::default() }).unwrap();
    let spec = source.spec();
    let read = sample_texts(&source, 12, 80, 1).unwrap();
    let exact = |text: Input| {
        let rows = Reference::new(spec, &source.weights).answer(&text)?;
        Ok((text, rows))
    };
    let unseen = sample_texts(&source, 12, 40, 2).unwrap().into_iter().map(exact).collect::<Result<Vec<_>>>().unwrap();
    let loss = |calibration: &Calibration| {
        let tensors = quantize(spec, &source.weights, Some(calibration), &|| ()).unwrap();
        let held = tensors.iter().zip(roles(spec)).map(|(tensor, (role, shape))| {
            let held = dequantize(spec, role, shape, &tensor.bytes)?;
            Ok((role, held))
        });
        let held = Weights::new(spec, held.collect::<Result<_>>().unwrap()).unwrap();
        let fidelity = compare_each(spec, &unseen, |(text, exact), comparison| {
            let found = Reference::new(spec, &held).answer(text)?;
            comparison.add(text, exact, found.rows().map(|row| row.iter().map(|&x| x.into()).collect()));
            Ok(())
        });
        fidelity.unwrap().language.expect("a language model").kl
    };
    let mut calibration = Calibration::gather(&source, &read, &|| ()).unwrap();
    let before = loss(&calibration);
    assert!(can_compensate(spec, 12 * 80) && !can_compensate(spec, usize::MAX));
    compensate(&source, &read, &mut calibration, &|| ()).unwrap();
    let after = loss(&calibration);
    assert!(after < 0.8 * before, "{after} nats a token, {before} before");
}

#[test]
fn a_model_of_eight_bits_is_not_compensated() {
    let spec = spec(&tiny_llama());
    assert!(!can_compensate(&spec, 10));
}
