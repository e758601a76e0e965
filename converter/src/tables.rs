//! Computes the tables that are not learned: activations, rotary and sinusoidal positions, relative
//! distances.
//!
//! All functions come from `libm`, so that every machine computes equal tables.

use core::f64::consts::LN_2;

use anyhow::Result;
use kinglet::format::layout::ACTIVATION_TABLE_LEN;
use kinglet::format::spec::Activation;

use crate::refuse;

/// The exact value of an activation function.
pub fn activation(kind: Activation, x: f32) -> f32 {
    match kind {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::ReluSquared => x.max(0.0) * x.max(0.0),
        Activation::Gelu => 0.5 * x * (1.0 + libm::erff(x * core::f32::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            let root = 0.797_884_6; // sqrt(2 / pi)
            0.5 * x * (1.0 + libm::tanhf(root * (x + 0.044_715 * x * x * x)))
        }
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Silu => x * sigmoid(x),
        Activation::Tanh => libm::tanhf(x),
        Activation::Sigmoid => sigmoid(x),
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// The values of an activation function that the runtime tabulates, at `|x| = i / 64`: the part
/// that is not piecewise linear. It is even for the gated units (`f(x) - max(x, 0)`), and odd for
/// `tanh` and `sigmoid - 1/2`.
pub fn activation_table(kind: Activation) -> Vec<f32> {
    let gate = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    let at = |x: f64| match kind {
        Activation::Gelu => -0.5 * x * libm::erfc(x * core::f64::consts::FRAC_1_SQRT_2),
        Activation::GeluTanh => {
            // x / 2 * (1 + tanh(y)) - x = -x * sigmoid(-2 y), without the cancellation.
            let y = libm::sqrt(core::f64::consts::FRAC_2_PI) * (x + 0.044_715 * x * x * x);
            -x * gate(-2.0 * y)
        }
        Activation::QuickGelu => -x * gate(-1.702 * x),
        Activation::Silu => -x * gate(-x),
        Activation::Tanh => libm::tanh(x),
        Activation::Sigmoid => gate(x) - 0.5,
        Activation::Identity | Activation::Relu | Activation::ReluSquared => 0.0,
    };
    (0..ACTIVATION_TABLE_LEN).map(|i| at(i as f64 / 64.0) as f32).collect()
}

/// The frequencies of a rotary embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// The base of the frequencies.
    pub theta: f64,
    /// The width over which the frequencies are spread, if not the number of rotated dimensions.
    pub spread: Option<u16>,
    /// The change to the frequencies for texts longer than those of pretraining.
    pub scaling: Scaling,
}

/// Changes to the frequencies of a rotary embedding for longer texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// No change.
    None,
    /// Every frequency is divided by this factor.
    Linear(f32),
    /// Low frequencies are divided by `factor`, high ones are unchanged, and those between are
    /// interpolated (Llama 3.1).
    Llama3 {
        /// The divisor of low frequencies.
        factor: f32,
        /// The most turns within `original` positions at which a frequency is low.
        low_freq_factor: f32,
        /// The fewest turns within `original` positions at which a frequency is high.
        high_freq_factor: f32,
        /// The length of texts in pretraining.
        original: f32,
    },
    /// Like `Llama3`, interpolated by a ramp over the pairs from `low` to `high` (arXiv
    /// 2309.00071).
    Yarn {
        /// The divisor of low frequencies.
        factor: f32,
        /// The pair up to which frequencies are unchanged.
        low: f32,
        /// The pair from which on frequencies are divided.
        high: f32,
    },
    /// Every frequency is divided by a factor of its own (arXiv 2402.13753).
    Long(Vec<f32>),
}

impl Rotation {
    /// The frequencies of the pairs of `dims` values, rounded to `f32` at each step as in
    /// `transformers`. They fall to `1 / theta` over a width of `spread`, by default `dims`.
    fn frequencies(&self, dims: usize) -> Vec<f32> {
        let spread = self.spread.map_or(dims, usize::from) as f32;
        let power = |pair: usize| libm::powf(self.theta as f32, (2 * pair) as f32 / spread);
        let scaled = |pair: usize| match &self.scaling {
            Scaling::None => 1.0 / power(pair),
            Scaling::Linear(factor) => 1.0 / power(pair) / factor,
            Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                let plain = 1.0 / power(pair);
                let turns = original * plain / core::f32::consts::TAU;
                let smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                let part = smooth.clamp(0.0, 1.0);
                (1.0 - part) * plain / factor + part * plain
            }
            Scaling::Yarn { factor, low, high } => {
                let plain = 1.0 / power(pair);
                let ramp = ((pair as f32 - low) / (high - low)).clamp(0.0, 1.0);
                plain / factor * ramp + plain * (1.0 - ramp)
            }
            Scaling::Long(factors) => 1.0 / (factors.get(pair).copied().unwrap_or(1.0) * power(pair)),
        };
        (0..dims / 2).map(scaled).collect()
    }

    /// The cosine and sine for each position and pair, `[positions, dims / 2, 2]`.
    pub fn table(&self, dims: usize, positions: usize) -> Vec<f32> {
        let frequencies = self.frequencies(dims);
        let angles = (0..positions).flat_map(|position| frequencies.iter().map(move |f| position as f32 * f));
        angles.flat_map(|angle| [libm::cosf(angle), libm::sinf(angle)]).collect()
    }
}

