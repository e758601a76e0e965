//! Applies the filters of a sampler by counting, without sorting.
//!
//! Each logit is replaced by its *distance* below the largest logit, in units of 1/512 of a factor
//! of two in probability. A token's weight, its probability before normalization, is a function of
//! its distance. A histogram locates a filter's threshold: first in bins of a quarter of a factor
//! of two, then exactly, with a second pass that counts the distances of one bin. All tokens at the
//! threshold are kept.

use super::seen::SUPPRESSED;
use crate::kernels::scalar::softmax::{EXP2, EXP2_STEPS};

/// The smallest distance whose weight counts as 0: `2^-31` of the largest weight.
const WEIGHTLESS: u32 = 31 * EXP2_STEPS as u32;
/// Distances per bin of the coarse histogram.
const BIN: usize = EXP2_STEPS / 4;
/// Bins of the coarse histogram, a power of two to avoid bounds checks.
const BINS: usize = (WEIGHTLESS as usize / BIN).next_power_of_two();

/// The sum of the weights of this number of logits may exceed 64 bits.
const MANY: usize = 1 << 19;

/// If a filter keeps at most this many tokens, they are compacted, so that later passes are short.
const FEW: usize = 64;

/// The weight at a distance below [`WEIGHTLESS`], `2^(45 - distance / 512)`: an integer, so that
/// sums are exact.
#[inline(always)]
fn weight(distance: u32) -> u64 {
    let distance = distance as usize;
    u64::from(EXP2[distance % EXP2_STEPS]) << (30_usize.wrapping_sub(distance / EXP2_STEPS) % 32)
}

/// Converts the difference of two logits to a distance.
struct Ruler {
    /// Larger differences are [`WEIGHTLESS`].
    longest: u32,
    up: u32,
    factor: u32,
}

impl Ruler {
    /// A distance is `(difference * sharpness) >> (fraction_bits + 7)`, where `sharpness` is
    /// `log2(e) / temperature` in Q16. With more than 25 fraction bits, low bits of `sharpness` are
    /// dropped.
    fn new(sharpness: u32, fraction_bits: u8) -> Self {
        // The distance is the high word of `(difference << up) * factor`.
        let fraction = u32::from(fraction_bits) + 7;
        let missing = 32_u32.saturating_sub(fraction);
        let of_factor = missing.min(sharpness.leading_zeros());
        let up = missing - of_factor;
        let factor = (sharpness << of_factor).unbounded_shr(fraction.saturating_sub(32));
        Self { longest: u32::MAX >> up, up, factor }
    }

    /// The distance of a token, or `None` if it is [`WEIGHTLESS`].
    #[inline(always)]
    fn distance(&self, difference: u32) -> Option<u32> {
        if difference > self.longest {
            return None;
        }
        let product = u64::from(difference << self.up) * u64::from(self.factor);
        let distance = (product >> 32) as u32;
        if distance < WEIGHTLESS { Some(distance) } else { None }
    }
}

/// A bin of the coarse histogram: the number of tokens in the high 24 bits, the sum of their
/// [`EXP2`] in the low 40 bits.
#[derive(Clone, Copy, Default)]
struct Bin(u64);

impl Bin {
    #[inline(always)]
    fn add(&mut self, distance: u32) {
        self.0 = self.0.wrapping_add((1 << 40) + u64::from(EXP2[distance as usize % EXP2_STEPS]));
    }

    /// The tokens of the bin, given its index.
    fn tokens(self, index: usize) -> Tokens {
        let powers = self.0 % (1 << 40);
        Tokens { count: (self.0 >> 40) as u32, weight: powers << (30_usize.saturating_sub(index * BIN / EXP2_STEPS)) }
    }
}

/// The size of a set of tokens.
#[derive(Clone, Copy, Default)]
struct Tokens {
    count: u32,
    /// The sum of their weights.
    weight: u64,
}

impl Tokens {
    fn and(self, other: Tokens) -> Self {
        Self { count: self.count.wrapping_add(other.count), weight: self.weight.wrapping_add(other.weight) }
    }
}

