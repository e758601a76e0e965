//! Finds the words for places, amounts and times.
#![no_std]
#![no_main]

board::main!(kinglet_examples::tag);
