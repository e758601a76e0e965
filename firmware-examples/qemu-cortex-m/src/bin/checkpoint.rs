//! A decoder that is named when this is built, by `cargo xtask firmware --checkpoint`.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use kinglet_examples::Arena;
use kinglet_examples::checkpoint as example;

const MODEL: &[u8] = kinglet::include_model!(env!("KINGLET_BLOB"));
const TOKENS: usize = example::number_of(env!("KINGLET_TOKENS"));
const ARENA: usize = kinglet::arena_bytes(MODEL, TOKENS);

#[entry]
fn main() -> ! {
    static mut MEMORY: Arena<ARENA> = kinglet::arena!(ARENA);
    qemu_cortex_m::run(|machine| example::run(machine, MODEL, TOKENS, &mut MEMORY.0))
}
