//! A Nucleo-H743ZI (STM32H743, Cortex-M7). Text is printed as `defmt` lines
//! over RTT; the chip's timer measures time.
#![no_std]

use defmt_rtt as _;
use embassy_stm32::Config;
use embassy_stm32::rcc::{AHBPrescaler, APBPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale};
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

/// Clocks the core by the internal 64 MHz oscillator, which every board has, through the PLL. Chips
/// of revision Y do not support the highest voltage, and run at 400 MHz at most.
fn fast() -> Config {
    const REVISION_Y: u16 = 0x1003;
    let first = embassy_stm32::pac::DBGMCU.idc().read().rev_id() <= REVISION_Y;
    let (megahertz, voltage) =
        if first { (MEGAHERTZ.min(400), VoltageScale::Scale1) } else { (MEGAHERTZ, VoltageScale::Scale0) };
    let mut config = Config::default();
    // The PLL's input has 16 MHz, and its VCO twice the core's clock; the field is the factor minus
    // one.
    config.rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::from_bits((megahertz / 8 - 1) as u16),
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.voltage_scale = voltage;
    config.rcc.ahb_pre = AHBPrescaler::DIV2;
    config.rcc.apb1_pre = APBPrescaler::DIV2;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config.rcc.apb3_pre = APBPrescaler::DIV2;
    config.rcc.apb4_pre = APBPrescaler::DIV2;
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
    if let Some(mut core) = cortex_m::Peripherals::take() {
        // The debug probe reads memory through the data cache, so RTT works with the cache enabled.
        core.SCB.enable_icache();
        core.SCB.enable_dcache(&mut core.CPUID);
    }
    let mut board = Nucleo::default();
    clock(&mut board, embassy_stm32::rcc::clocks(&chip.RCC).sys.to_hertz().map_or(0, |clock| clock.0));
    if let Err(error) = example(&mut board) {
        defmt::error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
