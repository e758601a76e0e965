//! Several texts of one decoder: the choice among them, and their order.

use super::Session;
use crate::format::memory::MAX_BEAMS;

impl Session<'_, '_> {
    /// Turns to text `beam`, of which the decoder has seen `position` tokens.
    pub(crate) fn select(&mut self, beam: usize, position: usize) {
        self.beam = beam.min(self.plan.beams() - 1);
        self.position = position;
        self.computed = None;
        self.passes = self.passes.wrapping_add(1);
    }

    /// Replaces text `i` by text `parents[i]`, for all `i` at once.
    pub(crate) fn reorder(&mut self, parents: &[usize]) {
        let size = self.workspace.cache.len() / self.plan.beams().max(1);
        let cache = &mut *self.workspace.cache;
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
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
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

/// The runs of `size` bytes with the numbers `a` and `b`, which differ.
fn two(bytes: &mut [u8], size: usize, a: usize, b: usize) -> Option<(&mut [u8], &mut [u8])> {
    let (low, high) = bytes.split_at_mut_checked(a.max(b) * size)?;
    let (low, high) = (low.get_mut(a.min(b) * size..)?.get_mut(..size)?, high.get_mut(..size)?);
    Some(if a < b { (low, high) } else { (high, low) })
}
