//! QEMU's `virt` machine as a board: text by semihosting, time by the counter of instructions.
#![no_std]

mod serial;

use core::sync::atomic::{AtomicUsize, Ordering};

use kinglet::Error;
use kinglet_examples::{Board, Stack};
use riscv_rt as _;
use semihosting::sys::arm_compat::sys_writec;

pub use serial::Uart;

/// Where the stack was painted.
static PAINTED: AtomicUsize = AtomicUsize::new(0);

/// The machine.
pub struct Machine(());

impl Board for Machine {
    const UNIT: &'static str = "instructions";

    #[inline(never)]
    fn print(&mut self, text: &str) {
        text.bytes().for_each(sys_writec);
    }

    #[inline(never)]
    fn count(&mut self) -> u64 {
        riscv::register::instret::read64()
    }

    fn paint(&mut self) {
        // SAFETY: the stack has far more memory than is painted.
        PAINTED.store(unsafe { kinglet_examples::paint() }, Ordering::Relaxed);
    }

    fn painted(&mut self) -> u32 {
        // SAFETY: the stack has far more memory than was painted.
        unsafe { kinglet_examples::painted(PAINTED.load(Ordering::Relaxed)) }
    }
}

/// What the stack is filled with before it is used.
const PAINT: u32 = 0xcccc_cccc;
/// Bytes of stack that are watched.
const STACK: usize = 256 * 1024;

unsafe extern "C" {
    static mut _stack_start: u32;
}

/// The program of an example, where this chip begins.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(riscv_rt::entry, $($example)+);
    };
}

/// Runs an example and ends the emulation, with an error code when the example fails.
#[inline(never)]
pub fn run(example: impl FnOnce(&mut Machine) -> Result<(), Error>) -> ! {
    paint();
    let mut machine = Machine(());
    let result = example(&mut machine);
    stack().report(&mut machine, result.is_err());
    semihosting::process::exit(result.is_err().into())
}

/// Fills the stack below the frame at hand.
fn paint() {
    let here = 0_u32;
    let mut word = (&raw mut _stack_start).wrapping_byte_sub(STACK);
    let end = (&raw const here).wrapping_byte_sub(256).cast_mut();
    while word < end {
        // SAFETY: this memory is the stack's, below all that is in use.
        unsafe { word.write_volatile(PAINT) };
        word = word.wrapping_add(1);
    }
}

/// The stack, as far as it is watched.
fn stack() -> Stack {
    let top = &raw const _stack_start;
    // SAFETY: this memory is the stack's.
    unsafe { Stack::new(top.wrapping_byte_sub(STACK), top, PAINT) }
}

kinglet_examples::panics_do_not_link!();
