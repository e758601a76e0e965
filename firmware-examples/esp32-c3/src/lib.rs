//! An ESP32-C3: text as `defmt` lines over RTT, time from the system timer.
#![no_std]

use esp_hal::time::Instant;
use kinglet::Error;
use kinglet_examples::{Board, Lines};
use panic_rtt_target as _;

esp_bootloader_esp_idf::esp_app_desc!();

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

/// Runs an example, and then waits.
pub fn run(example: impl FnOnce(&mut Esp) -> Result<(), Error>) -> ! {
    rtt_target::rtt_init_defmt!();
    let config = esp_hal::Config::default().with_cpu_clock(esp_hal::clock::CpuClock::max());
    _ = esp_hal::init(config);
    if let Err(error) = example(&mut Esp::default()) {
        defmt::error!("{}", error);
    }
    loop {
        core::hint::spin_loop();
    }
}
