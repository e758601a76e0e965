//! An nRF54L15-DK (Cortex-M33). Text is printed as `defmt` lines over RTT; the chip's
//! timer measures time.
#![no_std]

use defmt_rtt as _;
use embassy_nrf::config::{ClockSpeed, Config};
use embassy_time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines, clock, megahertz};
use panic_probe as _;

/// The core's clock, from `Cargo.toml`; `kinglet fit` assumes this clock, too.
const MEGAHERTZ: u32 = megahertz(include_str!("../Cargo.toml"));

/// The board.
#[derive(Default)]
pub struct Dk(Lines);

impl Board for Dk {
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
pub fn run(example: impl FnOnce(&mut Dk) -> Result<(), Error>) -> ! {
    let mut config = Config::default();
    config.clock_speed = const {
        match MEGAHERTZ {
            128 => ClockSpeed::CK128,
            64 => ClockSpeed::CK64,
            _ => panic!("the chip has no such clock"),
        }
    };
    _ = embassy_nrf::init(config);
    // The instruction cache, which also serves constants, is off after a reset.
    embassy_nrf::pac::ICACHE.enable().write(|cache| cache.set_enable(true));
    let mut board = Dk::default();
    clock(&mut board, MEGAHERTZ * 1_000_000);
    if let Err(error) = example(&mut board) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
