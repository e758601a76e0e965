//! A Raspberry Pi Pico (RP2040, Cortex-M0+): text as `defmt` lines over RTT, time from the chip's timer.
#![no_std]

use defmt_rtt as _;
use embassy_time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines};
use panic_probe as _;

/// The board.
#[derive(Default)]
pub struct Pico(Lines);

impl Board for Pico {
    const UNIT: &'static str = "microseconds";

    fn print(&mut self, text: &str) {
        self.0.print(text, |line| defmt::println!("{=str}", line));
    }

    fn count(&mut self) -> u64 {
        Instant::now().as_micros()
    }
}

/// Runs an example, and then sleeps.
pub fn run(example: impl FnOnce(&mut Pico) -> Result<(), Error>) -> ! {
    _ = embassy_rp::init(embassy_rp::config::Config::default());
    if let Err(error) = example(&mut Pico::default()) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
