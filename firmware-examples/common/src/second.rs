//! An implementation of `Cores` for a chip with two cores, the second of which waits for work.

use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, Ordering};

use kinglet::Cores;

type Work = *mut (dyn FnMut() + Send);

/// The caller's core and a second one that runs [`serve`](Self::serve). It needs only atomic loads
/// and stores, which a Cortex-M0+ has.
pub struct SecondCore {
    /// Whether the second core has work that is not done.
    pending: AtomicBool,
    work: UnsafeCell<Option<Work>>,
}

// SAFETY: the caller's core writes `work` only while `pending` is false, and the second core reads
// it only while `pending` is true; acquire and release order these accesses.
unsafe impl Sync for SecondCore {}

impl SecondCore {
    /// A second core without work.
    pub const fn new() -> Self {
        Self { pending: AtomicBool::new(false), work: UnsafeCell::new(None) }
    }

    /// Does the pending work, if any. The second core calls this in a loop; no other core may call
    /// it.
    pub fn serve(&self) {
        if !self.pending.load(Ordering::Acquire) {
            return spin_loop();
        }
        // SAFETY: while work is pending the other core waits, and does not write `work`.
        if let Some(work) = unsafe { *self.work.get() } {
            // SAFETY: the borrows of the work are valid until `pending` is false.
            unsafe { (*work)() };
        }
        self.pending.store(false, Ordering::Release);
    }
}

impl Default for SecondCore {
    fn default() -> Self {
        Self::new()
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
            // SAFETY: nothing is pending, so the second core does not read `work`.
            unsafe { *self.work.get() = Some(work) };
            self.pending.store(true, Ordering::Release);
        }
        mine();
        while self.pending.load(Ordering::Acquire) {
            spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::thread;

    use kinglet::golden::Fingerprint;
    use kinglet::{Aligned, Session, arena_bytes};

    use super::*;
    use crate::models::stories;

    const TOKENS: usize = 8;
    const ARENA: usize = arena_bytes(stories::BLOB, TOKENS);

    static SECOND: SecondCore = SecondCore::new();
    static OVER: AtomicBool = AtomicBool::new(false);

    fn written(cores: Option<&'static SecondCore>) -> u32 {
        let mut arena = std::boxed::Box::new(Aligned([0; ARENA]));
        let mut session = Session::new(&stories::MODEL, &mut arena.0, TOKENS).expect("room");
        if let Some(cores) = cores {
            session.set_cores(cores);
        }
        let mut fingerprint = Fingerprint::default();
        for token in 1..TOKENS as u32 {
            fingerprint.update(session.step(token * 11 % 500).expect("a token"));
        }
        fingerprint.value()
    }

    #[test]
    fn two_cores_give_the_bits_of_one() {
        let other = thread::spawn(|| {
            let mut served = 0_u64;
            while !OVER.load(Ordering::Acquire) {
                served += u64::from(SECOND.pending.load(Ordering::Acquire));
                SECOND.serve();
            }
            served
        });
        let (one, two) = (written(None), written(Some(&SECOND)));
        OVER.store(true, Ordering::Release);
        assert_eq!(one, two);
        assert!(other.join().expect("it ends") > 100, "the second core had nothing to do");
    }
}
