//! A second core that waits for work, for `Session::set_cores`.

mod handover;

pub use handover::SecondCore;

/// The primitives of the hand-over. Tests replace them by primitives whose orders `loom` explores.
mod sync {
    #[cfg(test)]
    extern crate std;

    #[cfg(not(test))]
    pub(super) use core::hint::spin_loop;
    // There may be more threads than cores.
    #[cfg(test)]
    pub(super) use std::thread::yield_now as spin_loop;

    pub(super) use core::sync::atomic::AtomicBool;
    use core::sync::atomic::Ordering;

    /// A load with [`ACQUIRE`] that sees a store with [`RELEASE`] also sees all writes before that
    /// store.
    pub(super) const RELEASE: Ordering = Ordering::Release;
    pub(super) const ACQUIRE: Ordering = Ordering::Acquire;

    /// Memory that two cores use alternately.
    pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(super) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        pub(super) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        pub(super) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

impl SecondCore {
    /// Two cores, the second of which has no work yet.
    pub const fn new() -> Self {
        Self::of(sync::AtomicBool::new(false), sync::UnsafeCell::new(None))
    }
}

impl Default for SecondCore {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
