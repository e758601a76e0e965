//! Choosing the next token: greedy, or at random by temperature, top-k, top-p and min-p, with a repetition penalty.
//!
//! Integer only, so that one seed gives one text on every target. Nothing is sorted: thresholds are found by
//! bisection over the weights, and ties at a threshold are all kept.

use crate::kernels::scalar::softmax::exp2_neg;

/// How to choose. The default takes the likeliest token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerOptions {
    /// Divides the logits: 0 takes the likeliest token, 1 samples as the model says.
    pub temperature: f32,
    /// Keep only the `k` likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest tokens that together have at least this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens with at least this fraction of the likeliest one's probability; 0 keeps all.
    pub min_p: f32,
    /// Divides positive logits of tokens already seen and multiplies negative ones (arXiv 1909.05858); 1 for none.
    pub repetition_penalty: f32,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl SamplerOptions {
    /// The likeliest token, always.
    pub const GREEDY: Self =
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 };
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self::GREEDY
    }
}

/// Chooses tokens, and keeps the state of its random numbers.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// `log2(e) / temperature`, Q16; 0 for greedy.
    sharpness: u32,
    top_k: u32,
    /// Q16.
    top_p: u32,
    /// Q16.
    min_p: u32,
    /// Q16.
    penalty: u32,
    /// Its reciprocal, Q16.
    inverse_penalty: u32,
    state: u64,
}

/// A real number as Q16, saturated at both ends.
const fn q16(x: f32) -> u32 {
    (x * 65536.0) as u32
}

impl Sampler {
    /// A sampler. In a `const` context the options cost no floating point at run time.
    ///
    /// ```
    /// use kinglet::sample::{Sampler, SamplerOptions};
    ///
    /// const WARM: Sampler = Sampler::new(SamplerOptions { temperature: 0.8, top_p: 0.9, seed: 7, ..SamplerOptions::GREEDY });
    /// let mut sampler = WARM;
    /// let token = sampler.sample(&mut [3 << 16, 5 << 16, 4 << 16], 16, &[]);
    /// assert!(token < 3);
    /// ```
    pub const fn new(options: SamplerOptions) -> Self {
        let temperature = options.temperature;
        let sharpness = if temperature > 0.0 { q16(core::f32::consts::LOG2_E / temperature) } else { 0 };
        let penalty = if options.repetition_penalty > 0.0 { options.repetition_penalty } else { 1.0 };
        Self {
            sharpness,
            top_k: options.top_k,
            top_p: q16(options.top_p),
            min_p: q16(options.min_p),
            penalty: q16(penalty),
            inverse_penalty: q16(1.0 / penalty),
            state: options.seed,
        }
    }

    /// Chooses one of the logits, which are used up. `seen` are the tokens that the repetition penalty concerns.
    /// Of equal logits the first is taken. 0 when there are no logits.
    pub fn sample(&mut self, logits: &mut [i32], fraction_bits: u8, seen: &[u32]) -> u32 {
        self.penalize(logits, seen);
        if self.sharpness == 0 {
            return argmax(logits);
        }
        let largest = logits.iter().copied().fold(i32::MIN, i32::max);
        for logit in &mut *logits {
            let below = largest.abs_diff(*logit);
            let z = (u64::from(below) * u64::from(self.sharpness)) >> fraction_bits;
            *logit = weight(z);
        }
        let weights = logits;
        if self.top_k > 0 {
            let k = u64::from(self.top_k);
            keep_from(weights, |at_least| at_least.count() as u64 >= k);
        }
        if self.top_p < 1 << 16 {
            let wanted = (total(weights.iter().copied()) >> 16) * u64::from(self.top_p);
            keep_from(weights, |at_least| total(at_least) >= wanted);
        }
        let floor = ((u64::from(self.min_p) << 30) >> 16) as i64;
        weights.iter_mut().filter(|weight| i64::from(**weight) < floor).for_each(|weight| *weight = 0);
        self.draw(weights)
    }

    fn penalize(&self, logits: &mut [i32], seen: &[u32]) {
        if self.penalty == 1 << 16 {
            return;
        }
        for (index, &token) in seen.iter().enumerate() {
            let again = seen.iter().take(index).any(|&earlier| earlier == token);
            if let (false, Some(logit)) = (again, logits.get_mut(token as usize)) {
                let factor = if *logit < 0 { self.penalty } else { self.inverse_penalty };
                let scaled = (i64::from(*logit) * i64::from(factor)) >> 16;
                *logit = scaled.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
            }
        }
    }

    fn draw(&mut self, weights: &[i32]) -> u32 {
        let sum = total(weights.iter().copied());
        // The sum is scaled to 32 bits so that one product finds the place.
        let shift = (64 - sum.leading_zeros()).saturating_sub(32);
        let mut place = ((u64::from(self.random()) * (sum >> shift)) >> 32) << shift;
        for (index, &weight) in weights.iter().enumerate() {
            let weight = u64::from(weight.unsigned_abs());
            if place < weight {
                return index as u32;
            }
            place -= weight;
        }
        argmax(weights)
    }

