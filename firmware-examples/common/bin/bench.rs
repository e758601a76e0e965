//! Measures the cost of a token.
#![no_std]
#![no_main]

board::main!(kinglet_examples::bench);
