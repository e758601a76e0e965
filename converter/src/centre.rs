//! Norms whose results are moved to the middle of their range, for activations of eight bits.
//!
//! A row of eight bits has one step, which its largest magnitude decides, and in encoders a few
//! channels are far from zero in every row. What a norm adds to its result can be changed by any
//! vector `m` and made good behind it: a matrix that reads the result gets `W m` in its bias, and
//! where the norm comes after a sublayer, the matrix whose result is added to it gets `m` itself. In
//! real numbers the model is the same. Outlier Suppression+ (arXiv 2304.09145) moves channels like
//! that; its factors have no place here, because a residual connection around a norm's readers
//! would need the inverse factor.

use core::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{
    ActivationWidth, AttentionPosition, Convolution, EmbeddingProjection, PositionTable, Residual, StackSpec,
};
use rayon::prelude::*;

use crate::opened::Source;
use crate::reference::{Reference, Step};
use crate::texts::Input;
use crate::weights::Weights;

/// A norm that can be moved.
struct Site {
    norm: Role,
    /// The matrices that read its result.
    readers: Vec<Role>,
    /// The matrix whose result is added to the norm's.
    added: Role,
}

/// The least and the largest number in each channel of a norm's results.
type Extents = Vec<(f32, f32)>;

/// Moves the norms of a model with activations of eight bits, and norms after its sublayers, to the
/// middle of the ranges that their channels have on `texts`. Other models stay as they are.
///
/// # Errors
/// When the reference cannot run the texts.
pub fn centre(source: &mut Source, texts: &[Input]) -> Result<()> {
    let sites = sites(source);
    if sites.is_empty() || texts.is_empty() {
        return Ok(());
    }
    let extents = extents(source, &sites, texts)?;
    for site in &sites {
        if let Some(extents) = extents.get(&site.norm) {
            let middles: Vec<f32> = extents.iter().map(|(least, most)| f32::midpoint(*least, *most)).collect();
            site.move_by(&mut source.weights, &middles);
        }
    }
    Ok(())
}

/// The norms of a model that can be moved, in the order in which they are read.
fn sites(source: &Source) -> Vec<Site> {
    let spec = source.spec();
    let only =
        |id| spec.stack(id).filter(|_| spec.encoder.is_none() || spec.decoder.is_none()).map(|stack| (id, stack));
    let Some((id, stack)) = only(Stack::Encoder).or_else(|| only(Stack::Decoder)) else { return Vec::new() };
    if spec.numerics.activations != ActivationWidth::A8 || !can_move(stack) {
        return Vec::new();
    }
    let mut sites = Vec::new();
    let mut before = Role::Stack(id, StackPart::EmbeddingNorm);
    for block in 0..stack.num_hidden_layers {
        let of = |part| Role::Block(id, block, part);
        if before != Role::Stack(id, StackPart::EmbeddingNorm) || stack.embedding.norm.is_some_and(|norm| norm.bias) {
            let readers = [BlockPart::Query, BlockPart::Key, BlockPart::Value].map(of).to_vec();
            sites.push(Site { norm: before, readers, added: of(BlockPart::Output) });
        }
        let readers =
            [BlockPart::Up, BlockPart::Gate].into_iter().take(1 + usize::from(stack.block.feed_forward.gated));
        let (norm, added) = (of(BlockPart::AttentionNorm), of(BlockPart::Down));
        sites.push(Site { norm, readers: readers.map(of).collect(), added });
        before = of(BlockPart::FeedForwardNorm);
    }
    sites
}

/// Whether a stack has norms after its sublayers, which nothing else reads, and biases everywhere.
fn can_move(stack: &StackSpec) -> bool {
    let (block, embedding) = (&stack.block, &stack.embedding);
    let biases = block.norm.bias && block.attention.qkv_bias && block.attention.output_bias && block.feed_forward.bias;
    let plain = block.bottleneck.is_none()
        && stack.convolution == Convolution::None
        && !block.cross_attention
        && block.feed_forward.networks == 1
        && stack.num_blocks() == usize::from(stack.num_hidden_layers)
        && !matches!(block.attention.position, AttentionPosition::Disentangled { .. })
        && embedding.projection != EmbeddingProjection::AfterNorm
        && embedding.positions != PositionTable::AfterNorm;
    block.residual == Residual::PostNorm && biases && plain
}

fn extents(source: &Source, sites: &[Site], texts: &[Input]) -> Result<BTreeMap<Role, Extents>> {
    let each = texts.par_iter().map(|text| {
        let found = RefCell::new(BTreeMap::new());
        let observer = |step: &Step<'_>| {
            if let Step::Norm { role, out, .. } = *step
                && sites.iter().any(|site| site.norm == role)
            {
                let mut found = found.borrow_mut();
                let extents: &mut Extents = found.entry(role).or_insert_with(|| vec![(f32::MAX, f32::MIN); out.width]);
                out.rows().for_each(|row| widen(extents, row.iter().map(|&x| (x, x))));
            }
        };
        Reference::observed(source.spec(), &source.weights, &observer).answer(text)?;
        Ok(found.into_inner())
    });
    let mut all = BTreeMap::<Role, Extents>::new();
    for (role, found) in each.collect::<Result<Vec<_>>>()?.into_iter().flatten() {
        let extents = all.entry(role).or_insert_with(|| found.clone());
        widen(extents, found.into_iter());
    }
    Ok(all)
}

fn widen(extents: &mut Extents, by: impl Iterator<Item = (f32, f32)>) {
    for (extent, (least, most)) in extents.iter_mut().zip(by) {
        *extent = (extent.0.min(least), extent.1.max(most));
    }
}

impl Site {
    /// Subtracts `middles` from the norm's result, and adds it where the result is used.
    fn move_by(&self, weights: &mut Weights, middles: &[f32]) {
        if let Some(norm) = weights.get_mut(self.norm) {
            norm.bias.iter_mut().zip(middles).for_each(|(bias, middle)| *bias -= middle);
        }
        for &role in &self.readers {
            let Some(reader) = weights.get_mut(role) else { continue };
            for (bias, row) in reader.bias.iter_mut().zip(reader.weight.chunks_exact(middles.len())) {
                let product: f64 = row.iter().zip(middles).map(|(w, m)| f64::from(*w) * f64::from(*m)).sum();
                *bias = (f64::from(*bias) + product) as f32;
            }
        }
        if let Some(added) = weights.get_mut(self.added) {
            added.bias.iter_mut().zip(middles).for_each(|(bias, middle)| *bias += middle);
        }
    }
}
