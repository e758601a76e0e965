//! Finds the words that say where, how much and when.
#![no_std]
#![no_main]

board::main!(kinglet_examples::tag);
