//! How many sentences that training held out become the right command.
#![no_std]
#![no_main]

board::main!(kinglet_examples::accuracy_commands);
