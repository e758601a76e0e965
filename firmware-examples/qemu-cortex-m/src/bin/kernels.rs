//! What single operations cost.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use kinglet_examples::kernels::{self, Memory};

#[entry]
fn main() -> ! {
    static mut MEMORY: Memory = Memory::new();
    qemu_cortex_m::run(|machine| kernels::run(machine, MEMORY))
}
