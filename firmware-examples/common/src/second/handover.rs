//! Hands work over to another core, and waits until it is done.

use kinglet::Cores;

use super::sync::{ACQUIRE, AtomicBool, RELEASE, UnsafeCell, spin_loop};

/// Work, as a pointer. Its borrows are valid until it is done.
pub(super) type Work = *mut (dyn FnMut() + Send);

/// The caller's core and a second one that runs [`serve`](Self::serve).
///
/// One flag decides which core owns the work: the caller's core while it is false, the second core
/// while it is true. Each core only ever gives the work away, so atomic loads and stores are enough;
/// a Cortex-M0+ has no others.
pub struct SecondCore {
    /// Whether the second core has work that is not done.
    pending: AtomicBool,
    work: UnsafeCell<Option<Work>>,
}

// SAFETY: only the core that `pending` names uses `work`, and acquire and release order its uses.
unsafe impl Sync for SecondCore {}

// SAFETY: there is work inside only while the caller of `run` waits for it.
unsafe impl Send for SecondCore {}

impl SecondCore {
    pub(super) const fn of(pending: AtomicBool, work: UnsafeCell<Option<Work>>) -> Self {
        Self { pending, work }
    }

    /// Does the pending work, and returns whether there was any. The second core calls this in a
    /// loop; no other core may call it.
    pub fn serve(&self) -> bool {
        if !self.pending.load(ACQUIRE) {
            spin_loop();
            return false;
        }
        // SAFETY: work is pending, so it is this core's.
        if let Some(work) = self.work.with(|work| unsafe { *work }) {
            // SAFETY: the borrows of the work are valid until `pending` is false.
            unsafe { (*work)() };
        }
        self.pending.store(false, RELEASE);
        true
    }
}

impl Cores for SecondCore {
    fn count(&self) -> usize {
        2
    }

    fn run(&self, work: &mut [&mut (dyn FnMut() + Send)]) {
        let Some((mine, theirs)) = work.split_first_mut() else { return };
        if let Some(theirs) = theirs.first_mut() {
            // SAFETY: this function returns only after the second core has done the work, so the
            // borrows of the work outlive the pointer.
            let work = unsafe { core::mem::transmute::<&mut (dyn FnMut() + Send), Work>(*theirs) };
            // SAFETY: nothing is pending, so the work is this core's.
            self.work.with_mut(|place| unsafe { *place = Some(work) });
            self.pending.store(true, RELEASE);
        }
        mine();
        while self.pending.load(ACQUIRE) {
            spin_loop();
        }
    }
}
