//! Runs `generate` with its arena on a heap.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use embedded_alloc::LlffHeap;
use kinglet::AlignedVec;
use kinglet_examples::generate;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; 96 * 1024] = [0; 96 * 1024];
    // SAFETY: this runs once, before any allocation, and no other code uses the memory.
    unsafe { HEAP.init(MEMORY.as_mut_ptr().addr(), MEMORY.len()) };
    board::run(|machine| generate::run(machine, &mut AlignedVec::zeroed(generate::ARENA)))
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    semihosting::process::exit(1)
}
