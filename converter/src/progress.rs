//! Reports the progress of long work.

/// A callback for each completed step of long work, on the thread that did the step.
pub type Progress<'p> = &'p (dyn Fn() + Sync);
