//! Runs a transformer block.

use anyhow::Result;
use kinglet::format::layout::{BlockPart, NETWORKS};
use kinglet::format::spec::{Activation, BottleneckAttention, Residual};

use super::attention::{Cache, attention, cross_attention};
use super::model::Layer;
use super::short::short_convolution;
use crate::real::{Rows, add};
use crate::tables;

/// Runs one layer's block on the hidden states `x` of some tokens.
///
/// Appends the keys and values of the tokens to `cache`; `cross` has those of the encoder's output.
pub(super) fn block(layer: &Layer<'_, '_>, x: Rows, cache: &mut Cache, cross: Option<&Cache>) -> Result<Rows> {
    let Some(bottleneck) = &layer.stack.block.bottleneck else {
        return sublayers(layer, x, None, cache, cross);
    };
    let narrow = layer.norm(BlockPart::NarrowNorm, &layer.linear(BlockPart::Narrow, &x)?)?;
    let inputs = match bottleneck.attention {
        BottleneckAttention::Narrow => [narrow.clone(), narrow.clone()],
        BottleneckAttention::Wide => [x.clone(), x.clone()],
        BottleneckAttention::Shared => {
            let shared = layer.linear(BlockPart::NarrowShared, &x)?;
            [layer.norm(BlockPart::NarrowSharedNorm, &shared)?, x.clone()]
        }
    };
    let narrow = sublayers(layer, narrow, Some(&inputs), cache, cross)?;
    let mut sum = layer.linear(BlockPart::Widen, &narrow)?;
    add(&mut sum, &x);
    layer.norm(BlockPart::WidenNorm, &sum)
}

/// Runs attention and the feed-forward networks. With `inputs`, queries and keys are computed from
/// the first and values from the second; otherwise all are computed from `x`.
fn sublayers(
    layer: &Layer<'_, '_>,
    mut x: Rows,
    inputs: Option<&[Rows; 2]>,
    cache: &mut Cache,
    cross: Option<&Cache>,
) -> Result<Rows> {
    let block = &layer.stack.block;
    let norm = |part, x: &Rows| match part {
        BlockPart::AttentionNorm if layer.index == 0 && block.skip_first_norm => Ok(x.clone()),
        part => layer.norm(part, x),
    };
    match block.residual {
        Residual::PreNorm | Residual::PostNorm | Residual::Sandwich | Residual::OutputNorm => {
            // One sublayer after the other, each with its own residual connection.
            let sublayer = |x: Rows, part, post, f: &mut dyn FnMut(&Rows) -> Result<Rows>| -> Result<Rows> {
                match block.residual {
                    Residual::PostNorm => {
                        let mut sum = f(&x)?;
                        add(&mut sum, &x);
                        norm(part, &sum)
                    }
                    Residual::OutputNorm => {
                        let mut sum = norm(part, &f(&x)?)?;
                        add(&mut sum, &x);
                        Ok(sum)
                    }
                    Residual::Sandwich => {
                        let mut sum = norm(post, &f(&norm(part, &x)?)?)?;
                        add(&mut sum, &x);
                        Ok(sum)
                    }
                    _ => {
                        let mut sum = f(&norm(part, &x)?)?;
                        add(&mut sum, &x);
                        Ok(sum)
                    }
                }
            };
            x = sublayer(x, BlockPart::AttentionNorm, BlockPart::AttentionPostNorm, &mut |x| {
                let [queries, values] = inputs.map_or([x, x], |[queries, values]| [queries, values]);
                mix(layer, queries, values, cache)
            })?;
            if let Some(cross) = cross.filter(|_| block.cross_attention) {
                x = sublayer(x, BlockPart::CrossNorm, BlockPart::CrossNorm, &mut |x| cross_attention(layer, x, cross))?;
            }
            for (up, down, norm) in NETWORKS.into_iter().take(block.feed_forward.networks.into()) {
                x = sublayer(x, norm, BlockPart::FeedForwardPostNorm, &mut |x| feed_forward(layer, up, down, x))?;
            }
            Ok(x)
        }
        Residual::Parallel | Residual::ParallelShared => {
            let normed = norm(BlockPart::AttentionNorm, &x)?;
            let attended = mix(layer, &normed, &normed, cache)?;
            let second = match block.residual {
                Residual::Parallel => norm(BlockPart::FeedForwardNorm, &x)?,
                _ => normed,
            };
            add(&mut x, &attended);
            add(&mut x, &feed_forward(layer, BlockPart::Up, BlockPart::Down, &second)?);
            Ok(x)
        }
    }
}

/// Runs attention, or the short convolution that a layer has in its place.
fn mix(layer: &Layer<'_, '_>, x: &Rows, values: &Rows, cache: &mut Cache) -> Result<Rows> {
    match layer.stack.short_convolution(layer.index) {
        Some(_) => short_convolution(layer, x, cache),
        None => attention(layer, x, values, cache),
    }
}

fn feed_forward(layer: &Layer<'_, '_>, up: BlockPart, down: BlockPart, x: &Rows) -> Result<Rows> {
    let network = &layer.stack.block.feed_forward;
    let activate = |x: &mut Rows, kind: Activation| {
        x.values.iter_mut().for_each(|x| *x = tables::activation(kind, *x));
    };
    let mut inner = layer.linear(up, x)?; // [tokens, intermediate_size]
    if network.gated {
        let mut gate = layer.linear(BlockPart::Gate, x)?;
        activate(&mut gate, network.activation);
        inner.values.iter_mut().zip(&gate.values).for_each(|(x, gate)| *x *= gate);
    } else {
        activate(&mut inner, network.activation);
    }
    layer.linear(down, &inner)
}
