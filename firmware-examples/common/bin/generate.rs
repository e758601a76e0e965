//! Writes a story.
#![no_std]
#![no_main]

board::main!(kinglet_examples::generate);
