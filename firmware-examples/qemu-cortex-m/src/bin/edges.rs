#![no_std]
#![no_main]

use cortex_m_rt::entry;
use kinglet_examples::{Arena, edges as example};

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    qemu_cortex_m::run(|machine| example::run(machine, &mut ARENA.0))
}
