//! Writes the linker script: the board's memory, and the data that the boot ROM expects.

use imxrt_rt::{Family, FlexRamBanks, Memory, RuntimeBuilder};

/// The flash for a program, in KiB.
const FLASH: usize = 7936;

fn main() {
    let script = RuntimeBuilder::from_flexspi(Family::Imxrt1060, FLASH << 10)
        .flexram_banks(FlexRamBanks { ocram: 0, itcm: 4, dtcm: 12 })
        .vectors(Memory::Dtcm)
        .text(Memory::Flash)
        .rodata(Memory::Flash)
        .data(Memory::Ocram)
        .bss(Memory::Ocram)
        .uninit(Memory::Ocram)
        .stack(Memory::Dtcm)
        .stack_size(32 << 10)
        .heap_size(0)
        .build();
    script.expect("a memory layout of this chip");
}