/// A table of sinusoidal positions (arXiv 1706.03762, section 3.5), in one of several variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sinusoid {
    /// Whether sines and cosines alternate; otherwise all sines precede all cosines.
    pub interleaved: bool,
    /// Whether frequencies run from 1 to exactly `1 / 10000`; otherwise they stop one step before.
    pub closed: bool,
    /// The position of the first row.
    pub first: u32,
    /// Whether the last row, that of the padding token, is zeros.
    pub padded: bool,
}

impl Sinusoid {
    /// The table, `[positions, width]`, including the row of the padding token.
    pub fn table(self, positions: usize, width: usize) -> Vec<f32> {
        let (computed, zeros) = if self.padded { (positions.saturating_sub(1), width) } else { (positions, 0) };
        let first = i64::from(self.first);
        let values = (first..first + computed as i64).flat_map(|position| self.row(position, width));
        values.chain(core::iter::repeat_n(0.0, zeros)).collect()
    }

    /// The row of a position, with `width` columns.
    fn row(self, position: i64, width: usize) -> impl Iterator<Item = f32> {
        let half = width / 2;
        let step = if self.closed { 1.0 / (half.max(2) - 1) as f64 } else { 2.0 / width as f64 };
        (0..width).map(move |column| {
            let (pair, cosine) =
                if self.interleaved { (column / 2, column % 2 == 1) } else { (column % half, column >= half) };
            let angle = position as f64 * libm::pow(10_000.0, -(pair as f64) * step);
            (if cosine { libm::cos(angle) } else { libm::sin(angle) }) as f32
        })
    }
}

/// Sinusoids of the distances from `-span` to `span - 1`, `[2 * span, width]`, all sines before all
/// cosines. Distances beyond `farthest` have the sinusoid of `farthest`.
pub fn distance_sinusoids(span: u32, farthest: u32, width: usize) -> Vec<f32> {
    let sinusoid = Sinusoid { interleaved: false, closed: false, first: 0, padded: false };
    let (span, farthest) = (i64::from(span), i64::from(farthest));
    (-span..span).flat_map(|distance| sinusoid.row(distance.clamp(-farthest, farthest), width)).collect()
}

/// The buckets of distances that share a learned bias (T5, arXiv 1910.10683).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// The number of buckets.
    pub count: u32,
    /// The distance from which on all distances share a bucket.
    pub max_distance: u32,
    /// Whether keys after the query have buckets of their own.
    pub bidirectional: bool,
}

impl Buckets {
    /// The bucket of the distance `key - query`.
    pub fn of(self, relative: i64) -> usize {
        let count = i64::from(if self.bidirectional { self.count / 2 } else { self.count });
        let (base, distance) = match self.bidirectional {
            true => (if relative > 0 { count } else { 0 }, relative.abs()),
            false => (0, (-relative).max(0)),
        };
        let exact = count / 2;
        let bucket = if distance < exact {
            distance
        } else {
            let log = |x: f64| libm::logf(x as f32);
            let ratio = log(distance as f64 / exact as f64) / log(f64::from(self.max_distance) / exact as f64);
            (exact + (ratio * (count - exact) as f32) as i64).min(count - 1)
        };
        (base + bucket) as usize
    }

    /// The least distance in the last bucket.
    pub fn saturation(self) -> u32 {
        let last = self.of(-i64::from(u16::MAX));
        (1..).find(|distance| self.of(-i64::from(*distance)) == last).unwrap_or(1)
    }

    /// The largest distance that a table needs, for texts of at most `max_positions` tokens.
    ///
    /// # Errors
    /// When there are too few buckets for the distances.
    pub fn distance(self, max_positions: u32) -> Result<u32> {
        let least = if self.bidirectional { 4 } else { 2 };
        if self.count < least || self.max_distance <= self.count / least || self.count > 1 << 16 {
            return Err(refuse(
                format_args!("config.json asks for {} buckets up to distance {}", self.count, self.max_distance),
                "take config.json from the checkpoint's page again",
            ));
        }
        Ok(self.saturation().min(max_positions.saturating_sub(1)).max(1))
    }

