//! Updates a model over the air, with power failures.
#![no_std]
#![no_main]

use kinglet_examples::update;

board::main!(update::Memory = update::Memory::new(), |board, memory| update::run(board, memory));
