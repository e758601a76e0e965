//! Predicts masked tokens.

use crate::error::RunError;
use crate::format::spec::Task;
use crate::sample::argmax;
use crate::session::Session;
use crate::task::log_probability;

/// Calls `each` with the position and the logits of each mask. All masks are predicted
/// independently.
///
/// # Errors
/// The errors of [`Session::encode`]; [`RunError::WrongHead`] when the head does not predict masked
/// tokens; [`RunError::NothingToFill`] when the text has no mask.
pub fn fill_mask(
    session: &mut Session<'_, '_>,
    ids: &[u32],
    token_types: &[u8],
    mask: u32,
    mut each: impl FnMut(usize, &[i32]),
) -> Result<(), RunError> {
    if session.model().spec().head.task != Task::MaskedLm {
        return Err(RunError::WrongHead("fill masks"));
    }
    if !ids.contains(&mask) {
        return Err(RunError::NothingToFill);
    }
    session.encode(ids, token_types)?;
    for (position, _) in ids.iter().enumerate().filter(|&(_, &id)| id == mask) {
        each(position, session.logits_at(position)?);
    }
    Ok(())
}

/// Fills all masks in place, one per pass over the text: each pass fills the mask whose most likely
/// token has the highest probability.
///
/// # Errors
/// The errors of [`fill_mask`], except that a text without masks is left unchanged.
pub fn fill_in_turn(
    session: &mut Session<'_, '_>,
    ids: &mut [u32],
    token_types: &[u8],
    mask: u32,
) -> Result<(), RunError> {
    let bits = session.model().spec().numerics.fraction_bits;
    while ids.contains(&mask) {
        let mut surest: Option<(f32, usize, u32)> = None;
        fill_mask(session, ids, token_types, mask, |position, logits| {
            let token = argmax(logits);
            let certainty = log_probability(logits, token, bits);
            if token != mask && surest.is_none_or(|(most, ..)| certainty > most) {
                surest = Some((certainty, position, token));
            }
        })?;
        let Some((_, position, token)) = surest else { return Ok(()) };
        if let Some(id) = ids.get_mut(position) {
            *id = token;
        }
    }
    Ok(())
}