    /// Expands a table `[count, heads]` to `[heads, distances]`: from `-distance` to `distance` if
    /// it is bidirectional, otherwise from 0 back to `-distance`.
    pub fn spread(self, table: &[f32], heads: usize, distance: u32) -> Vec<f32> {
        let distance = i64::from(distance);
        let relative: Vec<i64> = if self.bidirectional {
            (-distance..=distance).collect()
        } else {
            (0..=distance).map(|back| -back).collect()
        };
        let at = |head: usize, relative: i64| table[self.of(relative) * heads + head];
        (0..heads).flat_map(|head| relative.iter().map(move |relative| at(head, *relative))).collect()
    }
}

/// The slopes by which scores fall with the distance, for each head (ALiBi, arXiv 2108.12409): a
/// geometric sequence. If the number of heads is not a power of two, the sequence of that power is
/// followed by every other term of one twice as long.
pub fn slopes(heads: u32) -> Vec<f32> {
    let power = 1 << heads.max(1).ilog2();
    let of = |count: u32, term: u32| libm::exp2f(-8.0 * term as f32 / count as f32);
    let first = (1..=power).map(|term| of(power, term));
    let rest = (0..heads.saturating_sub(power)).map(|term| of(2 * power, 2 * term + 1));
    first.chain(rest).take(heads as usize).collect()
}

/// The vectors of distances in disentangled attention (DeBERTa, arXiv 2006.03654).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionIndex {
    /// Half the number of vectors.
    pub span: u32,
    /// Distances beyond half of `span` share logarithmic buckets up to this distance; 0 if each
    /// distance has its own vector.
    pub max_distance: u32,
}

impl PositionIndex {
    /// The vector of the distance `query - key`.
    pub fn of(self, relative: i64) -> u32 {
        let span = i64::from(self.span);
        let middle = span / 2;
        let bucket = if self.max_distance == 0 || relative.abs() <= middle {
            relative
        } else {
            let log = |x: f32| libm::logf(x);
            let ratio = log(relative.abs() as f32 / middle as f32)
                / log((f64::from(self.max_distance - 1) / middle as f64) as f32);
            let bucket = libm::ceilf(ratio * (middle - 1) as f32) as i64 + middle;
            bucket * relative.signum()
        };
        (bucket + span).clamp(0, 2 * span - 1) as u32
    }

    /// The largest distance that a table needs, for texts of at most `max_positions` tokens.
    pub fn distance(self, max_positions: u32) -> u32 {
        let farthest = max_positions.saturating_sub(1).max(1);
        let far = i64::from(farthest);
        let ends = (self.of(far), self.of(-far));
        let same = |distance: i64| (self.of(distance), self.of(-distance)) == ends;
        (1..=farthest).rev().take_while(|&distance| same(distance.into())).last().unwrap_or(farthest)
    }

    /// The vectors of the distances from `-distance` to `distance`.
    pub fn indices(self, distance: u32) -> Vec<f32> {
        let far = i64::from(distance);
        (-far..=far).map(|relative| self.of(relative) as f32).collect()
    }
}

