//! Finds, among a hundred phrases, the one that a question is about.
#![no_std]
#![no_main]

board::main!(kinglet_examples::search);
