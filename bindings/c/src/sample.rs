//! Sampling of tokens.

use kinglet::sample::{FixedSamplerOptions, Sampler, argmax};

use crate::engine::{call, kinglet_engine};
use crate::pointers::{read, slice, write};
use crate::status::{Failure, kinglet_status};

/// The number 1 in the fixed-point fields of kinglet_sampling.
pub const KINGLET_ONE: u32 = 1 << 16;

/// Sampling parameters, and the state of the random number generator. Fractions have 16 bits after
/// the binary point: KINGLET_ONE is 1. kinglet_sampling_greedy returns a value to start from.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kinglet_sampling {
    /// The temperature: 0 always takes the likeliest token; else from 66 (0.001) to
    /// 1000 * KINGLET_ONE.
    pub temperature: u32,
    /// Only the `top_k` likeliest tokens can be chosen; 0 for all.
    pub top_k: u32,
    /// Only the likeliest tokens whose probabilities add up to `top_p` can be chosen.
    pub top_p: u32,
    /// The minimum probability of a token, as a fraction of the likeliest token's.
    pub min_p: u32,
    /// The penalty for tokens that the text already contains; KINGLET_ONE for none.
    pub repetition_penalty: u32,
    /// The state of the random number generator; set it to a seed of your choice.
    pub state: u64,
}

impl kinglet_sampling {
    pub(crate) fn sampler(&self) -> Result<Sampler, Failure> {
        Ok(Sampler::from_fixed(FixedSamplerOptions {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.state,
        })?)
    }
}

/// Parameters that always choose the likeliest token.
#[unsafe(no_mangle)]
pub extern "C" fn kinglet_sampling_greedy() -> kinglet_sampling {
    let FixedSamplerOptions { temperature, top_k, top_p, min_p, repetition_penalty, seed } =
        FixedSamplerOptions::GREEDY;
    kinglet_sampling { temperature, top_k, top_p, min_p, repetition_penalty, state: seed }
}

/// The index of the largest logit; if several are equal, the first. `count` is at least 1.
///
/// # Safety
/// `logits` points to `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_argmax(logits: *const i32, count: usize) -> u32 {
    // SAFETY: guaranteed by the caller.
    argmax(unsafe { slice(logits, count) }.unwrap_or(&[]))
}

/// Chooses the next token. `seen` has the tokens to which the repetition penalty applies.
///
/// # Safety
/// The contract of kinglet_close for `engine`; `seen` points to `seen_count` ids, `sampling` and
/// `token` point to values of their types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_sample(
    engine: *mut kinglet_engine,
    sampling: *mut kinglet_sampling,
    seen: *const u32,
    seen_count: usize,
    token: *mut u32,
) -> kinglet_status {
    // SAFETY: guaranteed by the caller.
    unsafe {
        call(engine, |engine| {
            let (seen, token) = (slice(seen, seen_count)?, write(token)?);
            let mut sampler = read(sampling)?.sampler()?;
            let bits = engine.model().spec().numerics.fraction_bits;
            *token = engine.with(|session, _| Ok(sampler.sample(session.logits_mut()?, bits, seen)?))?;
            write(sampling)?.state = sampler.state();
            Ok(())
        })
    }
}
