//! QEMU's `virt` machine as a board: text by semihosting, time by the counter of instructions.
#![no_std]

mod serial;

use core::panic::PanicInfo;

use kinglet::Error;
use kinglet_examples::{Board, number};
use riscv_rt as _;
use semihosting::sys::arm_compat::sys_writec;

pub use serial::Uart;

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
}

/// What the stack is filled with before it is used.
const PAINT: u32 = 0xcccc_cccc;
/// Bytes of stack that are watched.
const STACK: usize = 256 * 1024;

unsafe extern "C" {
    static mut _stack_start: u32;
}

/// Runs an example and ends the emulation, with an error code when the example fails.
#[inline(never)]
pub fn run(example: impl FnOnce(&mut Machine) -> Result<(), Error>) -> ! {
    paint();
    let mut machine = Machine(());
    let result = example(&mut machine);
    machine.print("# bytes of stack: ");
    number(&mut machine, stack_used());
    machine.print("\n");
    if result.is_err() {
        machine.print("FAILED\n");
    }
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

/// The most stack that was in use: the bytes that no longer have the pattern.
fn stack_used() -> u32 {
    let top = (&raw const _stack_start).cast_mut();
    let mut word = top.wrapping_byte_sub(STACK);
    // SAFETY: this memory is the stack's; reading it changes nothing.
    while word < top && unsafe { word.read_volatile() } == PAINT {
        word = word.wrapping_add(1);
    }
    (top.addr() - word.addr()) as u32
}

/// A panic that can be reached does not link: this function is nowhere.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn kinglet_firmware_can_panic() -> !;
    }
    // SAFETY: never linked, so never called.
    unsafe { kinglet_firmware_can_panic() }
}
