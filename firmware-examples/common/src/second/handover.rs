//! How work goes from one core to another, and back.

use kinglet::Cores;

use super::sync::{ACQUIRE, AtomicBool, RELEASE, UnsafeCell, spin_loop};

/// Work, as a pointer: what it borrows lives until it is done.
pub(super) type Work = *mut (dyn FnMut() + Send);

/// The caller's core and one that [serves](Self::serve) it.
///
/// There is one flag, and who may touch the work follows from it: while it is false the caller's
/// core, while it is true the second one. Each core stores only what hands the work to the other,
/// so that loads and stores are enough, which is all that a Cortex-M0+ has.
pub struct SecondCore {
    /// Whether work was handed over that is not done.
    pending: AtomicBool,
    work: UnsafeCell<Option<Work>>,
}

// SAFETY: `pending` says which core uses `work`, and orders what both do with it.
unsafe impl Sync for SecondCore {}

// SAFETY: as above; there is work inside only while the caller of `run` waits for it.
unsafe impl Send for SecondCore {}

impl SecondCore {
    pub(super) const fn of(pending: AtomicBool, work: UnsafeCell<Option<Work>>) -> Self {
        Self { pending, work }
    }

    /// Does what is pending, and says whether something was. The second core calls this again and
    /// again, and no other core does.
    pub fn serve(&self) -> bool {
        if !self.pending.load(ACQUIRE) {
            spin_loop();
            return false;
        }
        // SAFETY: work is pending, so it is this core's.
        if let Some(work) = self.work.with(|work| unsafe { *work }) {
            // SAFETY: what the work borrows lives until `pending` is false.
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
            // SAFETY: this function returns only when the second core has done the work, so what
            // the work borrows lives as long as its pointer is used.
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
