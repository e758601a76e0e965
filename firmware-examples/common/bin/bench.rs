//! What a token costs.
#![no_std]
#![no_main]

board::main!(kinglet_examples::bench);
