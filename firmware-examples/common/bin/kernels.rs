//! Measures the cost of single operations.
#![no_std]
#![no_main]

use kinglet_examples::kernels::{self, Memory};

board::main!(Memory = Memory::new(), |board, memory| kernels::run(board, memory));
