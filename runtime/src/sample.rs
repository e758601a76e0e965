//! Chooses the next token: greedily, or at random with temperature, top-k, top-p and min-p, and a
//! repetition penalty.
//!
//! Uses only integers, so that a seed gives one text on every target. Filters find their threshold
//! in a histogram instead of sorting, so that the cost is linear in the number of logits. All
//! tokens at the threshold are kept.

mod distances;
mod seen;

pub use seen::SUPPRESSED;
pub(crate) use seen::change_seen;

use crate::error::RunError;
use crate::format::spec::MAX_ROWS;
use crate::kernels::scalar::softmax::scores_max;
use distances::Distances;

// The errors of options that are out of range, in floating point or fixed point.
const TEMPERATURE: RunError = RunError::InvalidOption { option: "temperature", wanted: "0, or from 0.001 to 1000" };
const TOP_P: RunError = RunError::InvalidOption { option: "top_p", wanted: "from 0 to 1" };
const MIN_P: RunError = RunError::InvalidOption { option: "min_p", wanted: "from 0 to 1" };
const REPETITION_PENALTY: RunError =
    RunError::InvalidOption { option: "repetition_penalty", wanted: "from 0.01 to 100" };

/// The options of a [`Sampler`]. The default always takes the most likely token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerOptions {
    /// The divisor of the logits, from 0.001 to 1000, or 0 to always take the most likely token. 1
    /// samples from the model's distribution.
    pub temperature: f32,
    /// Keep only the `top_k` most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the most likely tokens that together have at least this probability; 1 keeps all, 0
    /// only the most likely.
    pub top_p: f32,
    /// Keep tokens with at least this fraction of the highest probability; 0 keeps all.
    pub min_p: f32,
    /// A factor that divides the positive logits of tokens already seen and multiplies their
    /// negative logits (arXiv 1909.05858); from 0.01 to 100, 1 for no penalty.
    pub repetition_penalty: f32,
    /// The seed of the random number generator.
    pub seed: u64,
}

impl SamplerOptions {
    /// Always the most likely token.
    pub const GREEDY: Self =
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 };

    /// Checks that every option is in its range. [`Sampler::new`] calls this.
    ///
    /// # Errors
    /// [`RunError::InvalidOption`] with the first option that is out of range or NaN.
    pub const fn check(&self) -> Result<(), RunError> {
        // Beyond these bounds the reciprocal in Q16 is too inexact.
        if self.temperature != 0.0 && !within(self.temperature, 0.001, 1000.0) {
            return Err(TEMPERATURE);
        }
        if !within(self.top_p, 0.0, 1.0) {
            return Err(TOP_P);
        }
        if !within(self.min_p, 0.0, 1.0) {
            return Err(MIN_P);
        }
        check_penalty(self.repetition_penalty)
    }
}

/// Checks that a repetition penalty is in its range.
pub(crate) const fn check_penalty(penalty: f32) -> Result<(), RunError> {
    if within(penalty, 0.01, 100.0) { Ok(()) } else { Err(REPETITION_PENALTY) }
}

/// Whether `x` is in `least..=most`; false for NaN.
pub(crate) const fn within(x: f32, least: f32, most: f32) -> bool {
    x >= least && x <= most
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self::GREEDY
    }
}

/// [`SamplerOptions`] in fixed point, for firmware without a floating-point unit that sets options
/// at run time. In Q16, `1 << 16` is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedSamplerOptions {
    /// [`SamplerOptions::temperature`] in Q16: 0, or from 66 (0.001) to `1000 << 16`.
    pub temperature: u32,
    /// [`SamplerOptions::top_k`].
    pub top_k: u32,
    /// [`SamplerOptions::top_p`] in Q16, up to `1 << 16`.
    pub top_p: u32,
    /// [`SamplerOptions::min_p`] in Q16, up to `1 << 16`.
    pub min_p: u32,
    /// [`SamplerOptions::repetition_penalty`] in Q16, from 656 (0.01) to `100 << 16`.
    pub repetition_penalty: u32,
    /// [`SamplerOptions::seed`].
    pub seed: u64,
}

impl FixedSamplerOptions {
    /// Always the most likely token.
    pub const GREEDY: Self = Self { temperature: 0, top_k: 0, top_p: ONE, min_p: 0, repetition_penalty: ONE, seed: 0 };

