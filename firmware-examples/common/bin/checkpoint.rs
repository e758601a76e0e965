//! Runs a decoder, a sentence encoder or a classifier that `cargo xtask firmware --checkpoint`
//! selects at build time.
#![no_std]
#![no_main]

use kinglet_examples::{Arena, checkpoint};

#[allow(dead_code)]
mod exported {
    include!(env!("KINGLET_MODULE"));
}

const TOKENS: usize = checkpoint::number_of(env!("KINGLET_TOKENS"));
const ARENA: usize = kinglet::arena_bytes(exported::BLOB, TOKENS);

board::main!(Arena<ARENA> = kinglet::arena!(ARENA), |board, arena| {
    checkpoint::run(board, &exported::MODEL, &exported::TOKENIZER, TOKENS, &mut arena.0)
});
