//! Writes the linker's script: where the board has its memory, and what the boot ROM looks for.

use imxrt_rt::{Family, FlexRamBanks, Memory, RuntimeBuilder};

/// KiB of flash that a program may have.
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
