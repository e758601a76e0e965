//! How far one step of a text goes.
//!
//! The work of a layer, and that of the head, is a row of parts: a product, a token's attention, a
//! norm. A step runs as many of them as it has room for. The next step comes by the row again,
//! passes over the parts that were run, and goes on with the first that was not. So code that may
//! stop anywhere reads like code that does not: before each part it asks [`Step::takes`].

/// What a step of a new session has room for, in multiply-accumulates: a part that takes more is a
/// step of its own.
pub(crate) const ROOM: usize = 64 << 10;

/// How many multiply-accumulates take about as long as a value that is normed, quantized or goes
/// through an activation.
pub(crate) const VALUE: usize = 16;

/// One step, on its way through the parts.
pub(crate) struct Step {
    /// Whether all parts are run, from the first one on.
    whole: bool,
    /// Parts that it came by.
    met: u32,
    /// Parts that were run, in this step and those before it.
    done: u32,
    /// Multiply-accumulates of the parts that this step ran.
    spent: usize,
    /// What it has room for.
    room: usize,
    /// The longest part, where a part can be cut.
    longest: usize,
}

impl Step {
    /// A step that runs all parts.
    pub(crate) const WHOLE: Self = Self::after(0, usize::MAX, true);

    /// A step after others, which ran `done` parts of at most `longest` multiply-accumulates: it
    /// has room for as many, or for all that is left.
    pub(crate) const fn after(done: u32, longest: usize, all: bool) -> Self {
        let room = if all { usize::MAX } else { longest };
        Self { whole: all && done == 0, met: 0, done, spent: 0, room, longest }
    }

    /// Whether the next part, which takes about so many multiply-accumulates, is to be run now.
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

    /// Whether a part of so many multiply-accumulates is to be cut.
    #[inline(always)]
    pub(crate) fn cuts(&self, products: usize) -> bool {
        !self.whole && products > self.longest
    }

    /// The multiply-accumulates of a part that is cut.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The parts that were run when some are left; none when all were.
    pub(crate) fn left_after(&self) -> Option<u32> {
        (!self.whole && self.met != self.done).then_some(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The parts that each step runs of a row of parts.
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
