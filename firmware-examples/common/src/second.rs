//! A second core that waits for work, for `Session::set_cores`.

use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, Ordering};

use kinglet::Cores;

type Work = *mut (dyn FnMut() + Send);

/// The caller's core and one that [serves](Self::serve) it. Loads and stores are all that it asks
/// of atomics, so that it serves a Cortex-M0+, too.
pub struct SecondCore {
    /// Work that was handed over and is not done.
    pending: AtomicBool,
    work: UnsafeCell<Option<Work>>,
}

// SAFETY: the caller's core writes `work` while nothing is pending, and the second one reads it
// while something is; `pending` orders both.
unsafe impl Sync for SecondCore {}

impl SecondCore {
    /// Without work.
    pub const fn new() -> Self {
        Self { pending: AtomicBool::new(false), work: UnsafeCell::new(None) }
    }

    /// Does what is pending, if something is. The second core calls this again and again, and no
    /// other core does.
    pub fn serve(&self) {
        if !self.pending.load(Ordering::Acquire) {
            return spin_loop();
        }
        // SAFETY: while work is pending the other core does not write it, and waits until it is
        // done.
        if let Some(work) = unsafe { *self.work.get() } {
            // SAFETY: what the work borrows lives until `pending` is false.
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
            // SAFETY: this function returns only when the second core has done the work, so what
            // the work borrows lives as long as its pointer is used.
            let work = unsafe { core::mem::transmute::<&mut (dyn FnMut() + Send), Work>(*theirs) };
            // SAFETY: nothing is pending, so the second core does not read it.
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
