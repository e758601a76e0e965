//! Several texts of one decoder: the choice among them, and their order.

use bytemuck::try_cast_slice_mut;

use super::Session;
use crate::block::copy;
use crate::format::memory::MAX_BEAMS;

impl Session<'_, '_> {
    /// Turns to text `beam`, of which the decoder has seen `position` tokens.
    pub(crate) fn select(&mut self, beam: usize, position: usize) {
        self.beam = beam.min(self.plan.beams() - 1);
        self.position = position;
        self.head = None;
        self.passes = self.passes.wrapping_add(1);
    }

    /// Replaces text `i` by text `parents[i]`, for all `i` at once.
    pub(crate) fn reorder(&mut self, parents: &[usize]) {
        let Ok(cache) = try_cast_slice_mut::<u8, i32>(self.workspace.cache) else { return };
        let size = cache.len() / self.plan.beams().max(1);
        let mut wanted: [Option<usize>; MAX_BEAMS] =
            core::array::from_fn(|beam| parents.get(beam).copied().filter(|&parent| parent != beam));
        // First copies to texts that no other text is to be replaced by. Only cycles are left then,
        // which are swapped.
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
            // The swap moved text `beam` to `parent`: who wants it must look there.
            for (other, wanted) in wanted.iter_mut().enumerate().filter(|(_, wanted)| **wanted == Some(beam)) {
                *wanted = Some(parent).filter(|&parent| parent != other);
            }
        }
    }
}

/// The runs of `size` words with the numbers `a` and `b`, which differ.
fn two(words: &mut [i32], size: usize, a: usize, b: usize) -> Option<(&mut [i32], &mut [i32])> {
    let (low, high) = words.split_at_mut_checked(a.max(b) * size)?;
    let (low, high) = (low.get_mut(a.min(b) * size..)?.get_mut(..size)?, high.get_mut(..size)?);
    Some(if a < b { (low, high) } else { (high, low) })
}
