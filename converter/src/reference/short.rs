//! Gated short convolutions, which some layers have in place of attention.

use anyhow::Result;
use kinglet::format::layout::BlockPart;

use super::attention::Cache;
use super::model::{Layer, Step};
use crate::real::Rows;

/// `output(q * convolution(k * v))`: each channel is convolved with a kernel of its own, whose last
/// tap multiplies the token itself. The cache holds the products of all tokens as keys.
pub(super) fn short_convolution(layer: &Layer<'_, '_>, x: &Rows, cache: &mut Cache) -> Result<Rows> {
    let queries = layer.linear(BlockPart::Query, x)?; // [tokens, hidden_size]
    let keys = layer.linear(BlockPart::Key, x)?;
    let mut products = layer.linear(BlockPart::Value, x)?;
    multiply(&mut products, &keys);
    cache.keys.extend_from_slice(&products.values);

    let role = layer.role(BlockPart::ShortKernel);
    let kernel = layer.model.tensor(role)?;
    let width = products.width;
    let taps = kernel.weight.len() / width;
    let mut mixed = Rows { width, values: kernel.bias.clone() };
    mixed.values.resize(width, 0.0);
    mixed.values = mixed.values.repeat(products.values.len() / width);
    for (token, row) in mixed.rows_mut().enumerate() {
        for tap in 0..taps {
            let Some(position) = (layer.first + token + 1 + tap).checked_sub(taps) else { continue };
            let product = &cache.keys[position * width..][..width];
            for (channel, (sum, x)) in row.iter_mut().zip(product).enumerate() {
                *sum += kernel.weight[channel * taps + tap] * x;
            }
        }
    }
    layer.model.observe(&Step::Convolution { role, x: &products, out: &mixed });
    multiply(&mut mixed, &queries);
    layer.linear(BlockPart::Output, &mixed)
}

fn multiply(x: &mut Rows, by: &Rows) {
    x.values.iter_mut().zip(&by.values).for_each(|(x, by)| *x *= by);
}
