//! Converts real numbers to integers: all roundings of the converter.

use anyhow::Result;
use kinglet::format::spec::Multiplier;

use crate::refuse;

/// Rounds to the nearest integer, and halves to even.
pub fn round_half_even(x: f64) -> f64 {
    libm::rint(x)
}

/// `x` in fixed point with `fraction_bits` fraction bits; `None` if it does not fit an `i32`.
pub fn fixed(x: f64, fraction_bits: u8) -> Option<i32> {
    let scaled = round_half_even(libm::ldexp(x, i32::from(fraction_bits)));
    (scaled >= f64::from(i32::MIN) && scaled <= f64::from(i32::MAX)).then_some(scaled as i32)
}

/// A weight as an integer multiple of `scale`; 0 if the scale is 0.
pub(crate) fn code(x: f64, scale: f64, (least, most): (f64, f64)) -> f64 {
    if scale > 0.0 { round_half_even(x / scale).clamp(least, most) } else { 0.0 }
}

/// The exponent `e` for which `x * 2^e`, rounded, is in `2^30 .. 2^31`. `x` must be positive and
/// finite.
pub fn exponent(x: f64) -> i32 {
    let (_, power) = libm::frexp(x);
    let exponent = 31 - power;
    // A fraction just below one rounds up to 2^31, which is one bit too long.
    if round_half_even(libm::ldexp(x, exponent)) >= f64::from(1u32 << 31) { exponent - 1 } else { exponent }
}

/// Converts a positive number to a [`Multiplier`].
///
/// # Errors
/// When it is not positive, or outside the exponents of a blob.
pub fn multiplier(x: f64) -> Result<Multiplier> {
    if x > 0.0 && x.is_finite() {
        let exponent = exponent(x);
        if Multiplier::EXPONENTS.contains(&exponent) {
            let mantissa = round_half_even(libm::ldexp(x, exponent)) as i32;
            return Ok(Multiplier { mantissa, exponent: exponent as i8 });
        }
    }
    Err(refuse(
        format_args!("a factor of {x} cannot be represented"),
        "factors lie between 2^-64 and 2^62: check config.json",
    ))
}

/// The value of a [`Multiplier`].
pub fn real(multiplier: Multiplier) -> f64 {
    libm::ldexp(f64::from(multiplier.mantissa), -i32::from(multiplier.exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even() {
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(round_half_even), [0.0, 2.0, 2.0, 0.0, -2.0]);
    }

    #[test]
    fn fixed_refuses_what_does_not_fit() {
        assert_eq!(fixed(1.5, 16), Some(98_304));
        assert_eq!(fixed(-32768.0, 16), Some(i32::MIN));
        assert_eq!(fixed(32768.0, 16), None);
        assert_eq!(fixed(f64::NAN, 16), None);
    }

    #[test]
    fn multipliers_are_normalized() {
        let cases = [
            (1.0, 1 << 30, 30),
            (0.5, 1 << 30, 31),
            (2.0, 1 << 30, 29),
            (1.5, 3 << 29, 30),
            // The fraction rounds up to the next power of two.
            (1.0 - 1e-12, 1 << 30, 30),
        ];
        for (x, mantissa, exponent) in cases {
            assert_eq!(multiplier(x).unwrap(), Multiplier { mantissa, exponent }, "{x}");
        }
        for x in [1e-9, 0.3, 1.0, 7.7, 1e9] {
            let held = real(multiplier(x).unwrap());
            assert!((held - x).abs() <= x * libm::ldexp(1.0, -31), "{x} is held as {held}");
        }
        for x in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e30, 1e-30] {
            assert!(multiplier(x).is_err(), "{x}");
        }
    }
}
