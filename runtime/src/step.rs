//! Splits the work of a layer, or of the head, into steps.
//!
//! The work is a sequence of parts: a product, a token's attention, a norm. A step runs as many
//! parts as fit its length. The next step runs through the sequence again, skips the parts that are
//! complete, and continues with the first that is not. So resumable code reads like straight-line
//! code: it asks [`Step::takes`] before each part.

/// The default length of a step, in multiply-accumulates. A longer part is a step of its own.
pub(crate) const ROOM: usize = 64 << 10;

/// The cost, in multiply-accumulates, of normalizing, quantizing or activating one value.
pub(crate) const VALUE: usize = 16;

/// The progress of one step.
pub(crate) struct Step {
    /// Whether this step runs all parts, from the first on.
    whole: bool,
    /// The number of parts that this step has reached.
    met: u32,
    /// The number of parts that are complete, in this step and earlier ones.
    done: u32,
    /// The multiply-accumulates of the parts that this step has run.
    spent: usize,
    /// The length of the step in multiply-accumulates.
    room: usize,
    /// The longest part, if a part can be split.
    longest: usize,
}

impl Step {
    /// A step that runs all parts.
    pub(crate) const WHOLE: Self = Self::after(0, usize::MAX, true);

    /// A step after `done` complete parts, of up to `longest` multiply-accumulates, or, if `all`,
    /// with all remaining parts.
    pub(crate) const fn after(done: u32, longest: usize, all: bool) -> Self {
        let room = if all { usize::MAX } else { longest };
        Self { whole: all && done == 0, met: 0, done, spent: 0, room, longest }
    }

    /// Whether to run the next part now, which takes about `products` multiply-accumulates.
    #[inline(always)]
    pub(crate) fn takes(&mut self, products: usize) -> bool {
        self.whole || self.has_room(products)
    }

    #[inline(never)]
    fn has_room(&mut self, products: usize) -> bool {
        let next = self.met == self.done;
        self.met += 1;
        let spent = self.spent.saturating_add(products);
        if !next || self.spent > 0 && spent > self.room {
            return false;
        }
        self.spent = spent;
        self.done += 1;
        true
    }

    /// Whether to split a part of `products` multiply-accumulates.
    #[inline(always)]
    pub(crate) fn cuts(&self, products: usize) -> bool {
        !self.whole && products > self.longest
    }

    /// The most multiply-accumulates of a part that is split off.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The number of complete parts, or `None` if all are complete.
    pub(crate) fn left_after(&self) -> Option<u32> {
        (!self.whole && self.met != self.done).then_some(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The parts that each step runs, of a sequence of parts with these costs.
    fn steps(costs: &[usize], room: usize, all: bool) -> Vec<Vec<usize>> {
        let (mut steps, mut done) = (Vec::new(), Some(0));
        while let Some(before) = done {
            let mut step = Step::after(before, room, all);
            steps.push((0..costs.len()).filter(|&part| step.takes(costs[part])).collect());
            done = step.left_after();
        }
        steps
    }

    #[test]
    fn every_part_is_run_once_in_order_and_a_step_is_as_long_as_its_room_or_one_part() {
        let costs = [3, 0, 9, 4, 4, 4, 0, 20, 1, 7];
        for room in 0..60 {
            let steps = steps(&costs, room, false);
            assert_eq!(steps.concat(), (0..costs.len()).collect::<Vec<_>>(), "{room}");
            for step in &steps {
                let spent = step.iter().map(|&part| costs[part]);
                assert!(spent.clone().sum::<usize>() <= room || spent.filter(|&cost| cost > 0).count() == 1, "{room}");
            }
        }
        assert_eq!(steps(&costs, 12, true).len(), 1);
        assert_eq!(steps(&costs, 12, false).len(), 4);
    }
}
