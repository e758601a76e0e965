//! Rounds to half precision.

/// The bits of `value` rounded to IEEE 754's binary16, ties to even. Magnitudes from 65,520 on
/// become infinite; a NaN stays a NaN and keeps its sign.
///
/// ```
/// assert_eq!(kinglet::task::half_bits(1.0), 0x3c00);
/// assert_eq!(kinglet::task::half_bits(-0.1), 0xae66);
/// ```
pub const fn half_bits(value: f32) -> u16 {
    const INFINITE: u32 = 0x7c00;
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let exponent = magnitude >> 23;
    let rounded = match exponent {
        // A NaN: keep the high bits of its payload, and set the quiet bit.
        255 if magnitude << 9 != 0 => INFINITE | 0x0200 | (magnitude >> 13) & 0x03ff,
        // 2^16 and more.
        143.. => INFINITE,
        // Normal: rebias the exponent. Rounding up past the largest finite number carries into
        // infinity.
        113.. => shift_to_even(magnitude - (112 << 23), 13),
        // Subnormal, a multiple of 2^-24: add the hidden bit, and shift by the exponent.
        102.. => shift_to_even(magnitude & 0x007f_ffff | 0x0080_0000, 126 - exponent),
        // Below 2^-25, half of the smallest number.
        _ => 0,
    };
    (sign | rounded) as u16
}

/// `value / 2^shift`, rounded to the nearest integer, ties to even. `shift` is 1 to 24, and `value`
/// below 2^30.
const fn shift_to_even(value: u32, shift: u32) -> u32 {
    let odd = value >> shift & 1;
    (value + (1 << (shift - 1)) - 1 + odd) >> shift
}
