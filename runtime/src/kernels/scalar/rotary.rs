//! Rotary position embedding (arXiv 2104.09864).

use crate::fixed::{magnitude_bits, shift_round, with_rounding};

/// Rotates the first values of each head of a row by the angles of a position. The first half of
/// these values is paired with the second.
///
/// `angles` holds cosine and sine of each pair, Q15. The values are shifted to 14 bits and a sign
/// first, more than a quantized key keeps, so that each sum of two products fits 32 bits.
#[inline(always)]
pub(crate) fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
    let pairs = angles.as_chunks::<2>().0;
    for head in row.chunks_exact_mut(head_dim.max(1)) {
        let Some(rotated) = head.get_mut(..2 * pairs.len()) else { continue };
        let narrow = magnitude_bits(rotated).saturating_sub(14) as i32;
        for value in &mut *rotated {
            *value = shift_round(*value, narrow);
        }
        let Some((first, second)) = rotated.split_at_mut_checked(pairs.len()) else { continue };
        with_rounding!(15 - narrow, |round| for ((a, b), angle) in first.iter_mut().zip(second).zip(pairs) {
            let [cos, sin] = angle.map(|value| i32::from(i16::from_le(value)));
            let (x, y) = (*a, *b);
            *a = round(x * cos - y * sin);
            *b = round(y * cos + x * sin);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_turns_each_pair_by_its_angle_and_leaves_the_rest() {
        // A head of three values, of which one pair is rotated: positions with angles 0 and 0.7.
        let (sin, cos) = libm::sincos(0.7);
        let table = [1.0, 0.0, cos, sin].map(|value| libm::round(value * 32767.0) as i16);
        for size in [1, 100, 65_536, 1 << 24, i32::MAX / 2] {
            for (a, b) in [(1.0, 0.0), (0.3, -0.9), (-1.0, -1.0), (0.001, 0.5)] {
                let scaled = |value: f64| libm::round(value * f64::from(size)) as i32;
                let mut row = [scaled(a), scaled(b), 77];
                rotate(&mut row, &table[2..], 3);
                let (x, y) = (f64::from(scaled(a)), f64::from(scaled(b)));
                let tolerance = 1.0 + f64::from(size) / 8192.0;
                assert!(
                    (f64::from(row[0]) - (x * cos - y * sin)).abs() <= tolerance,
                    "{row:?} of {a}, {b} times {size}"
                );
                assert!(
                    (f64::from(row[1]) - (y * cos + x * sin)).abs() <= tolerance,
                    "{row:?} of {a}, {b} times {size}"
                );
                assert_eq!(row[2], 77);
            }
        }
    }
}
