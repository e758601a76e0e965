//! Runs the golden vectors in the blob.
#![no_std]
#![no_main]

board::main!(kinglet_examples::self_test);
