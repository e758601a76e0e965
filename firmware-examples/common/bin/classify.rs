//! Classifies the intents of sentences.
#![no_std]
#![no_main]

board::main!(kinglet_examples::classify);
