//! An embassy time driver for QEMU's machine, based on SysTick. For real chips the HAL has one.

use core::cell::RefCell;
use core::task::Waker;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

/// SysTick counts per millisecond.
const COUNTS: u32 = 25_000;

struct Clock(Mutex<RefCell<(u64, Queue)>>);

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock(Mutex::new(RefCell::new((0, Queue::new())))));

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|token| self.0.borrow_ref(token).0)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // The next tick checks the queue.
        critical_section::with(|token| self.0.borrow_ref_mut(token).1.schedule_wake(at, waker));
    }
}

#[exception]
fn SysTick() {
    critical_section::with(|token| {
        let (now, queue) = &mut *CLOCK.0.borrow_ref_mut(token);
        *now += 1;
        queue.next_expiration(*now);
    });
}

/// Starts the clock.
pub fn start(mut systick: SYST) {
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(COUNTS - 1);
    systick.clear_current();
    systick.enable_counter();
    systick.enable_interrupt();
}
