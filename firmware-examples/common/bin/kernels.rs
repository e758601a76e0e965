//! What single operations cost.
#![no_std]
#![no_main]

use kinglet_examples::kernels::{self, Memory};

board::main!(Memory = Memory::new(), |board, memory| kernels::run(board, memory));
