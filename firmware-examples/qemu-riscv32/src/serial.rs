//! The machine's serial line, an NS16550: bytes are waited for, without interrupts.

use kinglet_examples::Serial;

/// Its registers, a byte each: data, and the state of the line.
const REGISTERS: *mut u8 = 0x1000_0000 as *mut u8;
const DATA: usize = 0;
const STATE: usize = 5;

/// Bits of the state: there is a byte, and there is room for another.
const RECEIVED: u8 = 1;
const EMPTY: u8 = 1 << 5;

/// The line, which is on when the machine starts.
pub struct Uart(());

impl Uart {
    /// The line as it is.
    pub fn new() -> Self {
        Self(())
    }
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Serial for Uart {
    fn send(&mut self, byte: u8) {
        while read(STATE) & EMPTY == 0 {}
        // SAFETY: a register of the machine, which nobody else uses.
        unsafe { REGISTERS.wrapping_add(DATA).write_volatile(byte) };
    }

    fn receive(&mut self) -> Option<u8> {
        while read(STATE) & RECEIVED == 0 {}
        Some(read(DATA))
    }
}

fn read(register: usize) -> u8 {
    // SAFETY: a register of the machine, which nobody else uses.
    unsafe { REGISTERS.wrapping_add(register).read_volatile() }
}