/// The distances of the logits, and their histogram.
pub(super) struct Distances<'l> {
    /// The distance of each token; after compaction, of each kept token.
    distances: &'l mut [i32],
    /// The kept tokens after compaction; empty before.
    tokens: heapless::Vec<u32, FEW>,
    bins: [Bin; BINS],
    /// The sum of the kept tokens' weights.
    kept: u64,
    /// The largest distance of the kept tokens.
    last: u32,
    /// The distance of the largest logit.
    nearest: u32,
}

impl<'l> Distances<'l> {
    /// Borrows the logits, which [`measure`](Self::measure) will replace by distances.
    pub(super) fn of(logits: &'l mut [i32]) -> Self {
        let (tokens, bins) = (heapless::Vec::new(), [Bin::default(); BINS]);
        Self { distances: logits, tokens, bins, kept: 0, last: WEIGHTLESS - 1, nearest: 0 }
    }

    /// Replaces all logits by their distances from the largest. [`SUPPRESSED`] ones become
    /// [`WEIGHTLESS`]. A filter must follow.
    pub(super) fn measure(&mut self, largest: i32, sharpness: u32, fraction_bits: u8) {
        let mut ruler = Ruler::new(sharpness, fraction_bits);
        ruler.longest = ruler.longest.min(largest.abs_diff(SUPPRESSED).saturating_sub(1));
        measure(self.distances, largest, &ruler, &mut self.bins);
        let octaves = self.distances.len().checked_ilog2().unwrap_or(0).saturating_sub(MANY.ilog2() - 1);
        if octaves > 0 {
            self.lighten(octaves);
        }
    }

    /// Adds `octaves` factors of two to all distances, so that the sum of all weights fits 64 bits.
    #[cold]
    fn lighten(&mut self, octaves: u32) {
        self.nearest = octaves * EXP2_STEPS as u32;
        for distance in self.distances.iter_mut() {
            *distance = (distance.cast_unsigned() + self.nearest).min(WEIGHTLESS).cast_signed();
        }
        // A bin's powers do not change: they depend on the distance modulo a factor of two.
        for index in (0..BINS).rev() {
            let before = index.wrapping_sub(self.nearest as usize / BIN);
            let bin = self.bins.get(before).filter(|_| index < WEIGHTLESS as usize / BIN);
            self.bins[index] = bin.copied().unwrap_or_default();
        }
    }

    /// Keeps the `k` nearest tokens (top-k), or all if there are fewer.
    pub(super) fn keep_nearest(&mut self, k: u32) {
        self.cut(|tokens| tokens.count >= k);
    }

    /// Keeps the nearest tokens that together have at least `share`, in Q16, of the weight kept so
    /// far (top-p).
    pub(super) fn keep_share(&mut self, share: u32) {
        let wanted = (self.kept >> 16) * u64::from(share);
        self.cut(|tokens| tokens.weight >= wanted);
    }

    /// Keeps tokens with at least `share`, in Q16, of the nearest token's weight (min-p).
    pub(super) fn keep_heavy(&mut self, share: u32) {
        let floor = u64::from(share) * (weight(self.nearest) >> 16);
        let (mut heavy, mut light) = (self.nearest, WEIGHTLESS);
        while light - heavy > 1 {
            let middle = (heavy + light) / 2;
            if weight(middle) >= floor {
                heavy = middle;
            } else {
                light = middle;
            }
        }
        if heavy < self.last {
            let near =
                self.distances.iter().map(|distance| distance.cast_unsigned()).filter(|&distance| distance <= heavy);
            (self.last, self.kept) = (heavy, near.fold(0, |sum: u64, distance| sum.wrapping_add(weight(distance))));
        }
    }

