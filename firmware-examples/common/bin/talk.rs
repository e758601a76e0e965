//! Answers each typed sentence with the command that it means; Ctrl-D ends the program.
#![no_std]
#![no_main]

use board::Uart;
use kinglet_examples::{Arena, command};

board::main!(Arena<{ command::ARENA }> = kinglet::arena!(command::ARENA), |_board, arena| {
    command::talk(&mut Uart::new(), &mut arena.0)
});
