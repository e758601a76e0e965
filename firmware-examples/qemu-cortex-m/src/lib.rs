//! QEMU's Cortex-M machines as a board. Text is printed by semihosting; instructions are counted by
//! SysTick, which QEMU advances with each instruction.
#![no_std]

mod serial;

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use kinglet::Error;
use kinglet_examples::{Board, Stack};
use semihosting::sys::arm_compat::sys_writec;

pub use serial::Uart;

/// Nanoseconds per instruction, from QEMU's option `-icount shift=6`.
const INSTRUCTION_NS: u64 = 64;
/// SysTick's clock in megahertz, from the build script's table of machines.
const CLOCK: u64 = match env!("SYSTICK_MHZ").as_bytes() {
    [tens, ones] => (*tens - b'0') as u64 * 10 + (*ones - b'0') as u64,
    _ => 0,
};

/// Instructions per tick, `1000 / (CLOCK * INSTRUCTION_NS)`, as a factor and a right shift, because
/// the reduced denominator is a power of two.
const RATIO: (u64, u32) = {
    let odd = CLOCK >> CLOCK.trailing_zeros();
    assert!(1000 % odd == 0, "the clock is no divisor of a microsecond");
    (1000 / odd, (CLOCK * INSTRUCTION_NS / odd).trailing_zeros())
};

/// The number of overflows of SysTick, which has 24 bits.
static WRAPS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    WRAPS.store(WRAPS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// The top of the painted stack, as `paint` returned it.
static PAINTED: AtomicUsize = AtomicUsize::new(0);

/// The machine, with its clock running.
pub struct Machine(());

impl Board for Machine {
    const UNIT: &'static str = "instructions";

    #[inline(never)]
    fn print(&mut self, text: &str) {
        text.bytes().for_each(sys_writec);
    }

    #[inline(never)]
    fn count(&mut self) -> u64 {
        let ticks = loop {
            let wraps = WRAPS.load(Ordering::Relaxed);
            let left = SYST::get_current();
            if wraps == WRAPS.load(Ordering::Relaxed) {
                break u64::from(wraps) << 24 | u64::from(0xff_ffff - left);
            }
        };
        ticks * RATIO.0 >> RATIO.1
    }

    fn paint(&mut self) {
        // SAFETY: the stack is far larger than the painted area.
        PAINTED.store(unsafe { kinglet_examples::paint() }, Ordering::Relaxed);
    }

    fn painted(&mut self) -> u32 {
        // SAFETY: the stack is far larger than the painted area.
        unsafe { kinglet_examples::painted(PAINTED.load(Ordering::Relaxed)) }
    }
}

/// Defines the program of an example with this board's entry point.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(cortex_m_rt::entry, $($example)+);
    };
}

/// Runs an example and ends the emulation, with an error code if the example fails.
pub fn run(example: impl FnOnce(&mut Machine) -> Result<(), Error>) -> ! {
    let mut machine = Machine(());
    #[cfg(feature = "m55")]
    switch_on_vectors();
    if let Some(core) = cortex_m::Peripherals::take() {
        let mut clock = core.SYST;
        clock.set_clock_source(SystClkSource::Core);
        clock.set_reload(0xff_ffff);
        clock.clear_current();
        clock.enable_interrupt();
        clock.enable_counter();
    }
    let result = example(&mut machine);
    stack().report(&mut machine, result.is_err());
    semihosting::process::exit(result.is_err().into())
}

/// Enables the vector registers (coprocessors 10 and 11) and the low-overhead loops (in CCR).
#[cfg(feature = "m55")]
fn switch_on_vectors() {
    const CPACR: *mut u32 = 0xe000_ed88 as *mut u32;
    const CCR: *mut u32 = 0xe000_ed14 as *mut u32;
    // SAFETY: these are registers of the core, and no other code writes them.
    unsafe {
        CPACR.write_volatile(CPACR.read_volatile() | 0xf << 20);
        CCR.write_volatile(CCR.read_volatile() | 1 << 19);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// The stack, which the startup code has painted.
fn stack() -> Stack {
    unsafe extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    // SAFETY: the linker script reserves this memory for the stack.
    unsafe { Stack::new(&raw const _stack_end, &raw const _stack_start, cortex_m_rt::STACK_PAINT_VALUE) }
}

#[cfg(not(any(feature = "heap", feature = "signed")))]
kinglet_examples::panics_do_not_link!();
