//! How many sentences that training held out get the right intent.
#![no_std]
#![no_main]

board::main!(kinglet_examples::accuracy_intents);
