//! Calls firmware while a text is converted to tokens.

/// Characters and symbols between two calls.
const EVERY: u32 = 32;

/// A function that is called after every [`EVERY`] characters or symbols.
pub(crate) struct Pause<'p> {
    call: &'p mut dyn FnMut(),
    left: u32,
}

impl<'p> Pause<'p> {
    pub(crate) fn new(call: &'p mut dyn FnMut()) -> Self {
        Self { call, left: EVERY }
    }

    /// Counts a character that a step has read or written, or a symbol that a model has looked up.
    #[inline(always)]
    pub(crate) fn tick(&mut self) {
        self.left = self.left.wrapping_sub(1);
        if self.left == 0 {
            self.pause();
        }
    }

    #[inline(never)]
    fn pause(&mut self) {
        (self.call)();
        self.left = EVERY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_called_once_for_every_32_ticks() {
        let mut calls = 0;
        let mut call = || calls += 1;
        let mut pause = Pause::new(&mut call);
        (0..10 * EVERY + 1).for_each(|_| pause.tick());
        assert_eq!(calls, 10);
    }
}
