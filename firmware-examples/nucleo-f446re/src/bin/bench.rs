#![no_std]
#![no_main]

use cortex_m_rt::entry;
use kinglet_examples::{Arena, bench as example};

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    nucleo_f446re::run(|board| example::run(board, &mut ARENA.0))
}
