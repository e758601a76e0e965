//! Embeds a text: one vector per text, or one per token.

use crate::error::{Buffer, RunError};
use crate::format::spec::ModelSpec;
use crate::session::Session;
use crate::task::half_bits;

/// Computes the vector of a text, of unit length if the model normalizes it. Returns its width.
///
/// # Errors
/// The errors of [`Session::encode`]; [`RunError::BufferTooSmall`] when `out` is shorter than the
/// vector.
pub fn embed(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    out: &mut [f32],
) -> Result<usize, RunError> {
    embed_as(session, ids, token_types, out, |value| value)
}

/// [`embed`] in half precision, for vectors that are stored or sent: `out` receives the bits of
/// IEEE 754's binary16 ([`half_bits`]), which `f16::from_bits` of the crate `half` reads.
///
/// # Errors
/// The errors of [`embed`].
pub fn embed_half(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    out: &mut [u16],
) -> Result<usize, RunError> {
    embed_as(session, ids, token_types, out, half_bits)
}

/// Computes a vector for each token of a text (ColBERT, arXiv 2004.12832), of unit length if the
/// model normalizes it, and calls `each` with the token's position and its vector in `out`.
///
/// # Errors
/// The errors of [`Session::encode`]; [`RunError::BufferTooSmall`] when `out` is shorter than a
/// vector.
pub fn embed_tokens(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    out: &mut [f32],
    mut each: impl FnMut(usize, &[f32]),
) -> Result<(), RunError> {
    let spec = session.model().spec();
    session.encode(ids, token_types)?;
    for position in 0..ids.len() {
        let vector = session.logits_at(position)?;
        let width = write(spec, vector, out, |value| value)?;
        each(position, out.get(..width).unwrap_or(&[]));
    }
    Ok(())
}

fn embed_as<T>(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    out: &mut [T],
    number: impl Fn(f32) -> T,
) -> Result<usize, RunError> {
    let spec = session.model().spec();
    session.read_text(ids, token_types)?;
    let vector = session.logits()?;
    write(spec, vector, out, number)
}

/// Converts a vector to floating point, of unit length if the model normalizes it. Returns its
/// width.
fn write<T>(spec: &ModelSpec, vector: &[i32], out: &mut [T], number: impl Fn(f32) -> T) -> Result<usize, RunError> {
    let (needed, given) = (vector.len(), out.len());
    let out = out.get_mut(..needed).ok_or(RunError::BufferTooSmall { buffer: Buffer::Vector, needed, given })?;
    let unit = libm::ldexpf(1.0, -i32::from(spec.numerics.fraction_bits));
    let squares: f32 = vector.iter().map(|&value| (value as f32 * unit) * (value as f32 * unit)).sum();
    let length = if spec.head.normalize && squares > 0.0 { libm::sqrtf(squares) } else { 1.0 };
    for (out, &value) in out.iter_mut().zip(vector) {
        *out = number(value as f32 * unit / length);
    }
    Ok(needed)
}
