//! Computes positions for models whose padding tokens take none.

use crate::format::spec::StackSpec;

/// Stores, for each token of `ids`, the number of non-padding tokens of the text up to it. The
/// first of `ids` is token `start` of the text, after `prefix`. Returns the number of positions
/// before `ids`.
pub(super) fn count(
    stack: &StackSpec,
    counted: &mut [u16],
    start: usize,
    prefix: impl Iterator<Item = u32>,
    ids: &[u32],
) -> usize {
    let Some(padding) = stack.embedding.padding else { return start + prefix.count() };
    let first = match start.checked_sub(1) {
        Some(last) => counted.get(last).copied().unwrap_or(0),
        None => prefix.filter(|&id| id != padding).count() as u16,
    };
    let counts = ids.iter().scan(first, |count, &id| {
        *count = count.wrapping_add(u16::from(id != padding));
        Some(*count)
    });
    counted.iter_mut().skip(start).zip(counts).for_each(|(to, count)| *to = count);
    first.into()
}

/// The position of the token at index `at` of `ids`. `first` positions precede `ids`.
pub(super) fn position_of(stack: &StackSpec, ids: &[u32], at: usize, first: usize) -> usize {
    let Some(padding) = stack.embedding.padding else { return first + at };
    if ids.get(at) == Some(&padding) {
        return stack.max_positions as usize;
    }
    first + ids.iter().take(at).filter(|&&id| id != padding).count()
}
