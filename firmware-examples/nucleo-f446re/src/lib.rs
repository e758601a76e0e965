//! A Nucleo-F446RE (STM32F446, Cortex-M4F): text as `defmt` lines over RTT, time from the chip's timer.
#![no_std]

use defmt_rtt as _;
use embassy_time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines};
use panic_probe as _;

/// The board.
#[derive(Default)]
pub struct Nucleo(Lines);

impl Board for Nucleo {
    const UNIT: &'static str = "microseconds";

    fn print(&mut self, text: &str) {
        self.0.print(text, |line| defmt::println!("{=str}", line));
    }

    fn count(&mut self) -> u64 {
        Instant::now().as_micros()
    }
}

/// Runs an example, and then sleeps.
pub fn run(example: impl FnOnce(&mut Nucleo) -> Result<(), Error>) -> ! {
    _ = embassy_stm32::init(embassy_stm32::Config::default());
    if let Err(error) = example(&mut Nucleo::default()) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
