//! A BBC micro:bit v2 (nRF52833, Cortex-M4F): text as `defmt` lines over RTT, time from the chip's
//! timer.
#![no_std]

use defmt_rtt as _;
use embassy_time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines, clock, megahertz};
use panic_probe as _;

/// The core's clock: what `kinglet fit` counts with stands in `Cargo.toml`, and sets the board's.
const MEGAHERTZ: u32 = megahertz(include_str!("../Cargo.toml"));

/// The board.
#[derive(Default)]
pub struct Microbit(Lines);

impl Board for Microbit {
    const UNIT: &'static str = "microseconds";

    fn print(&mut self, text: &str) {
        self.0.print(text, |line| defmt::println!("{=str}", line));
    }

    fn count(&mut self) -> u64 {
        Instant::now().as_micros()
    }
}

/// The program of an example, where this chip begins.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(cortex_m_rt::entry, $($example)+);
    };
}

/// Runs an example, and then sleeps.
pub fn run(example: impl FnOnce(&mut Microbit) -> Result<(), Error>) -> ! {
    // The core has this one clock.
    const { assert!(MEGAHERTZ == 64) };
    _ = embassy_nrf::init(embassy_nrf::config::Config::default());
    // Flash takes two cycles more for what is not in the cache, which is off after a reset.
    embassy_nrf::pac::NVMC.icachecnf().write(|cache| cache.set_cacheen(true));
    let mut board = Microbit::default();
    clock(&mut board, MEGAHERTZ * 1_000_000);
    if let Err(error) = example(&mut board) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
