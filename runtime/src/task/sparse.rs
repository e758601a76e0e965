//! Embeds a text as a sparse vector over the vocabulary.

use crate::error::{Buffer, RunError};
use crate::format::spec::Task;
use crate::session::Session;

/// Computes the weight of each token of the vocabulary for a text (SPLADE, arXiv 2109.10086):
/// `ln(1 + max(x, 0))` of the token's largest logit `x` over all positions. Nearly all weights are
/// 0. Returns the size of the vocabulary. The output projection runs once for each position, which
/// takes most of the time.
///
/// # Errors
/// The errors of [`Session::encode`]; [`RunError::WrongHead`] when the model does not predict
/// masked tokens; [`RunError::BufferTooSmall`] when `out` is shorter than the vocabulary.
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
