//! Choosing tokens.

use kinglet::sample::{FixedSamplerOptions, Sampler, argmax};

use crate::engine::{call, kinglet_engine};
use crate::pointers::{read, slice, write};
use crate::status::{Failure, kinglet_status};

/// One, in the fractions of kinglet_sampling.
pub const KINGLET_ONE: u32 = 1 << 16;

/// How tokens are chosen, and the state of the random numbers. Fractions have 16 bits after the
/// binary point: KINGLET_ONE is 1. kinglet_sampling_greedy makes one that can be changed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kinglet_sampling {
    /// 0 takes the likeliest token; else from 66 (0.001) to 1000 * KINGLET_ONE.
    pub temperature: u32,
    /// Of how many likeliest tokens one is chosen; 0 for all.
    pub top_k: u32,
    /// Of the likeliest tokens that have this share of the probability together one is chosen.
    pub top_p: u32,
    /// The least probability of a token, as a fraction of the likeliest one's.
    pub min_p: u32,
    /// By what a token that was seen is less likely: KINGLET_ONE for not at all.
    pub repetition_penalty: u32,
    /// The state of the random numbers, which begins as a seed of the caller's choice.
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

/// The likeliest token, always.
#[unsafe(no_mangle)]
pub extern "C" fn kinglet_sampling_greedy() -> kinglet_sampling {
    let FixedSamplerOptions { temperature, top_k, top_p, min_p, repetition_penalty, seed } =
        FixedSamplerOptions::GREEDY;
    kinglet_sampling { temperature, top_k, top_p, min_p, repetition_penalty, state: seed }
}

/// The likeliest token of the logits; of equal ones the first. `count` is 1 or more.
///
/// # Safety
/// `logits` points to `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_argmax(logits: *const i32, count: usize) -> u32 {
    // SAFETY: the caller's.
    argmax(unsafe { slice(logits, count) }.unwrap_or(&[]))
}

/// Chooses the token that comes next. `seen` are the tokens that the repetition penalty concerns.
///
/// # Safety
/// As of every function with an engine: see kinglet_close. `seen` points to `seen_count` ids, the
/// others to what their types say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kinglet_sample(
    engine: *mut kinglet_engine,
    sampling: *mut kinglet_sampling,
    seen: *const u32,
    seen_count: usize,
    token: *mut u32,
) -> kinglet_status {
    // SAFETY: the caller's.
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
