//! A decoder that is named when this is built, by `cargo xtask firmware --checkpoint`.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use kinglet_examples::Arena;
use kinglet_examples::checkpoint as example;

#[allow(dead_code)]
mod checkpoint {
    include!(env!("KINGLET_MODULE"));
}

const TOKENS: usize = example::number_of(env!("KINGLET_TOKENS"));
const ARENA: usize = kinglet::arena_bytes(checkpoint::BLOB, TOKENS);

#[entry]
fn main() -> ! {
    static mut MEMORY: Arena<ARENA> = kinglet::arena!(ARENA);
    qemu_cortex_m::run(|machine| {
        example::run(machine, &checkpoint::MODEL, &checkpoint::TOKENIZER, TOKENS, &mut MEMORY.0)
    })
}
