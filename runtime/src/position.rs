//! Rotary position embedding (arXiv 2104.09864).

use crate::model::Halfwords;
use crate::quant::{abs_max, with_rounding};

/// Rotates the first `dims` values of each head of a row, the first half of them paired with the second.
///
/// `table` holds cosine and sine of each pair at each position, Q15. The values rotated are taken at fifteen
/// bits, which is more than a quantized key keeps, so that each product fits 32.
pub(crate) fn rotate(table: Halfwords<'_>, position: usize, dims: usize, head_dim: usize, row: &mut [i32]) {
    let half = dims / 2;
    for head in row.chunks_exact_mut(head_dim.max(1)) {
        let Some((first, second)) = head.get_mut(..dims).and_then(|rotated| rotated.split_at_mut_checked(half)) else {
            continue;
        };
        let largest = abs_max(first).max(abs_max(second)).max(1);
        let narrow = 18_u32.saturating_sub(largest.leading_zeros()) as i32;
        let mut angles = table.row(position * dims, dims);
        for (a, b) in first.iter_mut().zip(second) {
            let (cos, sin) = (angles.next().unwrap_or(0), angles.next().unwrap_or(0));
            let (x, y) = with_rounding!(narrow, |round| (round(*a), round(*b)));
            with_rounding!(15 - narrow, |round| {
                *a = round(x * cos - y * sin);
                *b = round(y * cos + x * sin);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_turns_each_pair_by_its_angle_and_leaves_the_rest() {
        // Two positions of one pair in a head of three: angles 0 and 0.7.
        let (sin, cos) = libm::sincos(0.7);
        let table = [1.0, 0.0, cos, sin].map(|value| libm::round(value * 32767.0) as i16);
        for size in [1, 100, 65_536, 1 << 24, i32::MAX / 2] {
            for (a, b) in [(1.0, 0.0), (0.3, -0.9), (-1.0, -1.0), (0.001, 0.5)] {
                let scaled = |value: f64| libm::round(value * f64::from(size)) as i32;
                let mut row = [scaled(a), scaled(b), 77];
                rotate(Halfwords::new(&table), 1, 2, 3, &mut row);
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
