//! An ESP32-C6: text as `defmt` lines over RTT, time from the system timer.
#![no_std]

use esp_hal::clock::CpuClock;
use esp_hal::time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines, clock, megahertz};
use panic_rtt_target as _;

esp_bootloader_esp_idf::esp_app_desc!();

/// The core's clock: what `kinglet fit` counts with stands in `Cargo.toml`, and sets the board's.
const MEGAHERTZ: u32 = megahertz(include_str!("../Cargo.toml"));

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

/// The program of an example, where this chip begins.
#[macro_export]
macro_rules! main {
    ($($example:tt)+) => {
        kinglet_examples::program!(esp_hal::main, $($example)+);
    };
}

/// Runs an example, and then waits.
pub fn run(example: impl FnOnce(&mut Esp) -> Result<(), Error>) -> ! {
    rtt_target::rtt_init_defmt!();
    // The cache for flash is always on.
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
