//! Computes the likelihood of a text.

use crate::error::RunError;
use crate::format::spec::{Direction, Task};
use crate::session::Session;

/// The natural logarithm of a token's probability.
///
/// ```
/// use kinglet::task::log_probability;
/// // Two equal logits: one half each.
/// assert!((log_probability(&[0, 0], 0, 16) - 0.5f32.ln()).abs() < 1e-6);
/// ```
pub fn log_probability(logits: &[i32], token: u32, fraction_bits: u8) -> f32 {
    let logit = logits.get(token as usize).copied().unwrap_or(i32::MIN);
    (libm::ldexp(f64::from(logit), -i32::from(fraction_bits)) - log_normalizer(logits, fraction_bits)) as f32
}

/// The log-sum-exp of the logits, by which logits exceed log-probabilities.
pub(crate) fn log_normalizer(logits: &[i32], fraction_bits: u8) -> f64 {
    let unit = libm::ldexp(1.0, -i32::from(fraction_bits));
    let largest = logits.iter().copied().fold(i32::MIN, i32::max);
    let sum: f64 = logits.iter().map(|&logit| libm::exp(-f64::from(largest.abs_diff(logit)) * unit)).sum();
    f64::from(largest) * unit + libm::log(sum)
}

/// Computes the log-probability of each token given the tokens read before it, and calls `each`
/// with its position and log-probability.
///
/// The first token read has no context and is left out: position 0, or the last position if the
/// model reads backward.
///
/// # Errors
/// The errors of [`Session::prefill`]; [`RunError::WrongHead`] when the model does not predict the
/// next token.
pub fn score(session: &mut Session<'_, '_>, ids: &[u32], mut each: impl FnMut(usize, f32)) -> Result<(), RunError> {
    let spec = session.model().spec();
    if spec.head.task != Task::CausalLm || spec.decoder.is_none() {
        return Err(RunError::WrongHead("predict the next token"));
    }
    session.clear();
    let bits = spec.numerics.fraction_bits;
    let mut next = |position: usize, logits: &[i32]| {
        if let Some(&token) = ids.get(position) {
            each(position, log_probability(logits, token, bits));
        }
    };
    match spec.direction {
        Direction::Forward => session.prefill_each(ids, |position, logits| next(position + 1, logits)),
        Direction::Backward => {
            for (read, &id) in ids.iter().rev().enumerate() {
                let logits = session.step(id)?;
                if let Some(position) = (ids.len() - 1).checked_sub(read + 1) {
                    next(position, logits);
                }
            }
            Ok(())
        }
    }
}

/// Computes the pseudo-log-likelihood (arXiv 1910.14659): the log-probability of each token at the
/// positions `which`, given all other tokens. Runs the model once for each.
///
/// # Errors
/// The errors of [`Session::encode`]; [`RunError::WrongHead`] when the model does not predict
/// masked tokens.
pub fn pseudo_score(
    session: &mut Session<'_, '_>,
    ids: &mut [u32],
    token_types: &[u8],
    mask: u32,
    which: core::ops::Range<usize>,
    mut each: impl FnMut(usize, f32),
) -> Result<(), RunError> {
    let spec = session.model().spec();
    if spec.head.task != Task::MaskedLm {
        return Err(RunError::WrongHead("fill masks"));
    }
    for position in which {
        let Some(slot) = ids.get_mut(position) else { break };
        let token = core::mem::replace(slot, mask);
        let encoded = session.encode(ids, token_types);
        if let Some(slot) = ids.get_mut(position) {
            *slot = token;
        }
        encoded?;
        each(position, log_probability(session.logits_at(position)?, token, spec.numerics.fraction_bits));
    }
    Ok(())
}