/// `2^x`, for the softmax in base two.
pub fn exp2(x: f32) -> f32 {
    libm::expf(x * LN_2 as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_what_the_functions_say() {
        use Activation::{Gelu, GeluTanh, QuickGelu, Sigmoid, Silu, Tanh};
        for kind in [Gelu, GeluTanh, QuickGelu, Silu, Tanh, Sigmoid] {
            let table = activation_table(kind);
            assert_eq!(table.len(), 513);
            for (i, part) in table.iter().enumerate() {
                for x in [i as f32 / 64.0, -(i as f32) / 64.0] {
                    let rebuilt = match kind {
                        Tanh => part * x.signum(),
                        Sigmoid => 0.5 + part * x.signum(),
                        _ => x.max(0.0) + part,
                    };
                    let exact = activation(kind, x);
                    assert!((rebuilt - exact).abs() < 2e-6, "{kind:?}({x}) = {exact}, by the table {rebuilt}");
                }
            }
        }
    }

    #[test]
    fn known_values() {
        // Results of PyTorch.
        let cases = [
            (Activation::Gelu, 1.0, 0.841_344_8),
            (Activation::GeluTanh, 1.0, 0.841_192),
            (Activation::QuickGelu, 1.0, 0.845_795_8),
            (Activation::Silu, -2.0, -0.238_405_84),
            (Activation::ReluSquared, 3.0, 9.0),
        ];
        for (kind, x, expected) in cases {
            assert!((activation(kind, x) - expected).abs() < 1e-6, "{kind:?}");
        }
    }

    #[test]
    fn buckets_saturate_where_transformers_does() {
        let both = Buckets { count: 32, max_distance: 128, bidirectional: true };
        let causal = Buckets { bidirectional: false, ..both };
        assert_eq!((both.saturation(), causal.saturation()), (91, 113));
        assert_eq!([0, -7, -8, -90, -91, 1, 7, 8, 91].map(|r| both.of(r)), [0, 7, 8, 14, 15, 17, 23, 24, 31]);
        assert_eq!([5, 0, -15, -16, -112, -113].map(|r| causal.of(r)), [0, 0, 15, 16, 30, 31]);
    }

    #[test]
    fn distances_find_the_vectors_that_transformers_gives_them() {
        let v3 = PositionIndex { span: 256, max_distance: 512 };
        let found = [0, 1, -1, 128, 200, 400, -400, 511, -511].map(|r| i64::from(v3.of(r)) - 256);
        assert_eq!(found, [0, 1, -1, 128, 169, 233, -233, 255, -255]);
        let v1 = PositionIndex { span: 8, max_distance: 0 };
        assert_eq!([0, 7, 8, 30, -8, -9].map(|r| v1.of(r)), [8, 15, 15, 15, 0, 0]);
        assert_eq!((v1.distance(40), v1.distance(5)), (8, 4));
        assert_eq!(v1.indices(8).len(), 17);
    }

    #[test]
    fn slopes_halve_and_the_heads_beyond_a_power_of_two_lie_between() {
        assert_eq!(slopes(8)[..3], [0.5, 0.25, 0.125]);
        assert_eq!(slopes(6), [0.25, 0.0625, 0.015_625, 0.003_906_25, 0.5, 0.125]);
    }

    #[test]
    fn biases_spread_by_head_and_distance() {
        let buckets = Buckets { count: 4, max_distance: 8, bidirectional: false };
        let table = [0.0, 10.0, 1.0, 11.0, 2.0, 12.0, 3.0, 13.0];
        let spread = buckets.spread(&table, 2, buckets.saturation());
        let (first, second) = spread.split_at(spread.len() / 2);
        assert_eq!(first[..3], [0.0, 1.0, 2.0]);
        assert_eq!(first.last(), Some(&3.0));
        assert!(second.iter().zip(first).all(|(b, a)| *b == a + 10.0));
    }

    #[test]
    fn sinusoids_have_their_variants() {
        let marian = Sinusoid { interleaved: false, closed: false, first: 0, padded: false }.table(3, 4);
        assert_eq!(marian[..4], [0.0, 0.0, 1.0, 1.0]);
        assert!((marian[4] - 0.841_471).abs() < 1e-6 && (marian[5] - 0.009_999_8).abs() < 1e-6);
        let xlm = Sinusoid { interleaved: true, closed: false, first: 0, padded: false }.table(3, 4);
        assert_eq!([xlm[4], xlm[5], xlm[6], xlm[7]], [marian[4], marian[6], marian[5], marian[7]]);
        let closed = Sinusoid { interleaved: false, closed: true, first: 1, padded: false }.table(1, 4);
        assert!((closed[1] - 1e-4).abs() < 1e-8);
        let padded = Sinusoid { interleaved: false, closed: true, first: 1, padded: true }.table(2, 4);
        assert_eq!(padded, [closed, vec![0.0; 4]].concat());
        let distances = distance_sinusoids(3, 2, 4);
        assert_eq!(distances[..4], distances[4..8], "-3 is as -2");
        assert_eq!(distances[12..24], marian[..12], "0, 1 and 2");
        assert_eq!([distances[8], distances[10]], [-marian[4], marian[6]], "-1");
    }

    #[test]
    fn rotary_begins_with_no_rotation() {
        let plain = Rotation { theta: 10_000.0, spread: None, scaling: Scaling::None };
        let table = plain.table(4, 2);
        assert_eq!(table[..4], [1.0, 0.0, 1.0, 0.0]);
        assert!((table[4] - 0.540_302_3).abs() < 1e-6 && (table[7] - 0.009_999_8).abs() < 1e-6);
        let halved = Rotation { scaling: Scaling::Linear(2.0), ..plain };
        assert_eq!(halved.table(4, 3)[8..], table[4..]);
    }
}