    /// Keeps tokens up to the smallest distance at which `enough` holds for the tokens so far.
    fn cut(&mut self, enough: impl Fn(Tokens) -> bool) {
        let mut before = Tokens::default();
        let mut first = 0;
        for (index, bin) in self.bins.iter().enumerate() {
            let with = before.and(bin.tokens(index));
            if enough(with) {
                break;
            }
            before = with;
            first += BIN as u32;
        }
        if first >= WEIGHTLESS {
            self.kept = before.weight;
            return;
        }
        let mut counts = [0; BIN];
        count(self.distances, first, &mut counts);
        for (distance, &count) in (first..).zip(&counts).filter(|(_, count)| **count > 0) {
            before = before.and(Tokens { count, weight: weight(distance) * u64::from(count) });
            if enough(before) {
                if distance < self.last {
                    (self.last, self.kept) = (distance, before.weight);
                    self.gather(before.count);
                }
                return;
            }
        }
    }

    /// Compacts the kept tokens if they are at most [`FEW`].
    fn gather(&mut self, kept: u32) {
        if kept as usize > FEW || !self.tokens.is_empty() {
            return;
        }
        let last = self.last;
        for token in 0..self.distances.len() {
            let Some(&distance) = self.distances.get(token) else { break };
            if distance.cast_unsigned() <= last {
                if let Some(slot) = self.distances.get_mut(self.tokens.len()) {
                    *slot = distance;
                }
                // Cannot fail: `kept` is at most `FEW`.
                let _ = self.tokens.push(token as u32);
            }
        }
        let distances = core::mem::take(&mut self.distances);
        self.distances = distances.get_mut(..self.tokens.len()).unwrap_or(&mut []);
    }

    /// The token at `place`, a fraction in Q32 of the cumulative weight of the kept tokens.
    pub(super) fn at(&self, place: u32) -> u32 {
        // Scale the sum to 32 bits, so that one 64-bit product gives the cumulative weight.
        let shift = (64 - self.kept.leading_zeros()).saturating_sub(32);
        let mut place = ((u64::from(place) * (self.kept >> shift)) >> 32) << shift;
        for (index, distance) in self.distances.iter().enumerate() {
            let distance = distance.cast_unsigned();
            if distance <= self.last {
                let weight = weight(distance);
                if place < weight {
                    return self.tokens.get(index).copied().unwrap_or(index as u32);
                }
                place -= weight;
            }
        }
        // Unreachable: the cumulative weight is less than the sum of all weights.
        0
    }
}

/// Replaces logits by their distances below the largest logit, and adds them to the histogram.
#[inline(never)]
fn measure(logits: &mut [i32], largest: i32, ruler: &Ruler, bins: &mut [Bin; BINS]) {
    for logit in logits {
        let Some(distance) = ruler.distance(largest.wrapping_sub(*logit).cast_unsigned()) else {
            *logit = WEIGHTLESS.cast_signed();
            continue;
        };
        *logit = distance.cast_signed();
        bins[distance as usize / BIN % BINS].add(distance);
    }
}

