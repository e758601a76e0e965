//! Measures the cost of quantizing each part and each layer alone, with everything else in `f32`.

use core::mem;
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use kinglet::Model;
use kinglet::format::layout::{Role, Shape, Stack, roles};
use kinglet::format::spec::ModelSpec;
use rayon::prelude::*;
use serde::Serialize;

use crate::fidelity::compare_each;
use crate::fit::products_per_token;
use crate::opened::Source;
use crate::progress::Progress;
use crate::quantize::dequantize;
use crate::reference::Reference;
use crate::texts::Input;
use crate::weights::{Tensor, Weights};

/// About the most products that are computed; a larger model reads fewer texts.
const PRODUCTS: u64 = 200_000_000_000;
/// About the fewest and the most tokens that are read.
const TOKENS: (usize, usize) = (96, 1024);

/// The cost of quantizing some matrices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// The layer of the matrices; `None` for all layers.
    pub layer: Option<String>,
    /// The part of the matrices, such as `query` or `token embedding`; `None` for all parts.
    pub part: Option<String>,
    /// The size of the matrices in bytes.
    pub bytes: usize,
    /// The distance from one of the mean cosine between results.
    pub cosine: f64,
    /// The Kullback-Leibler divergence in nats per token, if the model predicts tokens.
    pub kl: Option<f64>,
}

/// Matrices that are quantized together, with all others in `f32`.
struct Group {
    layer: Option<String>,
    part: Option<String>,
    roles: Vec<Role>,
}

/// The number of measurements of [`measure`].
pub fn steps(spec: &ModelSpec) -> usize {
    groups(spec).len()
}

/// Measures each part, each layer, and each part of each layer, on some of `inputs`. `model` is the
/// blob of `source`. `progress` is called for each measurement.
///
/// # Errors
/// When the blob and the checkpoint do not belong together.
pub fn measure(source: &Source, model: &Model<'_>, inputs: &[Input], progress: Progress<'_>) -> Result<Vec<Loss>> {
    let spec = source.spec();
    let groups = groups(spec);
    let mut held = dequantized(model)?;
    let bytes: BTreeMap<Role, usize> = roles(spec).map(|(role, shape)| (role, shape.bytes() as usize)).collect();
    let answered = some(inputs, groups.len() * products_per_token(spec).max(1) as usize).into_par_iter().map(|input| {
        let exact = Reference::new(spec, &source.weights).answer(input)?;
        Ok((input, exact))
    });
    let answered = answered.collect::<Result<Vec<_>>>()?;
    let mut weights = source.weights.clone();
    let measured = groups.into_iter().map(|Group { layer, part, roles }| {
        exchange(&mut weights, &mut held, &roles);
        let found = compare_each(spec, &answered, |(input, exact), comparison| {
            let found = Reference::new(spec, &weights).answer(input)?;
            comparison.add(input, exact, found.rows().map(|row| row.iter().map(|&x| x.into()).collect()));
            Ok(())
        });
        exchange(&mut weights, &mut held, &roles);
        progress();
        let found = found?;
        let bytes = roles.iter().filter_map(|role| bytes.get(role)).sum();
        Ok(Loss { layer, part, bytes, cosine: 1.0 - found.cosine(), kl: found.language.map(|language| language.kl) })
    });
    measured.collect()
}

/// The matrices of a blob as real numbers.
fn dequantized(model: &Model<'_>) -> Result<BTreeMap<Role, Tensor>> {
    let (mut rest, mut held) = (model.payload(), BTreeMap::new());
    for (role, shape) in roles(model.spec()) {
        let (bytes, after) = rest.split_at_checked(shape.bytes() as usize).context("the payload is cut")?;
        rest = after;
        if matches!(shape, Shape::Matrix { .. }) {
            held.insert(role, dequantize(model.spec(), role, shape, bytes)?);
        }
    }
    Ok(held)
}

/// Swaps tensors of the model with those in `held`.
fn exchange(weights: &mut Weights, held: &mut BTreeMap<Role, Tensor>, roles: &[Role]) {
    for role in roles {
        if let (Some(one), Some(other)) = (weights.get_mut(*role), held.get_mut(role)) {
            mem::swap(one, other);
        }
    }
}

/// Inputs of all lengths, as many as `PRODUCTS` allows if each token takes `products` of them.
fn some(inputs: &[Input], products: usize) -> Vec<&Input> {
    let tokens = |input: &Input| input.ids.len() + input.decoder_ids.len();
    let (all, most) = (
        inputs.iter().map(tokens).sum::<usize>(),
        (PRODUCTS / products as u64).clamp(TOKENS.0 as u64, TOKENS.1 as u64) as usize,
    );
    inputs.iter().step_by(all.div_ceil(most).max(1)).collect()
}

/// The groups: parts outside of layers, parts of all layers, whole layers, and parts of layers.
fn groups(spec: &ModelSpec) -> Vec<Group> {
    let two = spec.encoder.is_some() && spec.decoder.is_some();
    let of = |id: Stack, name: String| match id {
        Stack::Encoder if two => format!("encoder {name}"),
        Stack::Decoder if two => format!("decoder {name}"),
        _ => name,
    };
    let mut groups: Vec<Group> = Vec::new();
    for (role, _) in roles(spec).filter(|(_, shape)| matches!(shape, Shape::Matrix { .. })) {
        let keys = match role {
            Role::Stack(id, part) => vec![(None, Some(of(id, words(&format!("{part:?}")))))],
            Role::Head(part) => vec![(None, Some(format!("head {}", words(&format!("{part:?}")))))],
            Role::Block(id, block, part) => {
                let part = Some(of(id, words(&format!("{part:?}"))));
                let layer = Some(of(id, block.to_string()));
                vec![(None, part.clone()), (layer.clone(), None), (layer, part)]
            }
        };
        for (layer, part) in keys {
            match groups.iter_mut().find(|group| group.layer == layer && group.part == part) {
                Some(group) => group.roles.push(role),
                None => groups.push(Group { layer, part, roles: vec![role] }),
            }
        }
    }
    groups
}

/// The words of a name: `token embedding` for `TokenEmbedding`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
