#![no_std]
#![no_main]

use cortex_m_rt::entry;
use kinglet_examples::{Arena, self_test as example};

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    nrf52840_dk::run(|board| example::run(board, &mut ARENA.0))
}
