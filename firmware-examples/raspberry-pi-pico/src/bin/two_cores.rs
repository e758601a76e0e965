//! Runs a decoder on both cores of the chip: the second core computes half the rows of each large
//! matrix.
#![no_std]
#![no_main]

use board::{Pico, start};
use cortex_m_rt::entry;
use defmt::error;
use embassy_rp::multicore::{Stack, spawn_core1};
use kinglet_examples::second::SecondCore;
use kinglet_examples::{Arena, two_cores as example};

static SECOND: SecondCore = SecondCore::new();

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    // The second core only multiplies, which takes less than 3 KB of stack.
    static mut STACK: Stack<4096> = Stack::new();
    let mut board = Pico::default();
    let chip = start(&mut board);
    spawn_core1(chip.CORE1, STACK, || {
        loop {
            SECOND.serve();
        }
    });
    if let Err(error) = example::run(&mut board, &SECOND, &mut ARENA.0) {
        error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
