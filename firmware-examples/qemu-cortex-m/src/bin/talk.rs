//! Type a sentence, and get the command that it means; Ctrl-D ends it.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use kinglet_examples::{Arena, command as example};
use qemu_cortex_m::Uart;

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    qemu_cortex_m::run(|_| example::talk(&mut Uart::new(), &mut ARENA.0))
}