    /// The next number of SplitMix64, its high half.
    fn random(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

/// `2^(30 - z)`, `z` in Q16.
fn weight(z: u64) -> i32 {
    let whole = (z >> 16).min(31) as u32;
    ((exp2_neg((z & 0xffff) as i32) << 15) >> whole) as i32
}

fn total(weights: impl Iterator<Item = i32>) -> u64 {
    weights.map(|weight| u64::from(weight.unsigned_abs())).sum()
}

/// Zeroes the weights below the largest threshold for which those at or above it are `enough`.
fn keep_from(weights: &mut [i32], enough: impl Fn(&mut dyn Iterator<Item = i32>) -> bool) {
    let (mut low, mut high) = (0, 1 << 30);
    while low < high {
        let middle = low + (high - low + 1) / 2;
        if enough(&mut weights.iter().copied().filter(|&weight| weight >= middle)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    weights.iter_mut().filter(|weight| **weight < low).for_each(|weight| *weight = 0);
}

/// The index of the largest value, the first of equals; 0 when there is none.
///
/// ```
/// assert_eq!(kinglet::sample::argmax(&[1, 7, 7]), 1);
/// ```
pub fn argmax(values: &[i32]) -> u32 {
    let best = values.iter().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(index, _)| index as u32)
}

/// The indices of the largest values, largest first, into `out`; of equals the first. Returns how many.
///
/// ```
/// let mut best = [0; 2];
/// kinglet::sample::top(&[1, 9, 4, 9], &mut best);
/// assert_eq!(best, [1, 3]);
/// ```
pub fn top(values: &[i32], out: &mut [u32]) -> usize {
    let mut found = 0;
    while let Some(slot) = out.get(found..).and_then(|rest| rest.first()).map(|_| found) {
        let (taken, _) = out.split_at(slot);
        let better = |best: Option<(usize, i32)>, (index, &value): (usize, &i32)| {
            let new = !taken.contains(&(index as u32)) && best.is_none_or(|(_, most)| value > most);
            if new { Some((index, value)) } else { best }
        };
        let Some((index, _)) = values.iter().enumerate().fold(None, better) else { break };
        if let Some(slot) = out.get_mut(slot) {
            *slot = index as u32;
        }
        found += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [i32; 5] = [1 << 16, 3 << 16, 2 << 16, -(4 << 16), 3 << 16];

    fn frequencies(options: SamplerOptions) -> [f64; 5] {
        let mut sampler = Sampler::new(options);
        let mut counts = [0; 5];
        for _ in 0..20_000 {
            counts[sampler.sample(&mut LOGITS.clone(), 16, &[]) as usize] += 1;
        }
        counts.map(|count| f64::from(count) / 20_000.0)
    }

    fn softmax(temperature: f64) -> [f64; 5] {
        let powers = LOGITS.map(|logit| libm::exp(f64::from(logit) / 65536.0 / temperature));
        powers.map(|power| power / powers.iter().sum::<f64>())
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(Sampler::new(SamplerOptions::GREEDY).sample(&mut LOGITS.clone(), 16, &[]), 1);
    }

    #[test]
    fn frequencies_follow_the_softmax_at_each_temperature() {
        for temperature in [0.5, 1.0, 2.0] {
            let got = frequencies(SamplerOptions { temperature, seed: 1, ..SamplerOptions::GREEDY });
            for (got, expected) in got.iter().zip(softmax(temperature.into())) {
                assert!((got - expected).abs() < 0.012, "{got} for {expected} at {temperature}");
            }
        }
    }

    #[test]
    fn each_filter_keeps_what_it_promises() {
        let warm = SamplerOptions { temperature: 1.0, seed: 2, ..SamplerOptions::GREEDY };
        let cases = [
            (SamplerOptions { top_k: 1, ..warm }, [false, true, false, false, true]),
            (SamplerOptions { top_k: 3, ..warm }, [false, true, true, false, true]),
            (SamplerOptions { top_p: 0.5, ..warm }, [false, true, false, false, true]),
            (SamplerOptions { top_p: 0.9, ..warm }, [false, true, true, false, true]),
            (SamplerOptions { min_p: 0.3, ..warm }, [false, true, true, false, true]),
            (SamplerOptions { min_p: 0.1, ..warm }, [true, true, true, false, true]),
        ];
        for (options, kept) in cases {
            assert_eq!(frequencies(options).map(|f| f > 0.0), kept, "{options:?}");
        }
    }

    #[test]
    fn the_repetition_penalty_counts_a_token_once() {
        let mut sampler = Sampler::new(SamplerOptions { repetition_penalty: 1.3, ..SamplerOptions::GREEDY });
        // 3 / 1.3 = 2.3 still beats 2, and would not after a second division.
        assert_eq!(sampler.sample(&mut [3 << 16, 2 << 16], 16, &[0, 0, 0]), 0);
        assert_eq!(sampler.sample(&mut [3 << 16, 5 << 15], 16, &[0]), 1);
    }
}
