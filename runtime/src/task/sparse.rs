//! Weights of the vocabulary's tokens for a text.

use crate::error::{Buffer, RunError};
use crate::format::spec::Task;
use crate::session::Session;

/// How much each token of the vocabulary has to do with a text, of models that are trained for it
/// (SPLADE, arXiv 2109.10086): `ln(1 + max(x, 0))` of the largest of its logits at all places of
/// the text. Nearly all are 0. Returns how many there are, the size of the vocabulary. It takes the
/// head's product once for each token of the text, which is most of the time.
///
/// # Errors
/// As [`Session::encode`]; [`RunError::WrongHead`] when the model's head is not for masked tokens;
/// [`RunError::BufferTooSmall`] when `out` has no room for the vocabulary.
pub fn sparse(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    out: &mut [f32],
) -> Result<usize, RunError> {
    let spec = session.model().spec();
    if spec.head.task != Task::MaskedLm {
        return Err(RunError::WrongHead("weigh the vocabulary's tokens"));
    }
    let (needed, given) = (spec.head.num_outputs as usize, out.len());
    let out = out.get_mut(..needed).ok_or(RunError::BufferTooSmall { buffer: Buffer::Vector, needed, given })?;
    session.encode(ids, token_types)?;
    out.fill(0.0);
    let unit = libm::ldexpf(1.0, -i32::from(spec.numerics.fraction_bits));
    for position in 0..ids.len() {
        for (most, &logit) in out.iter_mut().zip(session.logits_at(position)?) {
            *most = most.max(logit as f32 * unit);
        }
    }
    out.iter_mut().for_each(|weight| *weight = libm::log1pf(*weight));
    Ok(needed)
}
