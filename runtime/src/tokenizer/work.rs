//! Counts work, so that tests can tell linear from quadratic without a clock.

use core::cell::Cell;

std::thread_local! {
    static DONE: Cell<usize> = const { Cell::new(0) };
}

/// Counts one read of a character or of its class.
pub(crate) fn count() {
    DONE.with(|done| done.set(done.get() + 1));
}

/// The work that this thread does in `run`.
pub(crate) fn during(run: impl FnOnce()) -> usize {
    let before = DONE.with(Cell::get);
    run();
    DONE.with(Cell::get) - before
}
