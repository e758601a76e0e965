//! Computes the softmax of one head's scores, in base two, with the values' scales folded in.

use crate::kernels::Kernels;
use crate::kernels::scalar::softmax::{Normalizer, lowered_by};

/// Replaces scores (base two, Q16) by 15-bit weights.
///
/// A weight is proportional to the key's probability times its value's scale: the sum of
/// `weight * value` over the keys, times the normalizer, is attention's result. `scales` holds the
/// bits of the values' scales in the order of the scores, in two slices.
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
