//! Guesses missing words.
#![no_std]
#![no_main]

board::main!(kinglet_examples::fill_mask);
