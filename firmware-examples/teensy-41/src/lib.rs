//! A Teensy 4.1 (i.MX RT1062, Cortex-M7). Text is printed over the serial line on pins 1 and 0
//! (115,200 baud); a 1 MHz timer measures time.
#![no_std]

use kinglet::Error;
use kinglet_examples::{clock, megahertz};
use panic_halt as _;
use teensy4_bsp::board::{ARM_FREQUENCY, Lpuart, instances, lpuart, t41};
use teensy4_bsp::hal::gpt::{ClockSource, Gpt, Mode};

/// The core's clock, from `Cargo.toml`; `kinglet fit` assumes this clock, too.
const MEGAHERTZ: u32 = megahertz(include_str!("../Cargo.toml"));
const BAUD: u32 = 115_200;

/// The board.
pub struct Teensy {
    line: Lpuart,
    timer: Gpt,
}

impl kinglet_examples::Board for Teensy {
    const UNIT: &'static str = "microseconds";

    fn print(&mut self, text: &str) {
        for byte in text.bytes().flat_map(|byte| (byte == b'\n').then_some(b'\r').into_iter().chain([byte])) {
            while !self.line.try_write(byte) {}
        }
    }

    fn count(&mut self) -> u64 {
        self.timer.count().into()
    }
}

/// Defines the program of an example with this board's entry point.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(imxrt_rt::entry, $($example)+);
    };
}

/// Runs an example, then sleeps.
pub fn run(example: impl FnOnce(&mut Teensy) -> Result<(), Error>) -> ! {
    const { assert!(ARM_FREQUENCY == MEGAHERTZ * 1_000_000) };
    let chip = t41(instances());
    if let Some(mut core) = cortex_m::Peripherals::take() {
        core.SCB.enable_icache();
        core.SCB.enable_dcache(&mut core.CPUID);
    }
    let mut timer = chip.gpt1;
    timer.set_clock_source(ClockSource::CrystalOscillator);
    timer.set_divider_24mhz(8);
    timer.set_divider(3);
    timer.set_mode(Mode::FreeRunning);
    timer.enable();
    let mut board = Teensy { line: lpuart(chip.lpuart6, chip.pins.p1, chip.pins.p0, BAUD), timer };
    clock(&mut board, ARM_FREQUENCY);
    let result = example(&mut board);
    if result.is_err() {
        kinglet_examples::Board::print(&mut board, "FAILED\n");
    }
    loop {
        cortex_m::asm::wfe();
    }
}
