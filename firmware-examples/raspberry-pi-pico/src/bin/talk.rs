//! Type a sentence into the serial line on pins 0 and 1 (115,200 baud), and get the command that it
//! means.
#![no_std]
#![no_main]

use board::{Pico, start};
use cortex_m_rt::entry;
use defmt::error;
use embassy_rp::uart::{Blocking, Config, Uart};
use kinglet_examples::{Arena, Serial, command as example};

struct Port(Uart<'static, Blocking>);

impl Serial for Port {
    fn send(&mut self, byte: u8) {
        // Nothing is at the other end, or everything arrives: there is no one else to tell.
        _ = self.0.blocking_write(&[byte]);
    }

    fn receive(&mut self) -> Option<u8> {
        let mut byte = [0];
        // What was garbled on the way is read again by whoever typed it.
        while self.0.blocking_read(&mut byte).is_err() {}
        let [byte] = byte;
        Some(byte)
    }
}

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    let board = start(&mut Pico::default());
    let mut port = Port(Uart::new_blocking(board.UART0, board.PIN_0, board.PIN_1, Config::default()));
    loop {
        // The end of one transmission is not the end of the board.
        if let Err(error) = example::talk(&mut port, &mut ARENA.0) {
            error!("{}", error);
        }
    }
}
