//! Measures the stack of single calls, and the instructions to load a blob.
#![no_std]
#![no_main]

board::main!(kinglet_examples::calls);
