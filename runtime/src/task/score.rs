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
    let largest = logits.iter().copied().fold(i32::MIN, i32::max);
    let sum: u64 = logits.iter().map(|&logit| exp_neg(largest.abs_diff(logit), fraction_bits)).sum();
    let largest = libm::ldexp(f64::from(largest), -i32::from(fraction_bits));
    largest + libm::log(libm::ldexp(sum as f64, -32))
}

/// `e^-x` in Q32, for an `x` with `fraction_bits` fraction bits.
fn exp_neg(x: u32, fraction_bits: u8) -> u64 {
    /// From this `x` on, the result is less than half of the last bit: 0 is returned.
    const FAR: u32 = 24;
    /// `log2(e)`, Q31.
    const LOG2_E: u32 = 0xb8aa_3b2a;
    /// The coefficients, Q32, of a polynomial for `(1 - 2^-f) / f` with `f` in `0..1`, of
    /// alternating signs, highest power first: interpolation at Chebyshev nodes.
    const TERMS: [u32; 7] = [0xbdba, 0x9_c23c, 0x57_28f4, 0x276_41cc, 0xe35_812f, 0x3d7f_7bcc, 0xb172_17f7];
    if u64::from(x) >= u64::from(FAR) << fraction_bits.min(32) {
        return 0;
    }
    // Convert to 27 fraction bits, which leave room for `FAR`.
    let x = match 27_u32.checked_sub(fraction_bits.into()) {
        Some(more) => x << more,
        None => x >> (u32::from(fraction_bits) - 27).min(31),
    };
    let power = u64::from(x) * u64::from(LOG2_E);
    let (whole, fraction) = (power >> 58, (power >> 26) as u32);
    let high = |a: u32, b: u32| ((u64::from(a) * u64::from(b)) >> 32) as u32;
    let [last, others @ ..] = TERMS;
    let polynomial = others.into_iter().fold(last, |sum, term| term.wrapping_sub(high(fraction, sum)));
    ((1 << 32) - u64::from(high(fraction, polynomial))) >> whole
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
                session.pause();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_exponential_is_the_real_one() {
        for bits in [0, 8, 13, 16, 20, 24] {
            for x in (0..32).map(|shift| u32::MAX >> shift).chain((0..5000).map(|n| n * 131)) {
                let exact = libm::exp(-libm::ldexp(f64::from(x), -i32::from(bits)));
                let found = libm::ldexp(exp_neg(x, bits) as f64, -32);
                assert!((found - exact).abs() < libm::ldexp(1.0, -30), "{x} >> {bits}: {found} for {exact}");
            }
        }
        assert_eq!(exp_neg(0, 16), 1 << 32);
    }

    #[test]
    fn one_logit_is_its_own_normalizer_and_equal_ones_share() {
        assert_eq!(log_normalizer(&[-5 << 16], 16), -5.0);
        assert!((log_normalizer(&[7 << 10; 1000], 10) - 7.0 - libm::log(1000.0)).abs() < 1e-9);
        assert!((log_normalizer(&[i32::MIN, i32::MAX], 16) - f64::from(i32::MAX) / 65536.0).abs() < 1e-9);
    }
}
