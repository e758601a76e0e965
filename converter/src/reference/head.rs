//! Runs the head on the last hidden states.

use anyhow::{Context, Result};
use kinglet::format::layout::{HeadPart, Role, Stack};
use kinglet::format::spec::{OutputProjection, Pooling};

use super::model::{Model, Step};
use crate::fixed::real;
use crate::real::{Rows, dot, linear};
use crate::tables;

/// The results of the head for the last stack's hidden states: a row for each token, or one row if
/// it pools. `kept` is the hidden state for heads that may read another than the last.
pub(super) fn head(model: &Model<'_>, hidden: &Rows, kept: Option<&[f32]>) -> Result<Rows> {
    let head = &model.spec.head;
    let mut x = match head.pooling {
        Pooling::LastExcept(_) | Pooling::AtLast(_) => {
            let kept = kept.context("the decoder has not read the token whose state the head reads")?;
            Rows { width: hidden.width, values: kept.to_vec() }
        }
        pooling => pool(pooling, hidden)?,
    };
    if let Some(transform) = &head.transform {
        x = model.linear(Role::Head(HeadPart::Transform), &x)?;
        x.values.iter_mut().for_each(|x| *x = tables::activation(transform.activation, *x));
        if let Some(spec) = &transform.norm {
            x = model.norm(spec, Role::Head(HeadPart::TransformNorm), &x)?;
        }
    }
    match head.output {
        OutputProjection::None => {}
        OutputProjection::Own => x = model.linear(Role::Head(HeadPart::Output), &x)?,
        OutputProjection::Tied => {
            let last = if model.spec.decoder.is_some() { Stack::Decoder } else { Stack::Encoder };
            let table = model.token_table(last)?;
            let bias = if head.bias { &model.tensor(Role::Head(HeadPart::OutputBias))?.weight } else { &[][..] };
            x = linear(&table.weight, bias, &x);
        }
    }
    model.observe(&Step::Results(&x));
    if let Some(cap) = head.soft_cap {
        let cap = real(cap) as f32;
        x.values.iter_mut().for_each(|x| *x = cap * libm::tanhf(*x / cap));
    }
    if head.normalize {
        for row in x.rows_mut() {
            let length = libm::sqrtf(dot(row, row)).max(1e-12);
            row.iter_mut().for_each(|x| *x /= length);
        }
    }
    Ok(x)
}

fn pool(pooling: Pooling, hidden: &Rows) -> Result<Rows> {
    let mut rows = hidden.rows();
    let one = match pooling {
        Pooling::None | Pooling::LastExcept(_) | Pooling::AtLast(_) => return Ok(hidden.clone()),
        Pooling::First => rows.next().map(<[f32]>::to_vec),
        Pooling::Last => rows.next_back().map(<[f32]>::to_vec),
        Pooling::Mean => {
            let count = rows.len() as f32;
            let mut sum = vec![0.0; hidden.width];
            rows.for_each(|row| sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
            sum.iter_mut().for_each(|x| *x /= count);
            Some(sum)
        }
    };
    Ok(Rows { width: hidden.width, values: one.context("there is nothing to pool")? })
}
