extern crate std;

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::boxed::Box;
use std::string::String;
use std::time::Instant;
use std::{panic, thread};

use kinglet::golden::Fingerprint;
use kinglet::{Aligned, MemoryPlan, Session};

use super::SecondCore;
use crate::models::home_intent;
use crate::{Board, two_cores};

static SECOND: SecondCore = SecondCore::new();
static OVER: AtomicBool = AtomicBool::new(false);

/// The host as a board.
struct Host(Instant, String);

impl Board for Host {
    const UNIT: &'static str = "microseconds";

    fn print(&mut self, text: &str) {
        self.1.push_str(text);
    }

    fn count(&mut self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

/// How often the second core had something to do.
static SERVED: AtomicU32 = AtomicU32::new(0);

/// The states of a sentence that an encoder reads a token at a time.
fn encoded(cores: Option<&'static SecondCore>) -> u32 {
    let ids: [u32; 9] = core::array::from_fn(|position| position as u32 * 37 % 600);
    let plan = MemoryPlan::new(home_intent::MODEL.spec(), 0, ids.len(), 1).expect("a plan");
    let mut arena = Box::new(Aligned([0; 1 << 17]));
    let mut session = Session::with_plan(&home_intent::MODEL, &mut arena.0, plan).expect("room");
    if let Some(cores) = cores {
        session.set_cores(cores);
    }
    session.encode(&ids, &[]).expect("it reads");
    Fingerprint::of(session.encoder_states()).value()
}

#[test]
fn two_cores_give_the_bits_of_one() {
    let other = thread::spawn(|| {
        while !OVER.load(Ordering::Acquire) {
            SERVED.fetch_add(u32::from(SECOND.serve()), Ordering::Relaxed);
        }
    });
    let mut host = Host(Instant::now(), String::new());
    let mut arena = Box::new(Aligned([0; two_cores::ARENA]));
    let result = two_cores::run(&mut host, &SECOND, &mut arena.0);
    let of_decoder = SERVED.load(Ordering::Relaxed);
    let states = [None, Some(&SECOND)].map(encoded);
    OVER.store(true, Ordering::Release);
    other.join().expect("it ends");
    assert!(of_decoder > 100, "the second core had nothing to do");
    assert!(SERVED.load(Ordering::Relaxed) > of_decoder + 100, "nor had it with an encoder");
    assert_eq!(states[0], states[1]);
    result.expect("it writes");
    assert!(host.1.contains("the same bits"), "{}", host.1);
}

/// The hand-over with other parts, which `loom` runs in every order that two cores may have.
macro_rules! explored {
    ($name:ident, $release:ident, $acquire:ident) => {
        #[path = "."]
        mod $name {
            #[path = "handover.rs"]
            mod handover;

            mod sync {
                pub(super) use loom::cell::UnsafeCell;
                pub(super) use loom::sync::atomic::AtomicBool;
                pub(super) use loom::thread::yield_now as spin_loop;

                use loom::sync::atomic::Ordering;

                pub(super) const RELEASE: Ordering = Ordering::$release;
                pub(super) const ACQUIRE: Ordering = Ordering::$acquire;
            }

            use kinglet::Cores;
            use loom::cell::UnsafeCell;
            use loom::sync::Arc;
            use loom::sync::atomic::AtomicBool;

            use handover::SecondCore;

            /// Hands work over twice. Each core's part of it writes memory that the other reads
            /// afterwards.
            pub(super) fn hand_over_twice() {
                let second = Arc::new(SecondCore::of(AtomicBool::new(false), UnsafeCell::new(None)));
                let theirs = Arc::clone(&second);
                let other = loom::thread::spawn(move || {
                    let mut served = 0;
                    while served < 2 {
                        served += usize::from(theirs.serve());
                    }
                });
                let cells = [const { 0 }; 2].map(UnsafeCell::new);
                let [mine, given] = &cells;
                let read = |cell: &UnsafeCell<u32>| cell.with(|value| unsafe { *value });
                let add = |cell: &UnsafeCell<u32>, more: u32| cell.with_mut(|value| unsafe { *value += more });
                for turn in 1..=2 {
                    let shared = Shared(given);
                    // What the second core reads of the caller's.
                    add(mine, turn);
                    let before = Shared(mine);
                    let mut other = move || add(shared.get(), read(before.get()));
                    second.run(&mut [&mut || (), &mut other]);
                    add(mine, read(given));
                }
                // 1; 1 of 1: 2; 2 + 2: 4; 1 + 4: 5; 4 + 5: 9.
                assert_eq!((read(mine), read(given)), (9, 5));
                other.join().expect("it ends");
            }

            struct Shared<'c>(&'c UnsafeCell<u32>);

            impl<'c> Shared<'c> {
                fn get(&self) -> &'c UnsafeCell<u32> {
                    self.0
                }
            }

            // SAFETY: what loom is asked to find out.
            unsafe impl Send for Shared<'_> {}
        }
    };
}

explored!(as_it_is, Release, Acquire);
explored!(too_weak, Relaxed, Relaxed);

#[test]
fn no_order_of_two_cores_has_both_use_the_work() {
    loom::model(as_it_is::hand_over_twice);
}

#[test]
fn a_hand_over_that_orders_nothing_is_found_out() {
    let found = panic::catch_unwind(|| loom::model(too_weak::hand_over_twice));
    assert!(found.is_err(), "loom has not seen that the cores do not wait for each other's memory");
}
