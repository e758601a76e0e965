//! Type a sentence, and get the command that it means; Ctrl-D ends it.
#![no_std]
#![no_main]

use kinglet_examples::{Arena, command as example};
use qemu_riscv32::Uart;
use riscv_rt::entry;

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    // SAFETY: this runs once, and nothing else uses the arena.
    let arena = unsafe { &mut *&raw mut ARENA };
    qemu_riscv32::run(|_| example::talk(&mut Uart, &mut arena.0))
}
