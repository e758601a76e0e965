//! Adds and compares `f64` values with integer instructions: the log-likelihoods of Unigram models.

/// A finite `f64`, stored as its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Float(pub(crate) u64);

const SIGN: u64 = 1 << 63;
const HIDDEN: u64 = 1 << 52;

impl Float {
    pub(crate) const ZERO: Self = Self(0);

    /// An integer that orders as the number does; both zeros have the key 0.
    fn key(self) -> i64 {
        let magnitude = (self.0 & !SIGN) as i64;
        if self.0 & SIGN != 0 { -magnitude } else { magnitude }
    }

    pub(crate) fn is_greater(self, other: Self) -> bool {
        self.key() > other.key()
    }

    /// The exponent, and the significand with its hidden bit and three guard bits below.
    fn parts(self) -> (i32, u64) {
        let exponent = (self.0 >> 52 & 0x7ff) as i32;
        let fraction = self.0 & (HIDDEN - 1);
        if exponent == 0 { (1, fraction << 3) } else { (exponent, (fraction | HIDDEN) << 3) }
    }

    /// The sum, rounded to nearest, ties to even (IEEE 754).
    pub(crate) fn add(self, other: Self) -> Self {
        let (large, small) = if self.0 & !SIGN >= other.0 & !SIGN { (self, other) } else { (other, self) };
        let (mut exponent, a) = large.parts();
        let (small_exponent, b) = small.parts();
        // Bits that are shifted out set the sticky bit.
        let shift = (exponent - small_exponent) as u32;
        let b = match shift {
            0 => b,
            1..=60 => b >> shift | u64::from(b & ((1 << shift) - 1) != 0),
            _ => u64::from(b != 0),
        };
        let mut sum = if (large.0 ^ small.0) & SIGN == 0 { a + b } else { a - b };
        if sum == 0 {
            return Self(large.0 & small.0 & SIGN);
        }
        if sum >= HIDDEN << 4 {
            sum = sum >> 1 | sum & 1;
            exponent += 1;
        }
        while sum < HIDDEN << 3 && exponent > 1 {
            sum <<= 1;
            exponent -= 1;
        }
        let (mut rounded, rest) = (sum >> 3, sum & 7);
        if rest > 4 || (rest == 4 && rounded & 1 == 1) {
            rounded += 1;
        }
        if rounded >= HIDDEN << 1 {
            rounded >>= 1;
            exponent += 1;
        }
        let exponent = if rounded < HIDDEN { 0 } else { exponent as u64 };
        Self(large.0 & SIGN | exponent << 52 | rounded & (HIDDEN - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_machine() {
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        for round in 0..200_000 {
            let scale = [1.0, 1e-3, 1e6, 1e-12, 1.0][round % 5];
            let (a, b) = ((random() - 0.6) * 20.0, (random() - 0.6) * 20.0 * scale);
            let (a, b) = if round % 7 == 0 { (a, -a) } else { (a, b) };
            let sum = Float(a.to_bits()).add(Float(b.to_bits()));
            assert_eq!(f64::from_bits(sum.0), a + b, "{a} + {b}");
            assert_eq!(Float(a.to_bits()).is_greater(Float(b.to_bits())), a > b, "{a} > {b}");
        }
        for (a, b) in [
            (0.0, -0.0),
            (-0.0, -0.0),
            (1.0, f64::EPSILON / 2.0),
            (1.0, f64::EPSILON),
            (-3.5, 0.0),
            (f64::MIN_POSITIVE, -1e-310),
        ] {
            assert_eq!(f64::from_bits(Float(f64::to_bits(a)).add(Float(f64::to_bits(b))).0), a + b, "{a} + {b}");
        }
    }
}