    const fn check(&self) -> Result<(), RunError> {
        if self.temperature != 0 && (self.temperature < 66 || self.temperature > 1000 * ONE) {
            return Err(TEMPERATURE);
        }
        if self.top_p > ONE {
            return Err(TOP_P);
        }
        if self.min_p > ONE {
            return Err(MIN_P);
        }
        if self.repetition_penalty < 656 || self.repetition_penalty > 100 * ONE {
            return Err(REPETITION_PENALTY);
        }
        Ok(())
    }
}

impl Default for FixedSamplerOptions {
    fn default() -> Self {
        Self::GREEDY
    }
}

/// One, in Q16.
const ONE: u32 = 1 << 16;

/// Chooses tokens. Holds the state of the random number generator.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The reciprocal of `penalty`, Q16.
    inverse_penalty: u32,
    state: u64,
}

/// Converts a real number to Q16, saturating.
const fn q16(x: f32) -> u32 {
    (x * 65536.0) as u32
}

impl Sampler {
    /// A sampler with `options`. In a `const` context it needs no floating point at run time.
    ///
    /// # Errors
    /// The errors of [`SamplerOptions::check`]. In a constant they are compile errors:
    ///
    /// ```
    /// use kinglet::sample::{Sampler, SamplerOptions};
    ///
    /// const WARM: SamplerOptions = SamplerOptions { temperature: 0.8, top_p: 0.9, seed: 7, ..SamplerOptions::GREEDY };
    /// const SAMPLER: Sampler = match Sampler::new(WARM) {
    ///     Ok(sampler) => sampler,
    ///     Err(_) => panic!("an option of the sampler is out of range"),
    /// };
    /// let mut sampler = SAMPLER;
    /// let token = sampler.sample(&mut [3 << 16, 5 << 16, 4 << 16], 16, &[])?;
    /// assert!(token < 3);
    /// assert!(Sampler::new(SamplerOptions { temperature: f32::NAN, ..WARM }).is_err());
    /// # Ok::<(), kinglet::RunError>(())
    /// ```
    pub const fn new(options: SamplerOptions) -> Result<Self, RunError> {
        if let Err(error) = options.check() {
            return Err(error);
        }
        let (temperature, penalty) = (options.temperature, options.repetition_penalty);
        Ok(Self {
            sharpness: if temperature > 0.0 { q16(core::f32::consts::LOG2_E / temperature) } else { 0 },
            top_k: options.top_k,
            top_p: q16(options.top_p),
            min_p: q16(options.min_p),
            penalty: q16(penalty),
            inverse_penalty: q16(1.0 / penalty),
            state: options.seed,
        })
    }

    /// A sampler from options in fixed point, without floating point at run time. Temperature and
    /// penalty may differ from those of [`Sampler::new`] in the last bit of Q16.
    ///
    /// # Errors
    /// [`RunError::InvalidOption`] with the first option that is out of range.
    ///
    /// ```
    /// use kinglet::sample::{FixedSamplerOptions, Sampler};
    ///
    /// /// A sampler for the position of a knob, in percent.
    /// fn sampler(percent: u32, seed: u64) -> Result<Sampler, kinglet::RunError> {
    ///     let temperature = (percent << 16) / 100;
    ///     Sampler::from_fixed(FixedSamplerOptions { temperature, top_k: 40, seed, ..FixedSamplerOptions::GREEDY })
    /// }
    /// assert!(sampler(80, 7)?.sample(&mut [3 << 16, 5 << 16, 4 << 16], 16, &[])? < 3);
    /// # Ok::<(), kinglet::RunError>(())
    /// ```
    pub const fn from_fixed(options: FixedSamplerOptions) -> Result<Self, RunError> {
        if let Err(error) = options.check() {
            return Err(error);
        }
        /// `log2(e)`, Q32.
        const LOG2_E: u64 = 6_196_328_019;
        let FixedSamplerOptions { temperature, top_k, top_p, min_p, repetition_penalty, seed } = options;
        let sharpness = if temperature == 0 { 0 } else { (LOG2_E / temperature as u64) as u32 };
        let inverse_penalty = ((1 << 32) / repetition_penalty as u64) as u32;
        Ok(Self { sharpness, top_k, top_p, min_p, penalty: repetition_penalty, inverse_penalty, state: seed })
    }

