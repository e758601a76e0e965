//! What single operations cost.
#![no_std]
#![no_main]

use kinglet_examples::kernels::{self, Memory};
use riscv_rt::entry;

#[entry]
fn main() -> ! {
    static mut MEMORY: Memory = Memory::new();
    // SAFETY: this runs once, and nothing else uses the memory.
    let memory = unsafe { &mut *&raw mut MEMORY };
    qemu_riscv32::run(|machine| kernels::run(machine, memory))
}
