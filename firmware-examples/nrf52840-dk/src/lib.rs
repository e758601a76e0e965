//! An nRF52840-DK or a BBC micro:bit v2 (nRF52833), both with a Cortex-M4F. Text is printed as
//! `defmt` lines over RTT; the chip's timer measures time.
#![no_std]

use defmt_rtt as _;
use embassy_time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines, clock, megahertz};
use panic_probe as _;

/// The core's clock, from `Cargo.toml`; `kinglet fit` assumes this clock, too.
const MEGAHERTZ: u32 = megahertz(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")));

/// The board.
#[derive(Default)]
pub struct Nrf52(Lines);

impl Board for Nrf52 {
    const UNIT: &'static str = "microseconds";

    fn print(&mut self, text: &str) {
        self.0.print(text, |line| defmt::println!("{=str}", line));
    }

    fn count(&mut self) -> u64 {
        Instant::now().as_micros()
    }
}

/// Defines the program of an example with this board's entry point.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(cortex_m_rt::entry, $($example)+);
    };
}

/// Runs an example, then sleeps.
pub fn run(example: impl FnOnce(&mut Nrf52) -> Result<(), Error>) -> ! {
    // The core's clock is fixed.
    const { assert!(MEGAHERTZ == 64) };
    _ = embassy_nrf::init(embassy_nrf::config::Config::default());
    // Enables the flash cache, which is off after a reset; without it flash takes two cycles more.
    embassy_nrf::pac::NVMC.icachecnf().write(|cache| cache.set_cacheen(true));
    let mut board = Nrf52::default();
    clock(&mut board, MEGAHERTZ * 1_000_000);
    if let Err(error) = example(&mut board) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