/// Counts the tokens at each distance of the bin that begins at `first`.
#[inline(never)]
fn count(distances: &[i32], first: u32, counts: &mut [u32; BIN]) {
    let mut add = |distance: i32| {
        if let Some(count) = counts.get_mut(distance.cast_unsigned().wrapping_sub(first) as usize) {
            *count += 1;
        }
    };
    let (fours, rest) = distances.as_chunks();
    for &[a, b, c, d] in fours {
        add(a);
        add(b);
        add(c);
        add(d);
    }
    rest.iter().for_each(|&distance| add(distance));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_the_scaled_difference() {
        let differences = [0, 1, 77, 4095, 65_535, 65_536, 1 << 20, 0x0fff_ffff, 1 << 31, u32::MAX - 1, u32::MAX];
        for sharpness in [94, 1000, 65_535, 94_548, 118_185, 1 << 20, 94_548_000] {
            for fraction_bits in 0..=25 {
                let ruler = Ruler::new(sharpness, fraction_bits);
                for difference in differences {
                    let product = u64::from(difference) * u64::from(sharpness);
                    let exact = product.unbounded_shr(u32::from(fraction_bits) + 7).min(WEIGHTLESS.into());
                    let found = ruler.distance(difference).unwrap_or(WEIGHTLESS);
                    assert_eq!(u64::from(found), exact, "{difference} * {sharpness} with {fraction_bits} bits");
                }
            }
            for fraction_bits in 26..=255 {
                let exact = (u64::from(u32::MAX) * u64::from(sharpness)).unbounded_shr(u32::from(fraction_bits) + 7);
                assert!(
                    u64::from(Ruler::new(sharpness, fraction_bits).distance(u32::MAX).unwrap_or(WEIGHTLESS)) <= exact
                );
            }
        }
    }

    #[test]
    fn weights_fall_with_the_distance() {
        assert_eq!(
            (weight(0), weight(EXP2_STEPS as u32), weight(WEIGHTLESS - EXP2_STEPS as u32)),
            (1 << 45, 1 << 44, 1 << 15)
        );
        assert!((1..WEIGHTLESS).all(|distance| weight(distance) <= weight(distance - 1)));
    }

    /// A reference implementation of the filters, by sorting: the largest distance kept.
    fn kept(distances: &[u32], k: u32, top_p: u32, min_p: u32) -> u32 {
        let mut sorted = std::vec::Vec::from(distances);
        sorted.retain(|&distance| distance < WEIGHTLESS);
        sorted.sort_unstable();
        let total = |last: u32| -> u64 {
            let near = distances.iter().filter(|&&distance| distance <= last);
            near.map(|&distance| weight(distance)).sum()
        };
        let mut last = sorted.get((k.max(1) - 1) as usize).copied().filter(|_| k > 0).unwrap_or(WEIGHTLESS - 1);
        let wanted = (total(last) >> 16) * u64::from(top_p);
        last = last.min(sorted.iter().copied().find(|&distance| total(distance) >= wanted).unwrap_or(last));
        let heavy = sorted.iter().copied().rfind(|&distance| weight(distance) >= u64::from(min_p) << 29);
        last.min(heavy.unwrap_or(0))
    }

    #[test]
    fn filters_cut_where_sorting_does() {
        let mut state = 1_u64;
        let mut next = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        for round in 0..2000 {
            let len = 1 + next(200) as usize;
            let spread = [1, 40, 700, 3000, 20_000][round % 5] << 7;
            let mut logits = std::vec::Vec::from_iter((0..len).map(|_| next(spread) as i32));
            let largest = logits.iter().copied().max().expect("at least one");
            let (k, top_p, min_p) = (next(60) as u32, next(65_537) as u32, next(65_537) as u32 >> next(17));
            // With a sharpness of 1 and 16 fraction bits, a step of distance is 128 units.
            let mut distances = Distances::of(&mut logits);
            distances.measure(largest, 1 << 16, 16);
            let measured =
                std::vec::Vec::from_iter(distances.distances.iter().map(|distance| distance.cast_unsigned()));
            distances.keep_nearest(if k > 0 { k } else { u32::MAX });
            distances.keep_share(top_p);
            distances.keep_heavy(min_p);
            let wanted = kept(&measured, k, top_p, min_p);
            let is_kept = |last: u32| std::vec::Vec::from_iter(measured.iter().map(|&distance| distance <= last));
            assert_eq!(is_kept(distances.last), is_kept(wanted), "round {round}: {k} {top_p} {min_p}");
            let weights = std::vec::Vec::from_iter(measured.iter().map(|&d| if d <= wanted { weight(d) } else { 0 }));
            let sum = weights.iter().sum::<u64>();
            assert_eq!(distances.kept, sum, "round {round}");
            for place in [0, next(1 << 32) as u32, next(1 << 32) as u32, u32::MAX] {
                let shift = (64 - sum.leading_zeros()).saturating_sub(32);
                let mut before = ((u64::from(place) * (sum >> shift)) >> 32) << shift;
                let token = weights.iter().position(|&weight| {
                    let here = before < weight;
                    before = before.wrapping_sub(if here { 0 } else { weight });
                    here
                });
                assert_eq!(Some(distances.at(place) as usize), token, "round {round}: {place}");
            }
        }
    }
}
