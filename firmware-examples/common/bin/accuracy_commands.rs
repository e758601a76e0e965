//! Counts the held-out sentences that become the right command.
#![no_std]
#![no_main]

board::main!(kinglet_examples::accuracy_commands);
