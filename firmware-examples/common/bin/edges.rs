//! Bytes that are no blob, and calls that cannot be right: all are refused.
#![no_std]
#![no_main]

board::main!(kinglet_examples::edges);
