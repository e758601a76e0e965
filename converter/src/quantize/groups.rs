//! Chooses the scales of the groups in a row of packed weights.

use kinglet::format::places::MAX_GROUP_SCALE;

use crate::fixed::round_half_even;
use crate::real::largest;

/// The smallest and the largest packed weight.
pub(super) const RANGE: (f64, f64) = (-8.0, 7.0);

/// The range of codes that are tried for a group's largest weight, in [`STEPS`] steps. A code
/// beyond 7 is clipped, which gives the other weights of the group a finer scale.
const LARGEST: (f64, f64) = (5.5, 9.5);
const STEPS: u32 = 40;

/// The scale of a row, and the scale of each group of `group` columns as a multiple of it, which
/// minimize the error of rounding to the nearest.
pub(super) fn scales(row: &[f32], group: usize) -> (f64, Vec<u8>) {
    let best: Vec<f64> = row.chunks(group).map(best).collect();
    let unit = best.iter().fold(0.0, |most: f64, scale| most.max(*scale)) / f64::from(MAX_GROUP_SCALE);
    let multiple = |(weights, scale): (&[f32], &f64)| {
        let near = |multiple: f64| multiple.clamp(1.0, f64::from(MAX_GROUP_SCALE));
        let (below, above) = (near((scale / unit).floor()), near((scale / unit).ceil()));
        let nearer = if off(weights, below * unit) <= off(weights, above * unit) { below } else { above };
        if *scale > 0.0 { nearer as u8 } else { 0 }
    };
    (unit, row.chunks(group).zip(&best).map(multiple).collect())
}

/// The best scale of one group, without regard to the row's.
fn best(weights: &[f32]) -> f64 {
    let largest = largest(weights);
    let scale = |step: u32| largest / (LARGEST.0 + (LARGEST.1 - LARGEST.0) * f64::from(step) / f64::from(STEPS));
    let better = |a: &f64, b: &f64| off(weights, *a).total_cmp(&off(weights, *b));
    if largest > 0.0 { (0..=STEPS).map(scale).min_by(better).unwrap_or(0.0) } else { 0.0 }
}

/// The squared error of rounding `weights` to the nearest at `scale`.
fn off(weights: &[f32], scale: f64) -> f64 {
    let error = |x: f64| x - scale * round_half_even(x / scale).clamp(RANGE.0, RANGE.1);
    weights.iter().map(|x| error(f64::from(*x)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_scales_of_their_own() {
        let row: Vec<f32> = (0..128).map(|i| libm::sinf(i as f32) * if i < 64 { 1.0 } else { 0.125 }).collect();
        let (unit, multiples) = scales(&row, 64);
        assert_eq!(multiples, [16, 2]);
        // The codes have sixteen levels from -1 to 1.
        assert!((unit * 16.0 * 7.5 - 1.0).abs() < 0.1, "{unit}");
    }

    #[test]
    fn zeros_have_no_scale_and_an_outlier_is_not_let_down() {
        assert_eq!(scales(&[0.0; 32], 32), (0.0, vec![0]));
        let mut row = [0.01; 32];
        row[7] = -1.0;
        let (unit, multiples) = scales(&row, 32);
        let scale = unit * f64::from(multiples[0]);
        let held = scale * round_half_even(-1.0 / scale).clamp(RANGE.0, RANGE.1);
        assert!((held + 1.0).abs() < 0.05, "{held}");
    }
}
