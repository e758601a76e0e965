//! Turns sentences into commands.
#![no_std]
#![no_main]

board::main!(kinglet_examples::command);