    /// The state of the random number generator. A sampler with equal options and
    /// [this state](Self::set_state) chooses the tokens that this one would.
    ///
    /// ```
    /// use kinglet::sample::{Sampler, SamplerOptions};
    ///
    /// let mut first = Sampler::new(SamplerOptions { temperature: 1.0, seed: 3, ..SamplerOptions::GREEDY })?;
    /// let mut draw = |sampler: &mut Sampler| sampler.sample(&mut [1 << 16, 0, 1 << 15], 16, &[]);
    /// draw(&mut first)?;
    /// // Store the state before power-off, and restore it afterwards.
    /// let state = first.state();
    /// let mut second = Sampler::new(SamplerOptions { temperature: 1.0, ..SamplerOptions::GREEDY })?;
    /// second.set_state(state);
    /// assert_eq!(draw(&mut first), draw(&mut second));
    /// # Ok::<(), kinglet::RunError>(())
    /// ```
    pub const fn state(&self) -> u64 {
        self.state
    }

    /// Sets the state of the random number generator, to one from [`state`](Self::state) or to a
    /// seed.
    pub const fn set_state(&mut self, state: u64) {
        self.state = state;
    }

    /// A sampler with [`SamplerOptions::GREEDY`].
    pub const fn greedy() -> Self {
        Self { sharpness: 0, top_k: 0, top_p: ONE, min_p: 0, penalty: ONE, inverse_penalty: ONE, state: 0 }
    }

    /// Chooses a token, and overwrites the logits. The repetition penalty applies to the tokens in
    /// `seen`. If greedy, it takes the first of equal logits. It never chooses a [`SUPPRESSED`]
    /// token, nor one beyond the first [`MAX_ROWS`] logits: no model has more.
    ///
    /// # Errors
    /// [`RunError::AllSuppressed`] when every token is suppressed.
    pub fn sample(&mut self, logits: &mut [i32], fraction_bits: u8, seen: &[u32]) -> Result<u32, RunError> {
        let logits = logits.split_at_mut(logits.len().min(MAX_ROWS as usize)).0;
        if self.penalty != ONE {
            change_seen(logits, seen, |logit| {
                let factor = if logit < 0 { self.penalty } else { self.inverse_penalty };
                (i64::from(logit) * i64::from(factor)) >> 16
            });
        }
        let largest = scores_max(logits);
        if largest == SUPPRESSED {
            return Err(RunError::AllSuppressed);
        }
        if self.sharpness == 0 {
            return Ok(first_of(logits, largest));
        }
        let mut distances = Distances::of(logits);
        distances.measure(largest, self.sharpness, fraction_bits);
        distances.keep_nearest(if self.top_k > 0 { self.top_k } else { u32::MAX });
        if self.top_p < ONE {
            distances.keep_share(self.top_p);
        }
        if self.min_p > 0 {
            distances.keep_heavy(self.min_p);
        }
        Ok(distances.at(self.random()))
    }

    /// The high half of SplitMix64's next number.
    fn random(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

/// The index of the largest value, the first of equals; 0 if `values` is empty.
///
/// ```
/// assert_eq!(kinglet::sample::argmax(&[1, 7, 7]), 1);
/// ```
pub fn argmax(values: &[i32]) -> u32 {
    first_of(values, scores_max(values))
}

// Not inlined, so that all its variables are in registers.
#[inline(never)]
fn first_of(values: &[i32], wanted: i32) -> u32 {
    values.iter().position(|&value| value == wanted).unwrap_or(0) as u32
}

/// Writes the indices of the largest values to `out`, largest value first, and the lower index
/// first among equals. Returns their number.
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
        let mut sampler = Sampler::new(options).expect("options in range");
        let mut counts = [0; 5];
        for _ in 0..20_000 {
            counts[sampler.sample(&mut LOGITS.clone(), 16, &[]).expect("a token") as usize] += 1;
        }
        counts.map(|count| f64::from(count) / 20_000.0)
    }

    fn softmax(temperature: f64) -> [f64; 5] {
        let powers = LOGITS.map(|logit| libm::exp(f64::from(logit) / 65536.0 / temperature));
        powers.map(|power| power / powers.iter().sum::<f64>())
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(Sampler::greedy().sample(&mut LOGITS.clone(), 16, &[]), Ok(1));
        let by_options = Sampler::new(SamplerOptions::GREEDY).expect("options in range");
        assert_eq!(by_options, Sampler::greedy());
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
        let options = SamplerOptions { repetition_penalty: 1.3, ..SamplerOptions::GREEDY };
        let mut sampler = Sampler::new(options).expect("options in range");
        // 3 / 1.3 = 2.3 is still larger than 2; after a second division it would not be.
        assert_eq!(sampler.sample(&mut [3 << 16, 2 << 16], 16, &[0, 0, 0]), Ok(0));
        assert_eq!(sampler.sample(&mut [3 << 16, 5 << 15], 16, &[0]), Ok(1));
    }

