//! How long the longest step of each call is.
#![no_std]
#![no_main]

board::main!(kinglet_examples::steps);
