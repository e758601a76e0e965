//! A span-based dynamic convolution (arXiv 2008.02496), which runs beside attention.

use anyhow::Result;
use kinglet::format::layout::BlockPart;
use kinglet::format::spec::SpanConvolutionSpec;

use super::model::Layer;
use crate::real::Rows;
use crate::tables;

/// The results of the convolution's heads, `[tokens, heads * head_dim]`, for a whole text `x` and its
/// queries.
pub(super) fn convolve(layer: &Layer<'_, '_>, span: &SpanConvolutionSpec, x: &Rows, queries: &Rows) -> Result<Rows> {
    let attention = &layer.stack.block.attention;
    let head_dim = usize::from(attention.head_dim);
    let size = usize::from(span.kernel_size);
    let half = isize::from(span.kernel_size.cast_signed()) / 2;
    let places: Vec<isize> = (-half..=half).collect();

    // The separable convolution: each channel with a kernel of its own, then a product.
    let kernels = &layer.model.tensor(layer.role(BlockPart::SpanDepthwise))?.weight; // [channels, size]
    let mut keys = Rows { width: x.width, values: vec![0.0; x.values.len()] };
    for (out, around) in keys.rows_mut().zip(x.neighbours(&places).rows()) {
        for (tap, row) in around.chunks_exact(x.width).enumerate() {
            let kernel = kernels.iter().skip(tap).step_by(size);
            out.iter_mut().zip(row).zip(kernel).for_each(|((out, x), weight)| *out += x * weight);
        }
    }
    let mut products = layer.linear(BlockPart::SpanKey, &keys)?; // [tokens, heads * head_dim]
    layer.model.narrow(attention, &mut products.values);
    products.values.iter_mut().zip(&queries.values).for_each(|(key, query)| *key *= query);

    let kernels = layer.linear(BlockPart::SpanKernel, &products)?; // [tokens, heads * size]
    let values = layer.linear(BlockPart::SpanValue, x)?.neighbours(&places); // [tokens, size * heads * head_dim]
    let width = queries.width;
    let mut out = Rows { width, values: vec![0.0; queries.values.len()] };
    for ((out, kernels), values) in out.rows_mut().zip(kernels.rows()).zip(values.rows()) {
        for (head, (out, scores)) in out.chunks_exact_mut(head_dim).zip(kernels.chunks_exact(size)).enumerate() {
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| tables::exp2(score - most)).collect();
            let sum: f32 = weights.iter().sum();
            for (weight, values) in weights.iter().zip(values.chunks_exact(width)) {
                let values = &values[head * head_dim..][..head_dim];
                out.iter_mut().zip(values).for_each(|(out, value)| *out += weight / sum * value);
            }
        }
    }
    Ok(out)
}
