//! A Raspberry Pi Pico (RP2040, Cortex-M0+) or Pico 2 (RP2350, Cortex-M33). Text is printed as
//! `defmt` lines over RTT; the chip's timer measures time.
#![no_std]

use defmt_rtt as _;
use embassy_rp::Peripherals;
use embassy_rp::clocks::{ClockConfig, clk_sys_freq};
use embassy_rp::config::Config;
use embassy_time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines, clock, megahertz};
use panic_probe as _;

/// The core's clock, from `Cargo.toml`; `kinglet fit` assumes this clock, too.
const MEGAHERTZ: u32 = megahertz(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")));

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

/// Starts the chip, and prints its clock.
pub fn start(board: &mut Pico) -> Peripherals {
    let clocks = ClockConfig::system_freq(MEGAHERTZ * 1_000_000).expect("a clock that the PLL can make");
    let chip = embassy_rp::init(Config::new(clocks));
    clock(board, clk_sys_freq());
    chip
}

/// Defines the program of an example with this board's entry point.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(cortex_m_rt::entry, $($example)+);
    };
}

/// Runs an example, then sleeps.
pub fn run(example: impl FnOnce(&mut Pico) -> Result<(), Error>) -> ! {
    let mut board = Pico::default();
    _ = start(&mut board);
    if let Err(error) = example(&mut board) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
