//! Computes the first hidden states from tokens.

use anyhow::Result;
use kinglet::format::layout::{Role, Stack, StackPart};
use kinglet::format::spec::{ConvolutionSpec, EmbeddingProjection, PositionTable, StackSpec, TokenScale};

use super::model::Model;
use crate::fixed::real;
use crate::real::{Rows, add};
use crate::tables;

/// The hidden states that enter the first layer of a stack, for the tokens `ids`. Without `types`
/// all token types are 0. `counted` is the number of earlier tokens that count as positions.
pub(super) fn embed(
    model: &Model<'_>,
    (id, stack): (Stack, &StackSpec),
    (ids, types): (&[u32], &[u32]),
    counted: usize,
) -> Result<Rows> {
    let embedding = &stack.embedding;
    let own = |part| Role::Stack(id, part);
    let mut scale = embedding.scale.factor().map_or(1.0, |scale| real(scale) as f32);
    let mut masked = None;
    if let TokenScale::Unmasked { mask, .. } = embedding.scale {
        masked = Some(mask);
        let left = ids.iter().filter(|&&id| id != mask).count();
        scale *= ids.len() as f32 / left.max(1) as f32;
    }
    let table = model.token_table(id)?;
    let mut x = Rows::gather(&table.weight, embedding.embedding_size as usize, ids.iter().map(|id| *id as usize));
    for (row, id) in x.rows_mut().zip(ids) {
        let scale = if Some(*id) == masked { 0.0 } else { scale };
        row.iter_mut().for_each(|x| *x *= scale);
    }
    if embedding.projection == EmbeddingProjection::Trigram {
        x = x.neighbours(&[1, 0, -1]);
    }
    if matches!(embedding.projection, EmbeddingProjection::BeforePositions | EmbeddingProjection::Trigram) {
        x = model.linear(own(StackPart::EmbeddingProjection), &x)?;
    }
    if embedding.positions == PositionTable::AfterNorm
        && let Some(spec) = &embedding.norm
    {
        x = model.norm(spec, own(StackPart::EmbeddingNorm), &x)?;
    }
    if embedding.positions.is_some() {
        let table = model.tensor(own(StackPart::PositionEmbedding))?;
        let positions = Rows::gather(&table.weight, x.width, positions(stack, counted, ids));
        add(&mut x, &positions);
    }
    if embedding.token_types > 0 {
        let table = model.tensor(own(StackPart::TokenTypeEmbedding))?;
        let types = (0..ids.len()).map(|at| types.get(at).map_or(0, |kind| *kind as usize));
        let types = Rows::gather(&table.weight, x.width, types);
        add(&mut x, &types);
    }
    if embedding.projection == EmbeddingProjection::BeforeNorm {
        x = model.linear(own(StackPart::EmbeddingProjection), &x)?;
    }
    if embedding.positions != PositionTable::AfterNorm
        && let Some(spec) = &embedding.norm
    {
        x = model.norm(spec, own(StackPart::EmbeddingNorm), &x)?;
    }
    if embedding.projection == EmbeddingProjection::AfterNorm {
        x = model.linear(own(StackPart::EmbeddingProjection), &x)?;
    }
    Ok(x)
}

/// The row of each token in the position table. A padding token has the last row, and does not
/// count.
fn positions(stack: &StackSpec, counted: usize, ids: &[u32]) -> impl Iterator<Item = usize> {
    let (padding, last) = (stack.embedding.padding, stack.max_positions as usize);
    let mut next = counted;
    ids.iter().map(move |&token| {
        if Some(token) == padding {
            return last;
        }
        next += 1;
        next - 1
    })
}

/// The convolution over the tokens' embeddings, with its activation.
pub(super) fn convolve(model: &Model<'_>, spec: &ConvolutionSpec, embeddings: &Rows) -> Result<Rows> {
    let half = isize::from(spec.kernel_size.cast_signed()) / 2;
    let places: Vec<isize> = (-half..=half).collect();
    let own = |part| Role::Stack(Stack::Encoder, part);
    let mut out = model.linear(own(StackPart::Convolution), &embeddings.neighbours(&places))?;
    out.values.iter_mut().for_each(|x| *x = tables::activation(spec.activation, *x));
    Ok(out)
}
