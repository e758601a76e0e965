//! What single calls take: stack, and instructions to read a blob.
#![no_std]
#![no_main]

board::main!(kinglet_examples::calls);
