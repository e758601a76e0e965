//! Rounds the layers of a model in order, and changes the weights of each so that it makes up for
//! the rounding errors of those before it.
//!
//! Two models read the same texts: the exact one, and one whose matrices are rounded up to the
//! layer in question. The weights of a matrix become those with which its outputs in the second
//! model are nearest to its outputs in the first. Where they are added to the residual stream, they
//! also make up for the error that the stream has. Then the matrix is rounded by the inputs of the
//! second model. GPTAQ (arXiv 2504.02692) has the idea of the exact targets.

use core::cell::RefCell;

use anyhow::{Context, Result};
use kinglet::format::layout::{BlockPart, Role, roles};
use kinglet::format::spec::{Convolution, ModelSpec, PackedSpec, Residual, StackSpec};
use rayon::prelude::*;

use super::gptq::Factor;
use super::{Rounding, dequantize, quantize_role};
use crate::calibrate::{Calibration, Products, reader};
use crate::fit::products_per_token;
use crate::opened::Source;
use crate::progress::Progress;
use crate::real::{Rows, add};
use crate::reference::{Reference, Step};
use crate::texts::Input;
use crate::weights::Weights;

/// The most products that are computed. A larger model is not compensated.
const PRODUCTS: u64 = 100_000_000_000;
/// The number of times that a text runs through a layer: once in the exact model, once for each of
/// the inputs of its matrices, and once more after they are rounded.
const RUNS: u64 = 6;

/// A text in both models.
struct Run {
    /// The states that enter the layer.
    exact: Rows,
    held: Rows,
    /// The outputs of the layer's matrices in the exact model.
    wanted: Vec<(Role, Rows)>,
}

/// The matrices of one layer that one text has run through.
#[derive(Default)]
struct Seen {
    /// The inputs, by the role of the first matrix with this input, in the order of the steps.
    inputs: Vec<(Role, Rows)>,
    /// The outputs. The residual stream is added to an output that is added to it.
    outputs: Vec<(Role, Rows)>,
    /// The residual stream before the latest norm.
    stream: Rows,
}

/// Whether [`compensate`] changes a model: it has matrices with four bits and one stack of separate
/// layers, and running `tokens` tokens through it is affordable.
pub fn can_compensate(spec: &ModelSpec, tokens: usize) -> bool {
    let is_plain = |stack: &StackSpec| {
        stack.convolution == Convolution::None && stack.num_blocks() == usize::from(stack.num_hidden_layers)
    };
    let plain = match (&spec.encoder, &spec.decoder) {
        (Some(stack), None) | (None, Some(stack)) => is_plain(stack),
        _ => false,
    };
    let products = RUNS.saturating_mul(products_per_token(spec)).saturating_mul(tokens as u64);
    plain && spec.numerics.packed != PackedSpec::NONE && tokens > 0 && products <= PRODUCTS
}