    #[test]
    fn senseless_options_are_refused_by_name() {
        let plain = SamplerOptions::GREEDY;
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, -1e-9, 1e5, 1001.0] {
            let cases = [
                ("temperature", SamplerOptions { temperature: x, ..plain }),
                ("top_p", SamplerOptions { top_p: x, ..plain }),
                ("min_p", SamplerOptions { min_p: x, ..plain }),
                ("repetition_penalty", SamplerOptions { repetition_penalty: x, ..plain }),
            ];
            for (name, options) in cases {
                let found = Sampler::new(options).err();
                assert!(matches!(found, Some(RunError::InvalidOption { option, .. }) if option == name), "{name} {x}");
            }
        }
        for (temperature, repetition_penalty) in [(1e-4, 1.0), (f32::MIN_POSITIVE, 1.0), (0.0, 0.0), (0.0, 1e-3)] {
            assert!(Sampler::new(SamplerOptions { temperature, repetition_penalty, ..plain }).is_err());
        }
        for edge in [0.001, 1000.0, 0.0] {
            assert!(Sampler::new(SamplerOptions { temperature: edge, ..plain }).is_ok(), "{edge}");
        }
        for (top_p, min_p, repetition_penalty) in [(0.0, 0.0, 0.01), (1.0, 1.0, 100.0)] {
            assert!(Sampler::new(SamplerOptions { top_p, min_p, repetition_penalty, ..plain }).is_ok(), "{top_p}");
        }
        let fixed = FixedSamplerOptions::GREEDY;
        for (temperature, repetition_penalty, min_p) in [(66, 656, 0), (1000 * ONE, 100 * ONE, ONE)] {
            let options = FixedSamplerOptions { temperature, repetition_penalty, min_p, ..fixed };
            assert!(Sampler::from_fixed(options).is_ok(), "{options:?}");
        }
    }

    #[test]
    fn random_numbers_are_those_of_split_mix_64() {
        let mut sampler = Sampler::greedy();
        sampler.set_state(1_234_567);
        let published: [u64; 5] = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(published.map(|number| (number >> 32) as u32), [(); 5].map(|()| sampler.random()));
        let state = sampler.state();
        let next = sampler.random();
        assert_ne!(sampler.state(), state);
        sampler.set_state(state);
        assert_eq!(sampler.random(), next);
    }

    #[test]
    fn the_largest_values_come_in_order_and_the_first_of_equals_first() {
        let values = [1, 9, i32::MIN, 9, 4];
        for len in 0..=7 {
            let mut best = [77; 7];
            assert_eq!(top(&values, &mut best[..len]), len.min(5));
            assert_eq!(best[..len.min(5)], [1, 3, 4, 0, 2][..len.min(5)]);
            assert!(best[len.min(5)..].iter().all(|&other| other == 77));
        }
        assert_eq!((argmax(&values), argmax(&[])), (1, 0));
    }

    #[test]
    fn fixed_point_options_are_those_of_floating_point() {
        let fixed = FixedSamplerOptions {
            temperature: ONE / 2,
            top_k: 3,
            top_p: ONE / 4,
            min_p: ONE / 8,
            ..FixedSamplerOptions::GREEDY
        };
        let options =
            SamplerOptions { temperature: 0.5, top_k: 3, top_p: 0.25, min_p: 0.125, ..SamplerOptions::GREEDY };
        assert_eq!(Sampler::from_fixed(fixed), Sampler::new(options));
        assert_eq!(Sampler::from_fixed(FixedSamplerOptions::GREEDY), Ok(Sampler::greedy()));
        let plain = FixedSamplerOptions::GREEDY;
        for (name, options) in [
            ("temperature", FixedSamplerOptions { temperature: 65, ..plain }),
            ("temperature", FixedSamplerOptions { temperature: 1000 * ONE + 1, ..plain }),
            ("top_p", FixedSamplerOptions { top_p: ONE + 1, ..plain }),
            ("min_p", FixedSamplerOptions { min_p: u32::MAX, ..plain }),
            ("repetition_penalty", FixedSamplerOptions { repetition_penalty: 655, ..plain }),
            ("repetition_penalty", FixedSamplerOptions { repetition_penalty: 100 * ONE + 1, ..plain }),
        ] {
            let found = Sampler::from_fixed(options).err();
            assert!(matches!(found, Some(RunError::InvalidOption { option, .. }) if option == name), "{options:?}");
        }
    }

    #[test]
    fn the_highest_temperature_chooses_among_all_and_the_lowest_takes_the_likeliest() {
        let at = |temperature| frequencies(SamplerOptions { temperature, seed: 3, ..SamplerOptions::GREEDY });
        assert!(at(1000.0).iter().all(|f| (f - 0.2).abs() < 0.012));
        assert!(at(0.001).iter().zip([0.0, 0.5, 0.0, 0.0, 0.5]).all(|(f, wanted)| (f - wanted).abs() < 0.012));
    }

    #[test]
    fn what_is_suppressed_is_never_chosen() {
        for temperature in [0.0, 1.0, 1000.0] {
            for repetition_penalty in [0.01, 1.0, 100.0] {
                let options = SamplerOptions { temperature, repetition_penalty, seed: 4, ..SamplerOptions::GREEDY };
                let mut sampler = Sampler::new(options).expect("options in range");
                let mut choose = |logits: &mut [i32]| sampler.sample(logits, 16, &[0, 1, 2]);
                for _ in 0..500 {
                    // The smallest logit that is not suppressed can be chosen.
                    assert_eq!(choose(&mut [SUPPRESSED, SUPPRESSED + 1, SUPPRESSED]), Ok(1));
                    assert_ne!(choose(&mut [1 << 16, SUPPRESSED, 2 << 16]), Ok(1));
                }
                assert_eq!(choose(&mut [SUPPRESSED; 3]), Err(RunError::AllSuppressed));
                assert_eq!(choose(&mut []), Err(RunError::AllSuppressed));
            }
        }
    }

    /// How often each logit of `len` logits, which repeat [`LOGITS`], is drawn; and how many of the
    /// draws are from the second half.
    fn draws_of_many(len: usize, draws: usize, options: SamplerOptions) -> ([usize; 5], usize) {
        let mut sampler = Sampler::new(options).expect("options in range");
        let (mut counts, mut late) = ([0; 5], 0);
        for _ in 0..draws {
            let mut logits: std::vec::Vec<i32> = LOGITS.into_iter().cycle().take(len).collect();
            let token = sampler.sample(&mut logits, 16, &[]).expect("a token") as usize;
            counts[token % 5] += 1;
            late += usize::from(token >= len / 2);
        }
        (counts, late)
    }

    #[test]
    fn the_largest_vocabulary_is_sampled_like_a_small_one() {
        let warm = SamplerOptions { temperature: 1.0, seed: 6, ..SamplerOptions::GREEDY };
        for len in [1 << 19, MAX_ROWS as usize] {
            let (counts, late) = draws_of_many(len, 60, SamplerOptions { temperature: 1000.0, ..warm });
            assert!(counts.iter().all(|n| (4..=20).contains(n)), "{counts:?} of {len}");
            assert!((20..=40).contains(&late), "{late} of {len}");
            for (filter, kept) in [
                (SamplerOptions { min_p: 0.3, ..warm }, [false, true, true, false, true]),
                (SamplerOptions { top_p: 0.5, ..warm }, [false, true, false, false, true]),
                (SamplerOptions { top_k: 2, ..warm }, [false, true, false, false, true]),
            ] {
                let (counts, _) = draws_of_many(len, 12, filter);
                assert_eq!(counts.map(|n| n > 0), kept, "{filter:?} of {len}");
            }
        }
    }

    #[test]
    fn a_logit_beyond_the_largest_vocabulary_is_not_read() {
        let mut logits = std::vec![0; MAX_ROWS as usize + 1];
        logits[MAX_ROWS as usize] = 7 << 16;
        assert_eq!(Sampler::greedy().sample(&mut logits, 16, &[]), Ok(0));
    }

    #[test]
    fn any_number_of_fraction_bits_is_read() {
        for fraction_bits in [0, 31, 63, 64, 200, 255] {
            let options = SamplerOptions { temperature: 1.0, top_p: 0.5, seed: 5, ..SamplerOptions::GREEDY };
            let mut sampler = Sampler::new(options).expect("options in range");
            assert!(sampler.sample(&mut [i32::MAX, -5, i32::MIN + 1], fraction_bits, &[]).is_ok_and(|token| token < 3));
        }
    }
}
