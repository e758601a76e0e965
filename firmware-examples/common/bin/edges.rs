//! Passes malformed blobs and invalid calls, which must all be refused.
#![no_std]
#![no_main]

board::main!(kinglet_examples::edges);
