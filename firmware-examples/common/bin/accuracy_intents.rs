//! Counts the held-out sentences that get the right intent.
#![no_std]
#![no_main]

board::main!(kinglet_examples::accuracy_intents);
