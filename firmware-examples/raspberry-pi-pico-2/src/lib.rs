//! A Raspberry Pi Pico 2 (RP2350, Cortex-M33): text as `defmt` lines over RTT, time from the chip's timer.
#![no_std]

use defmt_rtt as _;
use embassy_time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines};
use panic_probe as _;

/// The board.
#[derive(Default)]
pub struct Pico2(Lines);

impl Board for Pico2 {
    const UNIT: &'static str = "microseconds";

    fn print(&mut self, text: &str) {
        self.0.print(text, |line| defmt::println!("{=str}", line));
    }

    fn count(&mut self) -> u64 {
        Instant::now().as_micros()
    }
}

/// Runs an example, and then sleeps.
pub fn run(example: impl FnOnce(&mut Pico2) -> Result<(), Error>) -> ! {
    _ = embassy_rp::init(embassy_rp::config::Config::default());
    if let Err(error) = example(&mut Pico2::default()) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
