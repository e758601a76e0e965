//! A Nucleo-U575ZI-Q (STM32U575, Cortex-M33). Text is printed as `defmt` lines
//! over RTT; the chip's timer measures time.
#![no_std]

use defmt_rtt as _;
use embassy_stm32::Config;
use embassy_stm32::rcc::{Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale};
use embassy_time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines, clock, megahertz};
use panic_probe as _;

/// The core's clock, from `Cargo.toml`; `kinglet fit` assumes this clock, too.
const MEGAHERTZ: u32 = megahertz(include_str!("../Cargo.toml"));

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

/// Clocks the core by the internal 16 MHz oscillator through the PLL, at the highest voltage.
fn fast() -> Config {
    // The field is the factor minus one.
    let mul = PllMul::from_bits((MEGAHERTZ / 16 - 1) as u16);
    let mut config = Config::default();
    config.rcc.hsi = true;
    config.rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV1,
        mul,
        divp: None,
        divq: None,
        divr: Some(PllDiv::DIV1),
    });
    config.rcc.sys = Sysclk::PLL1_R;
    config.rcc.voltage_range = VoltageScale::RANGE1;
    config
}

/// Defines the program of an example with this board's entry point.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(cortex_m_rt::entry, $($example)+);
    };
}

/// Runs an example, then sleeps.
pub fn run(example: impl FnOnce(&mut Nucleo) -> Result<(), Error>) -> ! {
    let chip = embassy_stm32::init(fast());
    // Enables the instruction cache, which also caches constants in flash.
    embassy_stm32::pac::ICACHE.cr().modify(|cache| cache.set_en(true));
    let mut board = Nucleo::default();
    clock(&mut board, embassy_stm32::rcc::clocks(&chip.RCC).sys.to_hertz().map_or(0, |clock| clock.0));
    if let Err(error) = example(&mut board) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
