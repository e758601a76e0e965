//! Computes how likely texts are, from their end to their beginning.
#![no_std]
#![no_main]

board::main!(kinglet_examples::score);
