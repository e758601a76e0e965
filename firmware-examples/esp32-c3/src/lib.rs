//! An ESP32-C3 or ESP32-C6. Text is printed as `defmt` lines over RTT; the system timer measures
//! time.
#![no_std]

use esp_hal::clock::CpuClock;
use esp_hal::time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines, clock, megahertz};
use panic_rtt_target as _;

esp_bootloader_esp_idf::esp_app_desc!();

/// The core's clock, from `Cargo.toml`; `kinglet fit` assumes this clock, too.
const MEGAHERTZ: u32 = megahertz(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")));

/// The board.
#[derive(Default)]
pub struct Esp(Lines);

impl Board for Esp {
    const UNIT: &'static str = "microseconds";

    fn print(&mut self, text: &str) {
        self.0.print(text, |line| defmt::println!("{=str}", line));
    }

    fn count(&mut self) -> u64 {
        Instant::now().duration_since_epoch().as_micros()
    }
}

/// Defines the program of an example with this board's entry point.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(esp_hal::main, $($example)+);
    };
}

/// Runs an example, then waits.
pub fn run(example: impl FnOnce(&mut Esp) -> Result<(), Error>) -> ! {
    rtt_target::rtt_init_defmt!();
    // The flash cache is always enabled.
    let speed = const {
        match MEGAHERTZ {
            160 => CpuClock::_160MHz,
            80 => CpuClock::_80MHz,
            _ => panic!("the chip has no such clock"),
        }
    };
    _ = esp_hal::init(esp_hal::Config::default().with_cpu_clock(speed));
    let mut board = Esp::default();
    clock(&mut board, esp_hal::clock::cpu_clock().as_hz());
    if let Err(error) = example(&mut board) {
        defmt::error!("{}", error);
    }
    loop {
        core::hint::spin_loop();
    }
}
