//! A model is updated over the air, and the power goes in the middle.
#![no_std]
#![no_main]

use kinglet_examples::update;

board::main!(update::Memory = update::Memory::new(), |board, memory| update::run(board, memory));
