//! Encodes lookup tables in four bits, with a scale and a zero for each group of columns.

use kinglet::format::places::{TABLE_GROUP, table_scale};

use crate::fixed::round_half_even;

/// The largest code.
const MOST: f64 = 15.0;
/// The fractions of a step in which a zero is counted.
const PARTS: f64 = 16.0;
/// The value of the largest scale of a group.
const LARGEST: f64 = table_scale(u8::MAX) as f64;
/// The number of times that codes and zero are fitted to each other.
const FITS: usize = 3;
/// The shares of a group's range that are tried for its steps, from and to: a share below one clips
/// the outermost weights and gives the others finer steps.
const RANGE: (f64, f64) = (0.8, 1.03);

/// A group of columns in a row.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The code of its scale.
    pub(super) scale: u8,
    /// Its zero, in sixteenths of a step.
    pub(super) zero: u8,
    /// The code of each column, in `0..=15`.
    pub(super) codes: Vec<u8>,
}

impl Group {
    /// The value of a code, in multiples of the table's unit.
    pub(super) fn real(&self, code: u8) -> f64 {
        (PARTS * f64::from(code) - f64::from(self.zero)) * f64::from(table_scale(self.scale))
    }
}

/// The unit of a table, and the groups of all its rows, which minimize the squared error.
pub(super) fn groups(weights: &[f32], cols: usize) -> (f64, Vec<Group>) {
    let each = || weights.chunks(cols).flat_map(|row| row.chunks(TABLE_GROUP));
    let largest = each().map(step).fold(0.0, f64::max);
    let unit = largest / PARTS / LARGEST;
    (unit, each().map(|group| best(group, unit)).collect())
}

/// The step at which the codes span the range of a group, which always includes 0.
fn step(group: &[f32]) -> f64 {
    let (least, most) = range(group);
    (most - least) / MOST
}

fn range(group: &[f32]) -> (f64, f64) {
    group.iter().fold((0.0, 0.0), |(least, most): (f64, f64), &x| (least.min(x.into()), most.max(x.into())))
}

/// The scale, zero and codes of a group that have the least squared error of those tried.
fn best(group: &[f32], unit: f64) -> Group {
    let whole = step(group);
    let mut best = (f64::INFINITY, Group { scale: 0, zero: 0, codes: vec![0; group.len()] });
    if whole <= 0.0 {
        return best.1;
    }
    let (least, most) = range(group);
    let nearest = near(whole * RANGE.1 / PARTS / unit);
    for scale in (0..=nearest).rev() {
        let step = f64::from(table_scale(scale)) * unit * PARTS;
        // The smallest scale is always tried, because a group may be too small for all others.
        if scale < nearest && step < whole * RANGE.0 {
            break;
        }
        let middle = MOST / 2.0 - (most + least) / 2.0 / step;
        for zero in [middle, -least / step, MOST - most / step] {
            let tried = fit(group, scale, step, zero);
            if tried.0 < best.0 {
                best = tried;
            }
        }
    }
    best.1
}

/// The codes for a step with a zero fitted to them, and their squared error.
fn fit(group: &[f32], scale: u8, step: f64, mut zero: f64) -> (f64, Group) {
    let mut best = (f64::INFINITY, Group { scale, zero: 0, codes: Vec::new() });
    for _ in 0..FITS {
        let held = round_half_even(zero * PARTS).clamp(0.0, 255.0);
        let shift = held / PARTS;
        let codes = group.iter().map(|&x| round_half_even(f64::from(x) / step + shift).clamp(0.0, MOST));
        let codes: Vec<f64> = codes.collect();
        let off = |(x, code): (&f32, &f64)| ((code - shift) * step - f64::from(*x)).powi(2);
        let error = group.iter().zip(&codes).map(off).sum();
        if error >= best.0 {
            break;
        }
        zero = group.iter().zip(&codes).map(|(x, code)| code - f64::from(*x) / step).sum::<f64>() / group.len() as f64;
        best = (error, Group { scale, zero: held as u8, codes: codes.iter().map(|&code| code as u8).collect() });
    }
    best
}

/// The largest scale whose value is at most `units`; the smallest scale if there is none.
fn near(units: f64) -> u8 {
    (0..=u8::MAX).rev().find(|&scale| f64::from(table_scale(scale)) <= units).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(weights: &[f32], cols: usize) -> f64 {
        let (unit, groups) = groups(weights, cols);
        let held = groups.iter().flat_map(|group| group.codes.iter().map(move |&code| group.real(code) * unit));
        weights.iter().zip(held).map(|(x, held)| (f64::from(*x) - held).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_group_is_held_to_half_a_step_of_its_own_range() {
        let group = |least: f32, most: f32| -> Vec<f32> {
            (0..TABLE_GROUP).map(|at| least + (most - least) * (at as f32 * 0.618).fract()).collect()
        };
        // The error is half a step, and that of the scale and of clipping at both ends.
        for (least, most) in [(-1.0_f32, 1.0_f32), (-0.1, 0.9), (-0.02, 0.01), (0.0, 3.0), (-3.0, -0.5)] {
            let span = f64::from(most.max(0.0) - least.min(0.0));
            let step = span / 15.0;
            assert!(off(&group(least, most), TABLE_GROUP) < 1.6 * step, "from {least} to {most}");
        }
    }

    #[test]
    fn small_groups_beside_a_large_one_keep_their_steps() {
        let row: Vec<f32> = (0..96)
            .map(|at| {
                libm::sinf(at as f32 * 1.7)
                    * if at < 32 {
                        8.0
                    } else if at < 64 {
                        0.01
                    } else {
                        0.0
                    }
            })
            .collect();
        let (unit, groups) = groups(&row, 96);
        let held: Vec<f64> =
            groups.iter().flat_map(|group| group.codes.iter().map(move |&code| group.real(code) * unit)).collect();
        for (at, (x, held)) in row.iter().zip(held).enumerate() {
            let size = if at < 32 { 8.0 } else { 0.01 };
            assert!((f64::from(*x) - held).abs() < 0.1 * size, "{at}: {x} is held as {held}");
            assert!(at < 64 || held == 0.0);
        }
    }

    #[test]
    fn a_table_of_zeros_is_one() {
        let (unit, groups) = groups(&[0.0; 64], 64);
        assert_eq!(unit, 0.0);
        assert!(groups.iter().all(|group| group.real(group.codes[0]) == 0.0));
    }
}
