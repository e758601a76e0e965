//! A decoder that is named when this is built, by `cargo xtask firmware --checkpoint`.
#![no_std]
#![no_main]

use kinglet_examples::Arena;
use kinglet_examples::checkpoint as example;
use riscv_rt::entry;

#[allow(dead_code)]
mod checkpoint {
    include!(env!("KINGLET_MODULE"));
}

const TOKENS: usize = example::number_of(env!("KINGLET_TOKENS"));
const ARENA: usize = kinglet::arena_bytes(checkpoint::BLOB, TOKENS);

#[entry]
fn main() -> ! {
    static mut MEMORY: Arena<ARENA> = kinglet::arena!(ARENA);
    // SAFETY: this runs once, and nothing else uses the memory.
    let arena = unsafe { &mut *&raw mut MEMORY };
    qemu_riscv32::run(|machine| example::run(machine, &checkpoint::MODEL, &checkpoint::TOKENIZER, TOKENS, &mut arena.0))
}
