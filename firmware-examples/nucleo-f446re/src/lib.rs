//! A Nucleo-F446RE (STM32F446, Cortex-M4F). Text is printed as `defmt` lines
//! over RTT; the chip's timer measures time.
#![no_std]

use defmt_rtt as _;
use embassy_stm32::Config;
use embassy_stm32::rcc::{APBPrescaler, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk};
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

/// Clocks the core by the internal 16 MHz oscillator, which every board has, through the PLL. The
/// HAL sets over-drive and the flash wait states.
fn fast() -> Config {
    let mut config = Config::default();
    config.rcc.pll_src = PllSource::HSI;
    // The PLL's input has 2 MHz, and its VCO twice the core's clock.
    config.rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV8,
        mul: PllMul::from_bits(MEGAHERTZ as u16),
        divp: Some(PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.apb1_pre = APBPrescaler::DIV4;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
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
    // Setting the wait states, the HAL disables prefetch and caches.
    embassy_stm32::pac::FLASH.acr().modify(|flash| {
        flash.set_icen(true);
        flash.set_dcen(true);
        flash.set_prften(true);
    });
    let mut board = Nucleo::default();
    clock(&mut board, embassy_stm32::rcc::clocks(&chip.RCC).sys.to_hertz().map_or(0, |clock| clock.0));
    if let Err(error) = example(&mut board) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
