//! Finds the phrase, among a hundred, that a question is about.
#![no_std]
#![no_main]

board::main!(kinglet_examples::search);
