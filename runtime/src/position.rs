//! Rotary position embedding (arXiv 2104.09864).

use crate::model::Halfwords;
use crate::quant::{abs_max, shift_round};

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
            let (x, y) = (shift_round(*a, narrow), shift_round(*b, narrow));
            *a = shift_round(x * cos - y * sin, 15 - narrow);
            *b = shift_round(y * cos + x * sin, 15 - narrow);
        }
    }
}
