//! How far long work is.

/// Called once for each step of long work that is done, on whatever thread did it.
pub type Progress<'p> = &'p (dyn Fn() + Sync);
