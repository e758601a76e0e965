//! Type a sentence into the serial line on pins 0 and 1 (115,200 baud), and get the command that it means.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use defmt::error;
use embassy_rp::uart::{Blocking, Config, Uart};
use heapless::String;
use kinglet_examples::{Arena, Board, command as example};
use raspberry_pi_pico as _;

/// The serial line as a board: what is printed goes there.
struct Terminal(Uart<'static, Blocking>);

impl Board for Terminal {
    const UNIT: &'static str = "microseconds";

    fn print(&mut self, text: &str) {
        // Nothing is at the other end, or everything arrives: there is no one else to tell.
        _ = self.0.blocking_write(text.as_bytes());
    }

    fn count(&mut self) -> u64 {
        embassy_time::Instant::now().as_micros()
    }
}

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<{ example::ARENA }> = kinglet::arena!(example::ARENA);
    let board = embassy_rp::init(embassy_rp::config::Config::default());
    let mut terminal = Terminal(Uart::new_blocking(board.UART0, board.PIN_0, board.PIN_1, Config::default()));
    let line = |terminal: &mut Terminal| {
        let mut line = String::<128>::new();
        let mut byte = [0];
        while terminal.0.blocking_read(&mut byte).is_ok() {
            let [character] = byte.map(char::from);
            if matches!(character, '\r' | '\n') {
                terminal.print("\r\n");
                return Some(line);
            }
            // What is typed is shown; what does not fit is not taken.
            if character.is_ascii() && line.push(character).is_ok() {
                terminal.print(character.encode_utf8(&mut [0; 4]));
            }
        }
        None
    };
    if let Err(error) = example::talk(&mut terminal, &mut ARENA.0, line) {
        error!("{}", error);
    }
    loop {
        cortex_m::asm::wfe();
    }
}
