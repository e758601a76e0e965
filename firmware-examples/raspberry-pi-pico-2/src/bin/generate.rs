#![no_std]
#![no_main]

use cortex_m_rt::entry;
use kinglet_examples::{Arena, generate as example};

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    raspberry_pi_pico_2::run(|board| example::run(board, &mut ARENA.0))
}
