//! Encodes the scale of a quantized row.

/// The scale of a quantized row, `mantissa * 2^exponent`, in two bytes: an 11-bit mantissa with its
/// leading one, and a 5-bit exponent. A quantized value `q` stands for `q * scale`, in the row's
/// fixed-point format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale(u16);

impl Scale {
    /// The bias of the encoded exponent.
    pub(crate) const BIAS: i32 = 17;
    /// Bytes of a scale in the arena, where it is stored as its bits.
    pub(crate) const BYTES: usize = size_of::<u16>();

    #[inline(always)]
    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    #[inline(always)]
    pub(crate) const fn to_bits(self) -> u16 {
        self.0
    }

    /// The scale `2^shift`, for `shift` in `0..=24`.
    pub(crate) const fn power_of_two(shift: u32) -> Self {
        Self((shift as u16 + Self::BIAS as u16 - 10) << 11 | 1 << 10)
    }

    /// The `n` of a scale that is `2^n`.
    pub(crate) const fn power(self) -> i32 {
        self.exponent() + 10
    }

    /// The mantissa, in `1024..2048`.
    #[inline(always)]
    pub(crate) const fn mantissa(self) -> i32 {
        (self.0 & 0x7ff) as i32
    }

    /// The exponent, in `-17..=14`.
    #[inline(always)]
    pub(crate) const fn exponent(self) -> i32 {
        (self.0 >> 11) as i32 - Self::BIAS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_a_mantissa_and_an_exponent() {
        for shift in 0..=24 {
            let scale = Scale::power_of_two(shift);
            let power = shift as i32;
            assert_eq!((scale.mantissa(), scale.exponent(), scale.power()), (1 << 10, power - 10, power));
            assert_eq!(Scale::from_bits(scale.to_bits()), scale);
        }
        let [least, most] = [0, u16::MAX].map(Scale::from_bits);
        assert_eq!((least.mantissa(), least.exponent()), (0, -17));
        assert_eq!((most.mantissa(), most.exponent()), (2047, 14));
    }
}
