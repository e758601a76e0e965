#![no_std]
#![no_main]

use cortex_m_rt::entry;
use kinglet_examples::{Arena, command as example};

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    raspberry_pi_pico::run(|board| example::run(board, &mut ARENA.0))
}
