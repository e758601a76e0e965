//! Switches between the beams of a decoder, and reorders them.

use bytemuck::try_cast_slice_mut;

use super::Session;
use crate::block::copy;
use crate::format::memory::MAX_BEAMS;

impl Session<'_, '_> {
    /// Selects beam `beam`, of which the decoder has read `position` tokens.
    pub(crate) fn select(&mut self, beam: usize, position: usize) {
        self.beam = beam.min(self.plan.beams() - 1);
        self.position = position;
        self.head = None;
        self.passes = self.passes.wrapping_add(1);
    }

    /// Replaces beam `i` by beam `parents[i]`, for all `i` at once.
    pub(crate) fn reorder(&mut self, parents: &[usize]) {
        let Ok(cache) = try_cast_slice_mut::<u8, i32>(self.workspace.cache) else { return };
        let size = cache.len() / self.plan.beams().max(1);
        let mut wanted: [Option<usize>; MAX_BEAMS] =
            core::array::from_fn(|beam| parents.get(beam).copied().filter(|&parent| parent != beam));
        // First overwrite beams that are no parent of another. Only cycles are left then, which are
        // resolved by swaps.
        loop {
            let free = (0..MAX_BEAMS).find_map(|beam| {
                let parent = wanted.get(beam).copied().flatten()?;
                (!wanted.contains(&Some(beam))).then_some((beam, parent))
            });
            let Some((beam, parent)) = free else { break };
            if let Some((to, from)) = two(cache, size, beam, parent) {
                copy(to, from);
            }
            wanted.iter_mut().skip(beam).take(1).for_each(|wanted| *wanted = None);
        }
        for beam in 0..MAX_BEAMS {
            let Some(parent) = wanted.get_mut(beam).and_then(Option::take) else { continue };
            if let Some((to, from)) = two(cache, size, beam, parent) {
                to.iter_mut().zip(from).for_each(|(to, from)| core::mem::swap(to, from));
            }
            // The swap moved beam `beam` to `parent`: update the beams that want it.
            for (other, wanted) in wanted.iter_mut().enumerate().filter(|(_, wanted)| **wanted == Some(beam)) {
                *wanted = Some(parent).filter(|&parent| parent != other);
            }
        }
    }
}

/// Two different chunks of `size` words, with the indices `a` and `b`.
fn two(words: &mut [i32], size: usize, a: usize, b: usize) -> Option<(&mut [i32], &mut [i32])> {
    let (low, high) = words.split_at_mut_checked(a.max(b) * size)?;
    let (low, high) = (low.get_mut(a.min(b) * size..)?.get_mut(..size)?, high.get_mut(..size)?);
    Some(if a < b { (low, high) } else { (high, low) })
}
