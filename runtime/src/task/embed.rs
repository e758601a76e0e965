//! Sentence vectors.

use crate::format::error::Error;
use crate::session::Session;

/// One vector for a text, of unit length where the model says so. Returns its width.
///
/// # Errors
/// As [`Session::encode`]; [`Error::BufferTooSmall`] when `out` is shorter than the vector.
pub fn embed(session: &mut Session<'_, '_>, ids: &[u32], token_types: &[u8], out: &mut [f32]) -> Result<usize, Error> {
    let spec = session.model().spec();
    session.read_text(ids, token_types)?;
    let vector = session.logits()?;
    let (needed, given) = (vector.len(), out.len());
    let out = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed, given })?;
    let unit = libm::ldexpf(1.0, -i32::from(spec.numerics.fraction_bits));
    for (out, &value) in out.iter_mut().zip(vector) {
        *out = value as f32 * unit;
    }
    if spec.head.normalize {
        let length = libm::sqrtf(out.iter().map(|x| x * x).sum());
        if length > 0.0 {
            out.iter_mut().for_each(|x| *x /= length);
        }
    }
    Ok(needed)
}
