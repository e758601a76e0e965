//! The softmax of one head's scores over its keys, in base two, with the scales of the values
//! folded in.

use crate::kernels::Kernels;
use crate::kernels::scalar::softmax::{Normalizer, lowered_by};

/// Turns scores (base two, Q16) into weights of fifteen bits, in their place.
///
/// Each weight stands for the key's probability times the scale of its value; the sum of
/// `weight * value` over the keys, times the normalizer, is attention's result. `scales` holds the
/// bits of the values' scales in the order of the scores, in two runs.
pub(crate) fn softmax(
    kernels: &Kernels,
    scores: &mut [i32],
    largest: i32,
    scales: [&[u16]; 2],
    top_scale: u16,
) -> Normalizer {
    let keys = scores.len();
    let lowered = lowered_by(top_scale, keys);
    let (first, second) = scores.split_at_mut_checked(scales[0].len()).unwrap_or((&mut [], &mut []));
    let mut sum = (kernels.powers)(first, scales[0], largest, lowered);
    if !second.is_empty() {
        sum += (kernels.powers)(second, scales[1], largest, lowered);
    }
    Normalizer::new(sum, top_scale, keys)
}
