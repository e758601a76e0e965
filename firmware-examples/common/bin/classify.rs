//! Says what sentences ask for.
#![no_std]
#![no_main]

board::main!(kinglet_examples::classify);