/// Writes adjusted weights, and the inputs that rounded layers give each layer, into `calibration`.
/// `progress` is called for each layer.
///
/// # Errors
/// When a text does not fit the model, or a value does not fit its integer.
pub fn compensate(
    source: &Source,
    texts: &[Input],
    calibration: &mut Calibration,
    progress: Progress<'_>,
) -> Result<()> {
    let spec = source.spec();
    let layers = spec.last_stack().map_or(0, |stack| usize::from(stack.num_hidden_layers));
    let (mut adjusted, mut held) = (source.weights.clone(), source.weights.clone());
    for (role, _) in roles(spec).filter(|(role, _)| matches!(role, Role::Stack(..))) {
        let factor = calibration.get(spec, role).and_then(Factor::new);
        hold(spec, &adjusted, &mut held, role, factor.as_ref())?;
    }
    let begin = |text: &Input| {
        let first = |weights: &Weights| Reference::new(spec, weights).first_states(text);
        Ok(Run { exact: first(&source.weights)?, held: first(&held)?, wanted: Vec::new() })
    };
    let mut runs = texts.par_iter().map(begin).collect::<Result<Vec<Run>>>()?;
    for index in 0..layers {
        let mut order = Vec::new();
        let seen = all(spec, &source.weights, index, &states(&runs, |run| &run.exact))?;
        for (run, (x, seen)) in runs.iter_mut().zip(seen) {
            (run.exact, run.wanted) = (x, seen.outputs);
            order = seen.inputs.into_iter().map(|(role, _)| role).collect();
        }
        for input in order {
            let seen = all(spec, &held, index, &states(&runs, |run| &run.held))?;
            let matrices = runs.first().map_or(&[][..], |run| &run.wanted).iter().map(|(role, _)| *role);
            let matrices: Vec<Role> = matrices.filter(|role| reader(spec, *role) == input).collect();
            let x: Vec<&[f32]> = seen.iter().flat_map(|(_, seen)| rows(&seen.inputs, input)).collect();
            let mut products = Products::new(x.first().map_or(0, |x| x.len()));
            products.add(&x);
            let factor = Factor::new(&products);
            for role in matrices {
                let wanted = runs.iter().flat_map(|run| rows(&run.wanted, role));
                let found = seen.iter().flat_map(|(_, seen)| rows(&seen.outputs, role));
                let off: Vec<(&[f32], &[f32])> = wanted.zip(found).collect();
                if let (Some(factor), Some(tensor)) = (&factor, adjusted.get_mut(role)) {
                    tensor.weight.par_chunks_mut(products.width).enumerate().for_each(|(output, weights)| {
                        let mut sums = vec![0.0; weights.len()];
                        for (x, (wanted, found)) in x.iter().zip(&off) {
                            let off = f64::from(wanted[output]) - f64::from(found[output]);
                            sums.iter_mut().zip(*x).for_each(|(sum, x)| *sum += off * f64::from(*x));
                        }
                        let change = factor.regress(&sums);
                        weights.iter_mut().zip(change).for_each(|(weight, change)| *weight += change as f32);
                    });
                }
                hold(spec, &adjusted, &mut held, role, factor.as_ref())?;
            }
            calibration.replace(input, products);
        }
        let seen = all(spec, &held, index, &states(&runs, |run| &run.held))?;
        runs.iter_mut().zip(seen).for_each(|(run, (x, _))| run.held = x);
        progress();
    }
    calibration.adjusted = Some(adjusted);
    Ok(())
}

/// The states of one model.
fn states(runs: &[Run], of: fn(&Run) -> &Rows) -> Vec<&Rows> {
    runs.iter().map(of).collect()
}

/// The rows of a matrix.
fn rows(list: &[(Role, Rows)], of: Role) -> impl Iterator<Item = &[f32]> {
    list.iter().filter(move |(role, _)| *role == of).flat_map(|(_, rows)| rows.rows())
}

/// Rounds a matrix, and writes the rounded weights into `held`.
fn hold(spec: &ModelSpec, weights: &Weights, held: &mut Weights, role: Role, factor: Option<&Factor>) -> Result<()> {
    let (_, shape) = roles(spec).find(|(other, _)| *other == role).context("the model lacks a tensor")?;
    let rounding = factor.map_or(Rounding::Nearest, Rounding::Calibrated);
    let quantized = quantize_role(spec, weights, role, shape, rounding)?;
    if let Some(tensor) = held.get_mut(role) {
        *tensor = dequantize(spec, role, shape, &quantized.bytes)?;
    }
    Ok(())
}

/// Runs the states of all texts through one layer.
fn all(spec: &ModelSpec, weights: &Weights, index: usize, states: &[&Rows]) -> Result<Vec<(Rows, Seen)>> {
    let one = |x: &&Rows| {
        let seen = RefCell::new(Seen::default());
        let observer = |step: &Step<'_>| seen.borrow_mut().add(spec, step);
        let x = Reference::observed(spec, weights, &observer).layer(index, (*x).clone())?;
        Ok((x, seen.into_inner()))
    };
    states.par_iter().map(one).collect()
}

impl Seen {
    fn add(&mut self, spec: &ModelSpec, step: &Step<'_>) {
        match *step {
            Step::Norm {
                role: Role::Block(id, _, BlockPart::AttentionNorm | BlockPart::FeedForwardNorm), x, ..
            } if spec.stack(id).is_some_and(|stack| stack.block.residual == Residual::PreNorm) => {
                self.stream = x.clone();
            }
            Step::Linear { role, x, out } => {
                if reader(spec, role) == role {
                    self.inputs.push((role, x.clone()));
                }
                let mut out = out.clone();
                let is_added = matches!(role, Role::Block(.., BlockPart::Output | BlockPart::Down));
                if is_added && self.stream.width == out.width {
                    add(&mut out, &self.stream);
                }
                self.outputs.push((role, out));
            }
            _ => {}
        }
    }
}
