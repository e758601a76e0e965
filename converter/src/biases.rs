//! Removes attention biases, because large ones cost precision.
//!
//! A key bias adds `query . bias` to every score of a row, and a softmax ignores a constant that is
//! added to all its arguments: the bias can be dropped. A value bias passes through the weighted
//! sum unchanged, because the weights add up to one, and is then multiplied by the output
//! projection: it can be folded into the output bias. The eight bits of a key or a value then hold
//! only what differs between tokens.

use kinglet::format::layout::{BlockPart, Role, Stack};
use kinglet::format::spec::{AttentionPosition, StackSpec};

use crate::opened::Source;
use crate::weights::Weights;

/// Drops key biases and folds value biases into output biases, in the layers where this changes
/// results only by rounding.
pub fn simplify(source: &mut Source) {
    let spec = source.mapping.spec;
    for id in [Stack::Encoder, Stack::Decoder] {
        let Some(stack) = spec.stack(id).filter(|stack| stack.block.attention.qkv_bias) else { continue };
        for block in 0..stack.num_blocks() {
            let role = |part| Role::Block(id, block as u16, part);
            let weights = &mut source.weights;
            let attends = stack.short_convolution(block).is_none();
            if let Some(kept) = kept_dims(stack, block).filter(|_| attends) {
                drop_keys(weights, role(BlockPart::Key), kept, stack.block.attention.head_dim.into());
            }
            // Cross-attention has neither positions nor query and key norms.
            if stack.block.attention.soft_cap.is_none() {
                drop_keys(weights, role(BlockPart::CrossKey), 0, stack.block.attention.head_dim.into());
            }
            if stack.block.attention.output_bias {
                if attends {
                    fold_values(weights, stack, role(BlockPart::Value), role(BlockPart::Output));
                }
                fold_values(weights, stack, role(BlockPart::CrossValue), role(BlockPart::CrossOutput));
            }
        }
    }
}

/// The number of leading key biases in a head that matter; `None` if all do.
///
/// Rotation makes a bias depend on the distance, soft caps and norms are not linear, and keys that
/// are multiplied by vectors of distances bring their bias into that product.
fn kept_dims(stack: &StackSpec, block: usize) -> Option<usize> {
    let attention = &stack.block.attention;
    if attention.query_key_norm.spec().is_some() || attention.soft_cap.is_some() {
        return None;
    }
    match attention.position {
        AttentionPosition::None
        | AttentionPosition::RelativeBias { .. }
        | AttentionPosition::LayerRelativeBias { .. } => Some(0),
        AttentionPosition::Disentangled { position_to_content, .. } => (!position_to_content).then_some(0),
        AttentionPosition::Rotary { dims, layers, .. } => {
            let mut run = (0..usize::from(stack.num_hidden_layers)).filter(|layer| stack.block_of(*layer) == block);
            Some(if run.any(|layer| layers >> layer & 1 == 1) { dims.into() } else { 0 })
        }
    }
}

fn drop_keys(weights: &mut Weights, role: Role, kept: usize, head_dim: usize) {
    let Some(keys) = weights.get_mut(role) else { return };
    for head in keys.bias.chunks_exact_mut(head_dim) {
        head[kept..].fill(0.0);
    }
}

fn fold_values(weights: &mut Weights, stack: &StackSpec, value: Role, output: Role) {
    let attention = &stack.block.attention;
    let (head_dim, width) = (usize::from(attention.head_dim), attention.query_size());
    let group = usize::from(attention.num_attention_heads / attention.num_key_value_heads);
    let Some(values) = weights.get_mut(value) else { return };
    let biases = core::mem::take(&mut values.bias);
    values.bias = vec![0.0; biases.len()];
    let Some(output) = weights.get_mut(output) else { return };
    // Further columns read the heads of a convolution, whose weights add up to less at the ends of a
    // text.
    let cols = output.weight.len() / output.bias.len().max(1);
    for (bias, row) in output.bias.iter_mut().zip(output.weight.chunks_exact(cols.max(1))) {
        // The heads of a group share one value head.
        let of = |at: usize| biases[at / head_dim / group * head_dim + at % head_dim];
        let through: f64 = row.iter().take(width).enumerate().map(|(at, w)| f64::from(*w) * f64::from(of(at))).sum();
        *bias = (f64::from(*bias) + through) as f32;
    }
}
