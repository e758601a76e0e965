//! QEMU's `virt` machine as a board. Text is printed by semihosting; `instret` counts instructions.
#![no_std]

mod serial;

use core::sync::atomic::{AtomicUsize, Ordering};

use kinglet::Error;
use kinglet_examples::{Board, Stack};
use riscv_rt as _;
use semihosting::sys::arm_compat::sys_writec;

pub use serial::Uart;

/// The top of the painted stack, as `paint` returned it.
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
        // SAFETY: the stack is far larger than the painted area.
        PAINTED.store(unsafe { kinglet_examples::paint() }, Ordering::Relaxed);
    }

    fn painted(&mut self) -> u32 {
        // SAFETY: the stack is far larger than the painted area.
        unsafe { kinglet_examples::painted(PAINTED.load(Ordering::Relaxed)) }
    }
}

/// The pattern that fills the unused stack.
const PAINT: u32 = 0xcccc_cccc;
/// Bytes of stack that are painted.
const STACK: usize = 256 * 1024;

unsafe extern "C" {
    static mut _stack_start: u32;
}

/// Defines the program of an example with this board's entry point.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(riscv_rt::entry, $($example)+);
    };
}

/// Runs an example and ends the emulation, with an error code if the example fails.
#[inline(never)]
pub fn run(example: impl FnOnce(&mut Machine) -> Result<(), Error>) -> ! {
    paint();
    let mut machine = Machine(());
    let result = example(&mut machine);
    stack().report(&mut machine, result.is_err());
    semihosting::process::exit(result.is_err().into())
}

/// Fills the stack below the current frame with the pattern.
fn paint() {
    let here = 0_u32;
    let mut word = (&raw mut _stack_start).wrapping_byte_sub(STACK);
    let end = (&raw const here).wrapping_byte_sub(256).cast_mut();
    while word < end {
        // SAFETY: this memory belongs to the stack, below all frames in use.
        unsafe { word.write_volatile(PAINT) };
        word = word.wrapping_add(1);
    }
}

/// The painted part of the stack.
fn stack() -> Stack {
    let top = &raw const _stack_start;
    // SAFETY: this memory belongs to the stack.
    unsafe { Stack::new(top.wrapping_byte_sub(STACK), top, PAINT) }
}

kinglet_examples::panics_do_not_link!();
