#![no_std]
#![no_main]

use kinglet_examples::{Arena, edges as example};
use riscv_rt::entry;

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    // SAFETY: this runs once, and nothing else uses the arena.
    let arena = unsafe { &mut *&raw mut ARENA };
    qemu_riscv32::run(|machine| example::run(machine, &mut arena.0))
}
