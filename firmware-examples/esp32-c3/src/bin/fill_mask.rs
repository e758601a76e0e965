#![no_std]
#![no_main]

use esp_hal::main;
use kinglet_examples::{Arena, fill_mask as example};

#[main]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    // SAFETY: this runs once, and nothing else uses the arena.
    let arena = unsafe { &mut *&raw mut ARENA };
    esp32_c3::run(|board| example::run(board, &mut arena.0))
}
